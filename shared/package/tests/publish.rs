//! The newest revision of a package, whoever comes last.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use quench_chart::Chart;
use quench_content::{DirectoryStore, RefName, Store};
use quench_model::{Descriptor, Level, media_type};
use quench_package::{ImageLock, Package, PackageParts, Request, history, publish, record};

async fn first(store: &Store, version: &str) -> Package {
    let metadata = format!("apiVersion: v2\nname: demo\nversion: {version}\n");
    let parts = PackageParts {
        name: "demo".parse().unwrap(),
        version: version.to_owned(),
        level: Level::Integrated,
        previous: None,
        chart: Chart::from_files([("Chart.yaml".to_owned(), metadata.into())].into()).unwrap(),
        images: Vec::new(),
        request: Request::default().store(store).await.unwrap(),
        lock: ImageLock::default(),
    };
    Package::store(store, parts).await.unwrap()
}

async fn next(store: &Store, package: &Package, level: Level) -> Package {
    let parts = package.advance(store, level).await.unwrap();
    Package::store(store, parts).await.unwrap()
}

async fn newest(store: &Store) -> Descriptor {
    let name = RefName::package(&"demo".parse().unwrap());
    store.resolve(&name).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_package_moves_forward_only_but_a_new_submission_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    let integrated = first(&store, "1.0.0").await;
    let configured = next(&store, &integrated, Level::Configured).await;
    let secured = next(&store, &configured, Level::Secured).await;

    for package in [&integrated, &configured, &secured] {
        assert!(publish(&store, package).await.unwrap());
        assert_eq!(newest(&store).await.digest, package.revision.digest);
    }
    // A level that runs again, late.
    for package in [&integrated, &configured] {
        assert!(!publish(&store, package).await.unwrap());
        assert_eq!(newest(&store).await.digest, secured.revision.digest);
    }
    assert!(publish(&store, &secured).await.unwrap());

    let other = first(&store, "1.1.0").await;
    assert!(publish(&store, &other).await.unwrap());
    assert_eq!(newest(&store).await.digest, other.revision.digest);
}

#[tokio::test]
async fn a_name_that_points_to_nothing_useful_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    let name = RefName::package(&"demo".parse().unwrap());
    let package = first(&store, "1.0.0").await;
    let no_package = store.put(media_type::INDEX, b"{}").await.unwrap();
    store.tag(&name, &no_package).await.unwrap();
    assert!(publish(&store, &package).await.unwrap());
    store
        .tag(&name, &Descriptor::of(media_type::INDEX, b"gone"))
        .await
        .unwrap();
    assert!(publish(&store, &package).await.unwrap());
    assert_eq!(newest(&store).await.digest, package.revision.digest);
}

async fn numbers(store: &Store) -> Vec<(u64, quench_model::Digest)> {
    let name = "demo".parse().unwrap();
    let entries = history(store, &name).await.unwrap();
    entries
        .into_iter()
        .map(|e| (e.number, e.revision))
        .collect()
}

#[tokio::test]
async fn published_revisions_are_numbered_and_the_same_adds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    assert!(numbers(&store).await.is_empty());
    let one = first(&store, "1.0.0").await;
    let two = next(&store, &one, Level::Configured).await;
    let three = first(&store, "1.1.0").await;
    for package in [&one, &two, &one, &three, &two, &three] {
        publish(&store, package).await.unwrap();
    }
    let digests = [&one, &two, &three].map(|p| p.revision.digest.clone());
    let expected: Vec<_> = (1..).zip(digests).collect();
    assert_eq!(numbers(&store).await, expected);
    // A package whose name begins alike has a history of its own.
    let other: quench_model::PackageName = "demo.q1".parse().unwrap();
    assert!(history(&store, &other).await.unwrap().is_empty());
}

#[tokio::test]
async fn writers_that_publish_at_once_lose_no_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    let store = Store::Directory(DirectoryStore::open(&path).unwrap());
    let mut writers = Vec::new();
    for writer in 0..8 {
        let path = path.clone();
        writers.push(tokio::spawn(async move {
            // A store opened for itself, as another process does.
            let store = Store::Directory(DirectoryStore::open(path).unwrap());
            for n in 0..5 {
                let package = first(&store, &format!("{writer}.{n}.0")).await;
                record(&store, &package).await.unwrap();
            }
        }));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    let found = numbers(&store).await;
    assert_eq!(found.len(), 40);
    assert!(
        found
            .iter()
            .zip(1..)
            .all(|((number, _), place)| *number == place)
    );
}
