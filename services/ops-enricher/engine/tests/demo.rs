//! The demo chart and image through levels 2 to 4.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};

use quench_chart::Chart;
use quench_chart::render::{Helm, Request as RenderRequest};
use quench_content::{DirectoryStore, Store};
use quench_model::{
    Descriptor, FindingKind, FindingState, Level, Policy, RuleSetting, Target, media_type,
};
use quench_ops_enricher_engine::Engine;
use quench_ops_enricher_engine::licences::{LicenceDocument, LicenceStatus};
use quench_package::{
    Context, ImageLock, Package, PackageImage, PackageParts, Request, attachments,
};
use serde_json::Value;

fn helm() -> Option<Helm> {
    Helm::find()
        .inspect_err(|error| eprintln!("SKIPPED: {error}"))
        .ok()
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    (folder, store)
}

/// Copies the demo image (`deploy/demo/build-image.py`) into a store.
fn demo_image(folder: &Path) -> Option<Descriptor> {
    let Some(layout) = std::env::var_os("QUENCH_DEMO_IMAGE").map(PathBuf::from) else {
        eprintln!("SKIPPED: QUENCH_DEMO_IMAGE names no OCI layout of the demo image");
        return None;
    };
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        std::fs::copy(
            blob.path(),
            folder.join("blobs/sha256").join(blob.file_name()),
        )
        .unwrap();
    }
    let index: Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    serde_json::from_value(index["manifests"][0].clone()).unwrap()
}

/// The demo chart at level 1, with an image or without.
async fn package(store: &Store, image: Option<Descriptor>, request: Request) -> Package {
    let chart = Chart::load(Path::new("../../../deploy/demo/chart")).unwrap();
    let images = image.map(|descriptor| PackageImage {
        reference: "registry.example.org/demo/nginx:1.22".parse().unwrap(),
        original: descriptor.digest.clone(),
        descriptor,
    });
    let parts = PackageParts {
        name: "demo-web".parse().unwrap(),
        version: chart.version().to_owned(),
        level: Level::Integrated,
        previous: None,
        chart: chart.clone(),
        images: images.into_iter().collect(),
        request: request.store(store).await.unwrap(),
        lock: ImageLock::default(),
    };
    Package::store(store, parts).await.unwrap()
}

/// All text the chart of a package renders to.
async fn rendered(helm: &Helm, store: &Store, package: &Package) -> Vec<Value> {
    let chart = package.load_chart(store).await.unwrap();
    let rendered = helm
        .render(&chart, &RenderRequest::default())
        .await
        .unwrap();
    rendered.objects().cloned().collect()
}

fn label(objects: &[Value], key: &str) -> Vec<Option<String>> {
    objects
        .iter()
        .map(|object| {
            let labels = object.pointer("/metadata/labels");
            labels
                .and_then(|l| l.get(key))
                .and_then(Value::as_str)
                .map(str::to_owned)
        })
        .collect()
}

#[tokio::test]
async fn a_package_becomes_operable_without_losing_what_it_was() {
    let Some(helm) = helm() else {
        return;
    };
    let (folder, store) = store();
    let Some(image) = demo_image(folder.path()) else {
        return;
    };
    let request = Request {
        target: Target {
            owner: Some("team-web".to_owned()),
            contact: Some("web@example.org".to_owned()),
            ..Target::default()
        },
        ..Request::default()
    };
    let context = Context::new(store.clone());
    let start = package(&store, Some(image), request).await;
    let configured = quench_config_hardener_engine::Engine::new(helm.clone())
        .run(&start, &context)
        .await
        .unwrap();
    let secured = quench_scanner_engine::Engine::new(None)
        .run(&configured.package, &context)
        .await
        .unwrap();
    let engine = Engine::new(helm.clone());
    let time = std::time::Instant::now();
    let operable = engine.run(&secured.package, &context).await.unwrap();
    eprintln!("level 4 in {:?}", time.elapsed());
    assert_eq!(operable.package.level, Level::Operable);
    assert_eq!(operable.refusal, None);
    assert_eq!(operable.package.images, start.images);

    // Level 4's rules act in the chart that level 2 hardened, and level 2's still do.
    let before = rendered(&helm, &store, &secured.package).await;
    let after = rendered(&helm, &store, &operable.package).await;
    let managed_by = "app.kubernetes.io/managed-by";
    assert!(label(&before, managed_by).iter().any(Option::is_none));
    assert!(label(&after, managed_by).iter().all(Option::is_some));
    let probed = |objects: &[Value]| {
        let text = serde_json::to_string(objects).unwrap();
        text.contains("\"readinessProbe\"")
    };
    assert!(!probed(&before) && probed(&after));
    let hardened = |objects: &[Value]| {
        let text = serde_json::to_string(objects).unwrap();
        text.contains("\"readOnlyRootFilesystem\":true") && text.contains("\"runAsNonRoot\":true")
    };
    assert!(hardened(&before) && hardened(&after));

    // Each finding once; those of level 2 are as they were, those of level 3 are carried on.
    let ids: std::collections::BTreeSet<_> = operable.findings.iter().map(|f| &f.id).collect();
    assert_eq!(ids.len(), operable.findings.len());
    for finding in &secured.findings {
        let now = operable.findings.iter().find(|f| f.id == finding.id);
        let now = now.unwrap_or_else(|| panic!("{finding:?} is lost"));
        assert_eq!(now.state, finding.state, "{finding:?}");
    }
    let own_rules = operable
        .findings
        .iter()
        .any(|f| f.level == Level::Operable && f.kind == FindingKind::Configuration);
    assert!(own_rules);

    let kind = Some(media_type::LICENCES);
    let revision = &operable.package.revision.digest;
    let found = attachments(&store, revision, kind).await.unwrap();
    let document: LicenceDocument = store.read_json(&found[0].document, 1 << 26).await.unwrap();
    let packages = &document.images[0].platforms[0].packages;
    assert_eq!(packages.len(), 109);
    let count = |status| packages.iter().filter(|p| p.status == status).count();
    eprintln!(
        "{} declared, {} unlisted, {} unknown",
        count(LicenceStatus::Declared),
        count(LicenceStatus::Unlisted),
        count(LicenceStatus::Unknown)
    );
    assert_eq!(count(LicenceStatus::Unknown), document.unknown);
    assert!(
        document
            .notice
            .contains("Image registry.example.org/demo/nginx:1.22 (linux/amd64)")
    );
    let unknown = operable
        .findings
        .iter()
        .filter(|f| f.canonical_id == "licence-unknown" && f.subject.purl.is_some());
    assert_eq!(unknown.count(), document.unknown);

    let again = engine.run(&secured.package, &context).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.package, operable.package);
}

#[tokio::test]
async fn unknown_licences_are_findings_unless_the_policy_says_otherwise() {
    let Some(helm) = helm() else {
        return;
    };
    let (_folder, store) = store();
    let context = Context::new(store.clone());
    let engine = Engine::new(helm);
    let input = package(&store, None, Request::default()).await;
    let outcome = engine.run(&input, &context).await.unwrap();
    let finding = outcome
        .findings
        .iter()
        .find(|f| f.kind == FindingKind::Licence)
        .unwrap();
    assert_eq!(finding.state, FindingState::Opened);
    assert_eq!(finding.subject.location.as_deref(), Some("Chart.yaml"));

    let mut policy = Policy::default();
    let off = RuleSetting {
        enabled: false,
        fix: false,
    };
    policy.rules.insert("licence-unknown".to_owned(), off);
    let request = Request {
        policy,
        ..Request::default()
    };
    let input = package(&store, None, request).await;
    let outcome = engine.run(&input, &context).await.unwrap();
    assert!(
        outcome
            .findings
            .iter()
            .all(|f| f.kind != FindingKind::Licence)
    );
}
