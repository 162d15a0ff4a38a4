//! A package handed from one store to another as a file.

use quench_content::{DirectoryStore, RegistryAccess, RegistryConfig, RegistryStore, Store};
use quench_ingestor_engine::source::ChartSource;
use quench_ingestor_engine::{Engine, EngineOptions, PackOptions, pack};
use quench_model::{Finding, FindingKind, Level, Severity, Subject, media_type};
use quench_package::{
    Attachment, Base, Context, Package, current_findings, export_file, history, import, publish,
    replace_findings, verify_file, verify_package,
};
use time::macros::date;

use crate::made::{DEPLOYMENT, blobs, chart, context, have, layout, store};
use crate::server::Registry;

/// A package of two levels with a real image, findings and an SBOM.
async fn package(folder: &tempfile::TempDir, store: &DirectoryStore) -> Package {
    let image = layout(folder.path(), "app", "latest", "one");
    let chart = chart(folder.path(), "demo", &[("web.yaml", DEPLOYMENT)]);
    let mut options = PackOptions::new(ChartSource::Folder(chart));
    options.images = vec![format!("oci:{}", image.display()).parse().unwrap()];
    let context = context(store);
    let submission = pack(&options, date!(2026 - 01 - 01), &context)
        .await
        .unwrap();
    let engine = Engine::new(EngineOptions::default());
    let first = engine.run(&submission, &context).await.unwrap().package;
    let store = &context.store;
    let parts = first.advance(store, Level::Configured).await.unwrap();
    let package = Package::store(store, parts).await.unwrap();
    Attachment::attach(
        store,
        &package.revision,
        media_type::CYCLONEDX,
        Level::Configured,
        Some(&package.images[0].descriptor.digest),
        b"{\"bomFormat\":\"CycloneDX\"}",
    )
    .await
    .unwrap();
    find(store, &package, "first").await;
    package
}

async fn find(store: &Store, package: &Package, id: &str) {
    let subject = Subject {
        package: package.name.clone(),
        image: None,
        purl: None,
        location: None,
    };
    let kind = FindingKind::Configuration;
    let found = Finding::opened(kind, id, subject, Severity::Low, Level::Configured, id);
    replace_findings(store, &package.revision, Level::Configured, &mut [found])
        .await
        .unwrap();
}

#[tokio::test]
async fn an_imported_package_is_the_same_package() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = store(&folder);
    let package = package(&folder, &here).await;
    let here = Store::Directory(here);
    let file = folder.path().join("demo.quench.tar");
    export_file(&Context::new(here.clone()), &package, None, &file)
        .await
        .unwrap();
    let bytes = std::fs::read(&file).unwrap();

    let mut stores = vec![Store::Directory(
        DirectoryStore::open(folder.path().join("there")).unwrap(),
    )];
    let registry = Registry::start().await;
    if let Some(registry) = &registry {
        let config = RegistryConfig {
            repository: format!("{}/quench/store", registry.host),
            cache: folder.path().join("cache"),
            access: RegistryAccess::default(),
        };
        stores.push(Store::Registry(RegistryStore::open(config).unwrap()));
    }
    for there in stores {
        // Twice is once.
        for _ in 0..2 {
            let imported = import(&Context::new(there.clone()), &file).await.unwrap();
            assert_eq!(imported.package, package);
        }
        let verified = verify_package(&there, &package).await.unwrap();
        assert_eq!(verified, verify_file(&file).unwrap());
        let again = folder.path().join("again.quench.tar");
        export_file(&Context::new(there.clone()), &package, None, &again)
            .await
            .unwrap();
        assert!(std::fs::read(&again).unwrap() == bytes, "{}", there.place());
        // What was found since is not taken back by the file.
        find(&there, &package, "second").await;
        import(&Context::new(there.clone()), &file).await.unwrap();
        let current = current_findings(&there, &package).await.unwrap();
        assert_eq!(current[0].canonical_id, "second");
    }
}

#[tokio::test]
async fn a_damaged_file_leaves_nothing_in_the_store() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let here = store(&folder);
    let package = package(&folder, &here).await;
    let file = folder.path().join("demo.quench.tar");
    export_file(&Context::new(Store::Directory(here)), &package, None, &file)
        .await
        .unwrap();
    let whole = std::fs::read(&file).unwrap();
    let there = DirectoryStore::open(folder.path().join("there")).unwrap();
    for at in [1, whole.len() / 2, whole.len() - 1] {
        let mut changed = whole.clone();
        changed[at] ^= 1;
        std::fs::write(&file, &changed).unwrap();
        let error = import(&Context::new(Store::Directory(there.clone())), &file)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("demo.quench.tar"), "{error}");
        std::fs::write(&file, &whole[..at]).unwrap();
        assert!(
            import(&Context::new(Store::Directory(there.clone())), &file)
                .await
                .is_err()
        );
    }
    assert!(blobs(&there).is_empty());
    assert!(there.names("").unwrap().is_empty());
}

#[tokio::test]
async fn a_registry_keeps_the_history_of_all_writers_and_takes_deltas() {
    if !have(&["umoci", "helm"]) {
        return;
    }
    let Some(registry) = Registry::start().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let local = store(&folder);
    let package = package(&folder, &local).await;
    let here = Context::new(Store::Directory(local));
    let open = |cache: &str| {
        let config = RegistryConfig {
            repository: format!("{}/quench/store", registry.host),
            cache: folder.path().join(cache),
            access: RegistryAccess::default(),
        };
        Store::Registry(RegistryStore::open(config).unwrap())
    };
    let (full, delta) = (
        folder.path().join("full.tar"),
        folder.path().join("delta.tar"),
    );
    export_file(&here, &package, None, &full).await.unwrap();
    let parts = package.advance(&here.store, Level::Secured).await.unwrap();
    let next = Package::store(&here.store, parts).await.unwrap();
    let base = Base::of_file(&full).unwrap();
    let summary = export_file(&here, &next, Some(&base), &delta)
        .await
        .unwrap();
    let whole = std::fs::metadata(&full).unwrap().len();
    // The image is a few kilobytes; headers of the manifests weigh as much.
    assert!(summary.bytes < whole, "{} of {whole}", summary.bytes);
    assert!(!summary.delta.unwrap().presumed.is_empty());

    let there = Context::new(open("cache"));
    let error = import(&there, &delta).await.unwrap_err().to_string();
    assert!(
        error.contains(&package.revision.digest.to_string()),
        "{error}"
    );
    import(&there, &full).await.unwrap();
    let imported = import(&there, &delta).await.unwrap().package;
    assert_eq!(imported, next);
    verify_package(&there.store, &next).await.unwrap();

    // Writers with caches of their own, as on machines of their own, publish at the same time.
    let mut revisions = vec![next.clone()];
    for level in [Level::Operable, Level::Minimized] {
        for images in [0, 1] {
            let mut parts = next.advance(&there.store, level).await.unwrap();
            parts.images.truncate(images);
            revisions.push(Package::store(&there.store, parts).await.unwrap());
        }
    }
    let writers: Vec<_> = revisions
        .iter()
        .enumerate()
        .map(|(number, package)| {
            let (store, package) = (open(&format!("cache-{number}")), package.clone());
            tokio::spawn(async move {
                // Twice is once.
                publish(&store, &package).await.unwrap();
                publish(&store, &package).await.unwrap();
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let entries = history(&open("reader"), &next.name).await.unwrap();
    assert!(
        entries
            .iter()
            .zip(1..)
            .all(|(e, number)| e.number == number)
    );
    let mut found: Vec<_> = entries.into_iter().map(|entry| entry.revision).collect();
    let mut expected: Vec<_> = revisions
        .iter()
        .map(|package| package.revision.digest.clone())
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}
