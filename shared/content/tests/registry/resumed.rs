//! Downloads of processes that were killed, taken up by the next one.

use quench_content::{DirectoryStore, RegistryAccess, RegistryClient, Store};
use quench_model::{Descriptor, media_type};

use crate::server::{Answer, Request, Scripted};

const BLOB: &[u8] = &[9; 200_000];

fn answer(request: &Request) -> Answer {
    let range = request.header("range").and_then(|range| {
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse::<usize>()
            .ok()
    });
    match range {
        Some(from) if from >= BLOB.len() => Answer::of("416 Range Not Satisfiable", &[], b""),
        Some(from) => {
            let said = format!("bytes {from}-{}/{}", BLOB.len() - 1, BLOB.len());
            Answer::of(
                "206 Partial Content",
                &[("Content-Range", &said)],
                &BLOB[from..],
            )
        }
        None => Answer::of("200 OK", &[], BLOB),
    }
}

/// Downloads into a store in which a killed process left `begun`; gives the ranges that were asked for.
async fn ranges(begun: &[u8]) -> Vec<Option<String>> {
    let server = Scripted::start(answer).await;
    let folder = tempfile::tempdir().unwrap();
    let directory = DirectoryStore::open(folder.path()).unwrap();
    let blob = Descriptor::of(media_type::LAYER, BLOB);
    let staging = folder.path().join("staging");
    let partial = staging.join(format!("{}.partial", blob.digest.hex()));
    std::fs::write(partial, begun).unwrap();
    let directory = DirectoryStore::open(directory.root()).unwrap();
    let store = Store::Directory(directory.clone());
    let client = RegistryClient::new(RegistryAccess::default()).unwrap();
    let repository = client.repository(&server.host, "team/app");
    let writer = repository
        .download(&blob, &store, &|_| ())
        .await
        .unwrap()
        .unwrap();
    store.commit_expected(writer, &blob, "test").await.unwrap();
    assert!(directory.contains(&blob));
    directory.verify(&blob).unwrap();
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
    let seen = server.seen();
    seen.iter()
        .map(|request| request.header("range").map(str::to_owned))
        .collect()
}

#[tokio::test]
async fn only_the_rest_is_fetched() {
    let rest = Some("bytes=150000-".to_owned());
    assert_eq!(ranges(&BLOB[..150_000]).await, [rest]);
    assert_eq!(ranges(BLOB).await, [], "nothing is left to fetch");
    assert_eq!(ranges(b"").await, [None]);
}

#[tokio::test]
async fn what_was_damaged_since_is_fetched_anew() {
    let rest = Some("bytes=150000-".to_owned());
    assert_eq!(ranges(&[1; 150_000]).await, [rest, None]);
    assert_eq!(ranges(&[1; 200_000]).await, [None]);
    assert_eq!(ranges(&[9; 200_001]).await, [None], "longer than the blob");
}
