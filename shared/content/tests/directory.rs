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
    let names = store.tags().unwrap();
    assert_eq!(
        names
            .iter()
            .filter(|(n, _)| n.as_str().starts_with("name-"))
            .count(),
        160
    );
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
