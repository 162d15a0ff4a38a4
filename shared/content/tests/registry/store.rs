//! A repository of a real registry as a store.

use std::io::Write;

use quench_content::artefact::{Index, Manifest};
use quench_content::{RefName, RegistryAccess, RegistryConfig, RegistryStore, Store, StoreError};
use quench_model::{Descriptor, Digest, media_type};

use crate::server::Registry;

fn open(registry: &Registry, cache: &tempfile::TempDir) -> Store {
    let config = RegistryConfig {
        repository: format!("{}/quench/store", registry.host),
        cache: cache.path().to_owned(),
        access: RegistryAccess::default(),
    };
    Store::Registry(RegistryStore::open(config).unwrap())
}

fn cache() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[tokio::test]
async fn what_one_machine_stores_another_reads() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let (here, there) = (cache(), cache());
    let (writer, reader) = (open(&registry, &here), open(&registry, &there));

    let mut staged = writer.writer().unwrap();
    // Larger than any buffer on the way, and not compressible to one chunk.
    for block in 0..3000_u32 {
        let bytes: Vec<u8> = (0..1024_u32)
            .flat_map(|i| (i.wrapping_mul(block)).to_le_bytes())
            .collect();
        staged.write_all(&bytes).unwrap();
    }
    let layer = writer.commit(staged, media_type::LAYER).await.unwrap();
    let manifest = Manifest::artefact("application/vnd.example.thing", vec![layer.clone()]);
    let manifest = writer.put_manifest(&manifest).await.unwrap();
    let mut index = Index::of(vec![manifest.clone()]);
    index.artifact_type = Some(media_type::PACKAGE.to_owned());
    let revision = writer.put_json(media_type::INDEX, &index).await.unwrap();
    let name: RefName = "package-demo".parse().unwrap();
    writer.tag(&name, &revision).await.unwrap();

    let found = reader.resolve(&name).await.unwrap().unwrap();
    assert_eq!(found.digest, revision.digest);
    assert_eq!(found.artifact_type.as_deref(), Some(media_type::PACKAGE));
    assert_eq!(reader.index(&found).await.unwrap(), index);
    let path = reader.file(&layer).await.unwrap();
    assert!(path.starts_with(there.path()));
    assert_eq!(Digest::of(std::fs::read(path).unwrap()), layer.digest);
    reader.verify(&layer).await.unwrap();
    assert_eq!(reader.names("package-").await.unwrap(), [name]);
    assert!(reader.names("outcome-").await.unwrap().is_empty());
    // Earlier revisions are known by their digest alone.
    let bare = Descriptor {
        size: 0,
        ..revision.clone()
    };
    assert_eq!(open(&registry, &cache()).index(&bare).await.unwrap(), index);

    let absent = Descriptor::of(media_type::LAYER, b"never stored");
    assert!(!reader.contains(&absent).await.unwrap());
    let error = reader.file(&absent).await.unwrap_err();
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    let unknown: RefName = "package-other".parse().unwrap();
    assert_eq!(reader.resolve(&unknown).await.unwrap(), None);
}

#[tokio::test]
async fn a_damaged_cache_is_mended_from_the_registry() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = cache();
    let store = open(&registry, &folder);
    let stored = store
        .put(media_type::REPORT, b"{\"good\":1}")
        .await
        .unwrap();
    let path = store.file(&stored).await.unwrap();
    std::fs::write(&path, b"{\"evil\":1}").unwrap();
    assert_eq!(store.read(&stored, 100).await.unwrap(), b"{\"good\":1}");
}

#[tokio::test]
async fn attachments_of_many_writers_are_all_kept() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    const WRITERS: usize = 6;
    const EACH: usize = 4;
    let folders: Vec<_> = (0..WRITERS).map(|_| cache()).collect();
    let first = open(&registry, &folders[0]);
    let subject = first
        .put_json(media_type::INDEX, &Index::of(Vec::new()))
        .await
        .unwrap();
    // Each with a cache of its own, as on different machines: no lock keeps them apart.
    let writers = folders.iter().enumerate().map(|(number, folder)| {
        let store = open(&registry, folder);
        let subject = subject.clone();
        tokio::spawn(async move {
            for count in 0..EACH {
                let text = format!("{{\"writer\":{number},\"count\":{count}}}");
                let layer = store
                    .put(media_type::REPORT, text.as_bytes())
                    .await
                    .unwrap();
                let mut manifest = Manifest::artefact(media_type::REPORT, vec![layer]);
                manifest.subject = Some(subject.clone());
                manifest.annotations.insert("n".into(), text);
                store.attach(&manifest).await.unwrap();
                // Twice is once.
                store.attach(&manifest).await.unwrap();
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap();
    }
    let folder = cache();
    let reader = open(&registry, &folder);
    let found = reader.referrers(&subject.digest, None).await.unwrap();
    assert_eq!(found.len(), WRITERS * EACH);
    assert!(found.is_sorted_by(|a, b| a.digest < b.digest));
    assert!(found.iter().all(|d| d.annotation("n").is_some()));
    let reports = reader
        .referrers(&subject.digest, Some(media_type::REPORT))
        .await
        .unwrap();
    assert_eq!(reports, found);
    let others = reader
        .referrers(&subject.digest, Some(media_type::SARIF))
        .await
        .unwrap();
    assert!(others.is_empty());
}

#[tokio::test]
async fn a_referrer_lost_from_the_index_is_still_found() {
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = cache();
    let store = open(&registry, &folder);
    let subject = store
        .put_json(media_type::INDEX, &Index::of(Vec::new()))
        .await
        .unwrap();
    let layer = store.put(media_type::SARIF, b"{}").await.unwrap();
    let mut manifest = Manifest::artefact(media_type::SARIF, vec![layer]);
    manifest.subject = Some(subject.clone());
    let attached = store.attach(&manifest).await.unwrap();
    // What a writer with an old view of the index does to it.
    store
        .tag(&RefName::referrers(&subject.digest), &subject)
        .await
        .unwrap();
    let found = store
        .referrers(&subject.digest, Some(media_type::SARIF))
        .await
        .unwrap();
    assert_eq!(found, [attached]);
}

#[tokio::test]
async fn a_store_without_its_registry_says_so_and_can_be_tried_again() {
    // A port nothing listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = free.local_addr().unwrap().to_string();
    drop(free);
    let folder = cache();
    let config = RegistryConfig {
        repository: format!("{host}/quench"),
        cache: folder.path().to_owned(),
        access: RegistryAccess::default(),
    };
    let store = RegistryStore::open(config).unwrap();
    let error = tokio::time::timeout(std::time::Duration::from_secs(60), store.ping())
        .await
        .unwrap()
        .unwrap_err();
    assert!(error.retry_after().is_some(), "{error}");
    assert!(error.to_string().contains(&host), "{error}");
}
