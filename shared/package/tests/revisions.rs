//! Revisions, attachments and replayed work, on a real store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::sync::atomic::{AtomicUsize, Ordering};

use quench_chart::Chart;
use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, Store};
use quench_model::{Finding, FindingKind, Level, Severity, Subject, media_type};
use quench_package::{
    Attachment, Context, EngineError, ImageLock, Outcome, Package, PackageImage, PackageParts,
    Request, Work, attachments, current_findings, replace_findings,
};

async fn package(store: &Store, images: &[&str]) -> Package {
    let metadata = "apiVersion: v2\nname: demo\nversion: 1.2.3\n";
    let chart = Chart::from_files([("Chart.yaml".to_owned(), metadata.into())].into()).unwrap();
    let request = Request::default().store(store).await.unwrap();
    let mut package_images = Vec::new();
    for reference in images {
        let layer = store
            .put(media_type::LAYER, reference.as_bytes())
            .await
            .unwrap();
        let image = Manifest::artefact("", vec![layer]);
        let descriptor = store.put_manifest(&image).await.unwrap();
        package_images.push(PackageImage {
            reference: reference.parse().unwrap(),
            original: descriptor.digest.clone(),
            descriptor,
        });
    }
    let parts = PackageParts {
        name: "demo".parse().unwrap(),
        version: "1.2.3".into(),
        level: Level::Integrated,
        previous: None,
        chart,
        images: package_images,
        request,
        lock: ImageLock::default(),
    };
    Package::store(store, parts).await.unwrap()
}

fn finding(id: &str, severity: Severity) -> Finding {
    let subject = Subject {
        package: "demo".parse().unwrap(),
        image: None,
        purl: None,
        location: Some("Deployment/web".into()),
    };
    Finding::opened(
        FindingKind::Configuration,
        id,
        subject,
        severity,
        Level::Configured,
        id,
    )
}

#[tokio::test]
async fn a_revision_is_named_by_what_is_in_it_and_loads_as_it_was_stored() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    let one = package(&store, &["a.example/x:1", "b.example/y:2"]).await;
    let other_order = package(&store, &["b.example/y:2", "a.example/x:1"]).await;
    assert_eq!(one, other_order);
    assert_ne!(
        one.revision.digest,
        package(&store, &["a.example/x:1"]).await.revision.digest
    );
    assert_eq!(Package::load(&store, &one.revision).await.unwrap(), one);

    let parts = one.advance(&store, Level::Configured).await.unwrap();
    let next = Package::store(&store, parts).await.unwrap();
    assert_eq!(next.previous.as_ref(), Some(&one.revision.digest));
    let lineage = next.lineage(&store).await.unwrap();
    assert_eq!(lineage, [next, one]);
}

#[tokio::test]
async fn what_is_no_package_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    let index = store
        .put(media_type::INDEX, b"{\"schemaVersion\":2,\"manifests\":[]}")
        .await
        .unwrap();
    let error = Package::load(&store, &index).await.unwrap_err().to_string();
    assert!(error.contains(&index.digest.to_string()), "{error}");
    assert!(error.contains("artifactType"), "{error}");
}

#[tokio::test]
async fn findings_are_replaced_and_attachments_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    let package = package(&store, &[]).await;
    assert!(current_findings(&store, &package).await.unwrap().is_empty());
    let mut first = vec![finding("b", Severity::Low), finding("a", Severity::High)];
    replace_findings(&store, &package.revision, Level::Configured, &mut first)
        .await
        .unwrap();
    let stored = current_findings(&store, &package).await.unwrap();
    assert_eq!(
        stored
            .iter()
            .map(|f| f.canonical_id.as_str())
            .collect::<Vec<_>>(),
        ["a", "b"]
    );
    let mut second = vec![finding("c", Severity::Low)];
    replace_findings(&store, &package.revision, Level::Secured, &mut second)
        .await
        .unwrap();
    assert_eq!(current_findings(&store, &package).await.unwrap(), second);

    Attachment::attach(
        &store,
        &package.revision,
        media_type::REPORT,
        Level::Secured,
        None,
        b"{}",
    )
    .await
    .unwrap();
    let reports = attachments(&store, &package.revision.digest, Some(media_type::REPORT))
        .await
        .unwrap();
    assert_eq!(reports.len(), 1);
    assert_eq!(reports[0].level, Some(Level::Secured));
    let all = attachments(&store, &package.revision.digest, None)
        .await
        .unwrap();
    assert_eq!(all.len(), 3);
}

#[tokio::test]
async fn the_same_work_is_done_once_and_other_work_again() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::new(Store::Directory(
        DirectoryStore::open(folder.path()).unwrap(),
    ));
    let input = package(&context.store, &[]).await;
    let policy = quench_model::Policy::default().digest();
    let epoch = quench_model::Digest::of(b"epoch");
    let done = AtomicUsize::new(0);
    let run = async |epoch: Option<&quench_model::Digest>| {
        let work = Work {
            level: Level::Configured,
            engine_version: "1",
            input: &input.revision.digest,
            policy: &policy,
            epoch,
        };
        work.replay_or_run(&context, || async {
            done.fetch_add(1, Ordering::Relaxed);
            let parts = input.advance(&context.store, Level::Configured).await?;
            let next = Package::store(&context.store, parts).await?;
            let mut outcome = Outcome::new(next, vec![finding("a", Severity::High)]);
            outcome.refusal = Some("because".into());
            Ok(outcome)
        })
        .await
        .unwrap()
    };
    let first = run(None).await;
    let second = run(None).await;
    assert_eq!(done.load(Ordering::Relaxed), 1);
    assert!(!first.replayed && second.replayed);
    assert_eq!(first.package, second.package);
    assert_eq!(first.findings, second.findings);
    assert_eq!(second.refusal.as_deref(), Some("because"));
    assert!(!run(Some(&epoch)).await.replayed);
    assert_eq!(done.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn work_that_fails_leaves_no_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::new(Store::Directory(
        DirectoryStore::open(folder.path()).unwrap(),
    ));
    let input = package(&context.store, &[]).await;
    let policy = quench_model::Policy::default().digest();
    let work = Work {
        level: Level::Configured,
        engine_version: "1",
        input: &input.revision.digest,
        policy: &policy,
        epoch: None,
    };
    let failed = work
        .replay_or_run(&context, || async { Err(EngineError::Input("no".into())) })
        .await;
    assert!(failed.is_err());
    assert!(work.replay(&context.store).await.unwrap().is_none());
}
