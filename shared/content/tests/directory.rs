//! The folder store keeps what it promises under concurrent writers and changed bytes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]

use std::io::Write as _;

use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, RefName, Store, StoreError};
use quench_model::{Descriptor, Digest, media_type};

fn open(folder: &tempfile::TempDir) -> DirectoryStore {
    DirectoryStore::open(folder.path()).unwrap()
}

#[tokio::test]
async fn bytes_come_back_and_changed_bytes_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let directory = open(&folder);
    let store = Store::Directory(directory.clone());
    let descriptor = store.put("text/plain", b"hello").await.unwrap();
    assert_eq!(store.read(&descriptor, 5).await.unwrap(), b"hello");
    assert!(matches!(
        store.read(&descriptor, 4).await,
        Err(StoreError::TooLarge {
            size: 5,
            limit: 4,
            ..
        })
    ));
    store.verify(&descriptor).await.unwrap();

    std::fs::write(directory.blob_path(&descriptor.digest), b"hullo").unwrap();
    assert!(matches!(
        store.read(&descriptor, 5).await,
        Err(StoreError::WrongDigest { .. })
    ));
    assert!(matches!(
        store.verify(&descriptor).await,
        Err(StoreError::WrongDigest { .. })
    ));
    std::fs::write(directory.blob_path(&descriptor.digest), b"hell").unwrap();
    assert!(!store.contains(&descriptor).await.unwrap());
    assert!(matches!(
        store.verify(&descriptor).await,
        Err(StoreError::WrongSize { .. })
    ));
}

#[test]
fn a_writer_that_is_dropped_or_disappoints_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let mut writer = store.writer().unwrap();
    writer.write_all(b"partial").unwrap();
    drop(writer);

    let mut writer = store.writer().unwrap();
    writer.write_all(b"other bytes").unwrap();
    let expected = Descriptor::of("text/plain", b"right bytes");
    assert!(matches!(
        store.commit_expected(writer, &expected, "a test"),
        Err(StoreError::WrongDigest { .. })
    ));
    for folder_name in ["staging", "blobs/sha256"] {
        let left = std::fs::read_dir(folder.path().join(folder_name))
            .unwrap()
            .count();
        assert_eq!(left, 0, "{folder_name}");
    }
}

#[test]
fn no_name_and_no_referrer_is_lost_between_writers() {
    let folder = tempfile::tempdir().unwrap();
    let subject = Digest::of(b"subject");
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let (folder, subject) = (&folder, &subject);
            scope.spawn(move || {
                // Each opens the store for itself, as separate processes do.
                let store = open(folder);
                for n in 0..20 {
                    let descriptor = Descriptor::of("text/plain", format!("{writer}-{n}"));
                    let name: RefName = format!("name-{writer}-{n}").parse().unwrap();
                    store.tag(&name, &descriptor).unwrap();
                    store.add_referrer(subject, &descriptor).unwrap();
                }
            });
        }
    });
    let store = open(&folder);
    assert_eq!(store.names("name-").unwrap().len(), 160);
    assert_eq!(store.referrers(&subject).unwrap().len(), 160);
}

#[tokio::test]
async fn attaching_twice_is_attaching_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(open(&folder));
    let subject = store.put(media_type::INDEX, b"{}").await.unwrap();
    let document = store.put("text/plain", b"note").await.unwrap();
    let mut manifest = Manifest::artefact("text/plain", vec![document]);
    manifest.subject = Some(subject.clone());
    let first = store.attach(&manifest).await.unwrap();
    let second = store.attach(&manifest).await.unwrap();
    assert_eq!(first, second);
    let found = store
        .referrers(&subject.digest, Some("text/plain"))
        .await
        .unwrap();
    assert_eq!(found, [first]);
    assert!(
        store
            .referrers(&subject.digest, Some("other"))
            .await
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_folder_that_is_no_layout_of_this_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("oci-layout"),
        "{\"imageLayoutVersion\":\"9\"}",
    )
    .unwrap();
    let error = DirectoryStore::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("imageLayoutVersion"), "{error}");
}

#[test]
fn many_names_cost_no_more_than_few_and_others_still_read_the_layout() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let blob = |n: usize| Descriptor::of(media_type::INDEX, format!("{n}"));
    for n in 0..300 {
        let digest = Digest::of(format!("{n}"));
        store.tag(&RefName::outcome(&digest), &blob(n)).unwrap();
        store.tag(&RefName::findings(&digest), &blob(n)).unwrap();
        store.add_referrer(&digest, &blob(n)).unwrap();
    }
    let package: RefName = "package-demo".parse().unwrap();
    let image: RefName = "findings-1.0".parse().unwrap();
    store.tag(&package, &blob(7)).unwrap();
    store.tag(&image, &blob(8)).unwrap();
    // What other tools read names what is for them, and does not grow with what is not.
    let read = || {
        let bytes = std::fs::read(folder.path().join("index.json")).unwrap();
        let index: quench_content::artefact::Index = serde_json::from_slice(&bytes).unwrap();
        index.manifests.len()
    };
    assert_eq!(read(), 2);
    // Another process, and this one, see each other's changes.
    let other = open(&folder);
    assert_eq!(other.names("").unwrap().len(), 902);
    assert_eq!(other.names("outcome-").unwrap().len(), 300);
    assert_eq!(
        other.names("package-").unwrap(),
        std::slice::from_ref(&package)
    );
    assert_eq!(other.resolve(&image).unwrap(), Some(blob(8)));
    other.tag(&package, &blob(9)).unwrap();
    assert_eq!(store.resolve(&package).unwrap(), Some(blob(9)));
    assert_eq!(store.referrers(&Digest::of("5")).unwrap(), [blob(5)]);
}

#[test]
fn names_in_the_index_of_an_older_store_are_found_and_can_move() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder);
    let name = RefName::outcome(&Digest::of("x"));
    let (old, new) = (Descriptor::of("a", "old"), Descriptor::of("a", "new"));
    let listed = old
        .clone()
        .annotated("org.opencontainers.image.ref.name", name.as_str());
    let index = quench_content::artefact::Index::of(vec![listed]);
    std::fs::write(
        folder.path().join("index.json"),
        serde_json::to_vec(&index).unwrap(),
    )
    .unwrap();
    assert_eq!(store.resolve(&name).unwrap(), Some(old));
    store.tag(&name, &new).unwrap();
    assert_eq!(open(&folder).resolve(&name).unwrap(), Some(new));
    assert_eq!(store.names("outcome-").unwrap(), [name]);
}
