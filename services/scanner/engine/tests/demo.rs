//! The demo image under real advisories, through the whole engine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::PathBuf;
use std::sync::Arc;

use quench_advisories::Epoch;
use quench_chart::Chart;
use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, Store};
use quench_model::{Descriptor, FindingKind, FindingState, Level, Policy, Waiver, media_type};
use quench_package::{
    Context, ImageLock, Outcome, Package, PackageImage, PackageParts, Request, attachments,
    current_findings,
};
use quench_scanner_engine::Engine;
use serde_json::Value;

struct Demo {
    folder: tempfile::TempDir,
    store: Store,
    image: Descriptor,
}

/// A store with the demo image (`deploy/demo/build-image.py`) in it.
fn demo() -> Option<Demo> {
    let Some(layout) = std::env::var_os("QUENCH_DEMO_IMAGE").map(PathBuf::from) else {
        eprintln!("SKIPPED: QUENCH_DEMO_IMAGE names no OCI layout of the demo image");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let target = folder.path().join("blobs/sha256").join(blob.file_name());
        std::fs::copy(blob.path(), target).unwrap();
    }
    let index: Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let image = serde_json::from_value(index["manifests"][0].clone()).unwrap();
    Some(Demo {
        folder,
        store,
        image,
    })
}

impl Demo {
    async fn package(&self, policy: Policy) -> Package {
        let request = Request {
            policy,
            ..Request::default()
        };
        let metadata = "apiVersion: v2\nname: demo\nversion: 1.0.0\n";
        let files = [("Chart.yaml".to_owned(), metadata.into())];
        let parts = PackageParts {
            name: "demo".parse().unwrap(),
            version: "1.0.0".to_owned(),
            level: Level::Configured,
            previous: None,
            chart: Chart::from_files(files.into()).unwrap(),
            images: vec![PackageImage {
                reference: "registry.example.org/demo/nginx:1.22".parse().unwrap(),
                original: self.image.digest.clone(),
                descriptor: self.image.clone(),
            }],
            request: request.store(&self.store).await.unwrap(),
            lock: ImageLock::default(),
        };
        Package::store(&self.store, parts).await.unwrap()
    }

    async fn run(&self, epoch: Option<Arc<Epoch>>, policy: Policy) -> Outcome {
        let package = self.package(policy).await;
        let context = Context::new(self.store.clone());
        Engine::new(epoch).run(&package, &context).await.unwrap()
    }

    fn epoch(&self) -> Arc<Epoch> {
        let source = PathBuf::from("../../../deploy/demo/advisories");
        let (epoch, report) = Epoch::build(&[source], &self.folder.path().join("epochs")).unwrap();
        assert_eq!(report.malformed, 0);
        Arc::new(epoch)
    }

    async fn report(&self, package: &Package) -> Value {
        let kind = Some(media_type::REPORT);
        let found = attachments(&self.store, &package.revision.digest, kind)
            .await
            .unwrap();
        self.store
            .read_json(&found[0].document, 1 << 20)
            .await
            .unwrap()
    }
}

#[tokio::test]
async fn the_demo_s_vulnerabilities_are_found_gated_and_waived() {
    let Some(demo) = demo() else {
        return;
    };
    let epoch = demo.epoch();
    let start = std::time::Instant::now();
    let outcome = demo.run(Some(epoch.clone()), Policy::default()).await;
    let cold = start.elapsed();
    assert_eq!(outcome.package.level, Level::Secured);
    let vulnerabilities: Vec<_> = outcome
        .findings
        .iter()
        .filter(|f| f.kind == FindingKind::Vulnerability)
        .collect();
    for finding in &vulnerabilities {
        eprintln!(
            "{:8} {} -> {:?}",
            finding.severity.name(),
            finding.title,
            finding.fixed_version
        );
        assert_eq!(finding.state, FindingState::Opened);
        assert!(!finding.evidence.is_empty());
        let cause = finding.cause.as_ref().unwrap();
        assert_eq!(cause.epoch.as_ref(), Some(epoch.digest()));
    }
    assert!(vulnerabilities.len() > 10);
    let completeness: Vec<_> = outcome
        .findings
        .iter()
        .filter(|f| f.kind == FindingKind::Completeness)
        .collect();
    assert_eq!(completeness, Vec::<&quench_model::Finding>::new());

    // Replayed, and made again by another engine over a warm cache.
    let again = demo.run(Some(epoch.clone()), Policy::default()).await;
    assert!(again.replayed);
    assert_eq!(again.findings, outcome.findings);
    assert_eq!(again.refusal, outcome.refusal);

    let report = demo.report(&outcome.package).await;
    eprintln!("scanned in {cold:?}: {report:#}");
    let told = &report["images"][0]["platforms"][0];
    assert_eq!(told["packages"], 109);
    assert_eq!(told["unchecked"], serde_json::json!([]));
    let counted: u64 = told["vulnerabilities"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(counted as usize, vulnerabilities.len());

    // Debian has fixed every critical one it means to fix, so the default gate is content; one that also counts what has
    // no fix is not, until a waiver accepts it.
    assert_eq!(outcome.refusal, None);
    let mut strict = Policy::default();
    strict.gate.fixable_only = false;
    let refused = demo.run(Some(epoch.clone()), strict.clone()).await;
    let reason = refused.refusal.unwrap();
    assert!(reason.contains("CVE-2023-45853 in zlib1g"), "{reason}");

    let mut waiving = strict.clone();
    waiving.waivers = vec![Waiver {
        rule: "CVE-2023-45853".into(),
        kind: Some("Image".into()),
        name: Some("registry.example.org/demo/*".into()),
        container: None,
        reason: "minizip is not built".into(),
        expires: Some("2030-01-31".into()),
    }];
    let waived = demo.run(Some(epoch.clone()), waiving).await;
    assert_eq!(waived.refusal, None);
    let suppressed: Vec<_> = waived
        .findings
        .iter()
        .filter(|f| f.state == FindingState::Suppressed)
        .collect();
    assert_eq!(suppressed.len(), 1);
    assert_eq!(
        suppressed[0].suppression.as_ref().unwrap().reason,
        "minizip is not built"
    );

    let mut open = strict;
    open.gate.enforce = false;
    let passed = demo.run(Some(epoch), open).await;
    assert_eq!(passed.refusal, None);
    let report = demo.report(&passed.package).await;
    assert!(
        report["gate"]["refusal"]
            .as_str()
            .unwrap()
            .contains("CVE-2023-45853")
    );
}

#[tokio::test]
async fn without_advisories_nothing_passes_for_clean() {
    let Some(demo) = demo() else {
        return;
    };
    let outcome = demo.run(None, Policy::default()).await;
    assert_eq!(outcome.refusal, None);
    let unchecked = |id: &str| outcome.findings.iter().any(|f| f.canonical_id == id);
    assert!(unchecked("no-advisories"));
    assert!(
        outcome
            .findings
            .iter()
            .all(|f| f.kind != FindingKind::Vulnerability)
    );
    let stored = current_findings(&demo.store, &outcome.package)
        .await
        .unwrap();
    assert_eq!(stored, outcome.findings);

    let mut strict = Policy::default();
    strict.gate.unchecked = true;
    assert!(demo.run(None, strict).await.refusal.is_some());

    // An epoch of another world: the distribution is not covered, and that is said.
    let foreign = tempfile::tempdir().unwrap();
    let record = r#"{"schema_version":"1.6.0","id":"X-1","modified":"2024-01-01T00:00:00Z","affected":[{"package":
        {"ecosystem":"Alpine:v3.20","name":"musl"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"1"}]}]}]}"#;
    std::fs::write(foreign.path().join("X-1.json"), record).unwrap();
    let (epoch, _) = Epoch::build(
        &[foreign.path().to_owned()],
        &demo.folder.path().join("epochs"),
    )
    .unwrap();
    let outcome = demo.run(Some(Arc::new(epoch)), Policy::default()).await;
    let finding = outcome
        .findings
        .iter()
        .find(|f| f.canonical_id == "advisories-not-covering")
        .unwrap();
    assert_eq!(finding.subject.location.as_deref(), Some("Debian:12"));
    let report = demo.report(&outcome.package).await;
    assert_eq!(
        report["images"][0]["platforms"][0]["unchecked"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn every_platform_has_its_documents_and_an_unreadable_image_is_no_clean_one() {
    let Some(demo) = demo() else {
        return;
    };
    let outcome = demo.run(None, Policy::default()).await;
    let revision = &outcome.package.revision.digest;
    for kind in [
        media_type::PACKAGE_INDEX,
        media_type::CYCLONEDX,
        media_type::SPDX,
    ] {
        let found = attachments(&demo.store, revision, Some(kind))
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{kind}");
        assert_eq!(found[0].image.as_ref(), Some(&demo.image.digest));
    }

    let mut package = demo.package(Policy::default()).await;
    let layer = demo
        .store
        .put(media_type::LAYER_GZIP, b"no layer")
        .await
        .unwrap();
    let config = serde_json::json!({ "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": [layer.digest] } });
    let mut manifest = Manifest::artefact("", vec![layer]);
    manifest.artifact_type = None;
    manifest.config = demo
        .store
        .put_json(media_type::CONFIG, &config)
        .await
        .unwrap();
    package.images[0].descriptor = demo.store.put_manifest(&manifest).await.unwrap();
    let parts = package
        .advance(&demo.store, Level::Configured)
        .await
        .unwrap();
    let package = Package::store(&demo.store, parts).await.unwrap();
    let context = Context::new(demo.store.clone());
    let error = Engine::new(None).run(&package, &context).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("registry.example.org/demo/nginx:1.22"),
        "{error}"
    );
}
