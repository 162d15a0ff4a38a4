//! The engine over a stored package: the demo chart, and an image put together here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::Path;

use quench_chart::Chart;
use quench_chart::render::{Helm, Request as RenderRequest};
use quench_config_hardener_engine::{Demands, Engine, Report, harden_chart};
use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, Store};
use quench_image::{LayerEntry, LayerWriter};
use quench_model::{
    CauseKind, Descriptor, Digest, FindingState, Level, Policy, Waiver, media_type,
};
use quench_package::{
    Context, Disposition, ImageLock, Outcome, Package, PackageImage, PackageParts, Request,
    attachments, images_lock, verify_package,
};
use quench_rules::hardening::{evidence_of, examine, verify};
use quench_rules::pod_security::{Version, strictest};
use serde_json::json;

const REFERENCE: &str = "registry.example.org/demo/nginx:1.22";

fn helm() -> Option<Helm> {
    let helm = Helm::find().ok();
    if helm.is_none() {
        eprintln!("SKIPPED: neither QUENCH_HELM nor PATH names a helm");
    }
    helm
}

fn demo() -> Chart {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/demo/chart");
    Chart::load(&folder).unwrap()
}

/// An image whose user is a name, with a folder of its own to write to.
async fn image(store: &Store, user: &str) -> Descriptor {
    let mut writer = LayerWriter::new(Vec::new());
    let passwd = b"root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n";
    let program = b"\x7fELF";
    let mut empty = std::io::empty();
    for folder in ["etc", "usr", "usr/sbin", "var", "var/lib"] {
        writer
            .push(&LayerEntry::folder(folder, 0o755, 0, 0), &mut empty)
            .unwrap();
    }
    writer
        .push(&LayerEntry::folder("tmp", 0o1777, 0, 0), &mut empty)
        .unwrap();
    writer
        .push(
            &LayerEntry::folder("var/lib/nginx", 0o755, 33, 33),
            &mut empty,
        )
        .unwrap();
    for (path, mode, content) in [
        ("etc/passwd", 0o644, &passwd[..]),
        ("usr/sbin/nginx", 0o755, &program[..]),
    ] {
        let entry = LayerEntry::file(path, mode, content.len() as u64);
        writer.push(&entry, &mut &content[..]).unwrap();
    }
    let written = writer.finish().unwrap();
    let layer = store
        .put(media_type::LAYER_GZIP, &written.out)
        .await
        .unwrap();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {"User": user, "Entrypoint": ["/usr/sbin/nginx"], "ExposedPorts": {"8080/tcp": {}}},
        "rootfs": {"type": "layers", "diff_ids": [written.diff_id]},
    });
    let config = store.put_json(media_type::CONFIG, &config).await.unwrap();
    let mut manifest = Manifest::artefact("", vec![layer]);
    manifest.artifact_type = None;
    manifest.config = config;
    store.put_manifest(&manifest).await.unwrap()
}

async fn package(store: &Store, chart: &Chart, request: &Request, image: Descriptor) -> Package {
    let parts = PackageParts {
        name: "demo".parse().unwrap(),
        version: chart.version().to_owned(),
        level: Level::Integrated,
        previous: None,
        chart: chart.clone(),
        images: vec![PackageImage {
            reference: REFERENCE.parse().unwrap(),
            original: image.digest.clone(),
            descriptor: image,
        }],
        request: request.store(store).await.unwrap(),
        lock: ImageLock::default(),
    };
    Package::store(store, parts).await.unwrap()
}

/// The demo image (`deploy/demo/build-image.py`), copied into a store.
fn demo_image(store: &Path) -> Option<Descriptor> {
    let Some(layout) = std::env::var_os("QUENCH_DEMO_IMAGE") else {
        eprintln!("SKIPPED: QUENCH_DEMO_IMAGE names no OCI layout of the demo image");
        return None;
    };
    let layout = Path::new(&layout);
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let to = store.join("blobs/sha256").join(blob.file_name());
        std::fs::copy(blob.path(), to).unwrap();
    }
    let index = std::fs::read(layout.join("index.json")).unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    serde_json::from_value(index["manifests"][0].clone()).unwrap()
}

struct Run {
    _folder: tempfile::TempDir,
    store: Store,
    input: Package,
    image: Digest,
}

impl Run {
    async fn new(chart: &Chart, request: &Request, user: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
        let image = image(&store, user).await;
        Self::over(folder, store, chart, request, image).await
    }

    async fn over(
        folder: tempfile::TempDir,
        store: Store,
        chart: &Chart,
        request: &Request,
        image: Descriptor,
    ) -> Self {
        let input = package(&store, chart, request, image).await;
        let image = input.images[0].descriptor.digest.clone();
        Self {
            _folder: folder,
            store,
            input,
            image,
        }
    }

    async fn go(&self, helm: &Helm) -> Outcome {
        let context = Context::new(self.store.clone());
        Engine::new(helm.clone())
            .run(&self.input, &context)
            .await
            .unwrap()
    }

    async fn chart(&self, package: &Package) -> Chart {
        package.load_chart(&self.store).await.unwrap()
    }
}

#[tokio::test]
async fn the_image_decides_and_the_pod_becomes_restricted() {
    let Some(helm) = helm() else { return };
    let run = Run::new(&demo(), &Request::default(), "www-data").await;
    let outcome = run.go(&helm).await;
    assert_eq!(outcome.package.level, Level::Configured);
    assert_eq!(
        outcome.package.previous.as_ref(),
        Some(&run.input.revision.digest)
    );

    let chart = run.chart(&outcome.package).await;
    assert!(chart.text("HARDENING.md").unwrap().contains("www-data"));
    let rendered = helm
        .render(&chart, &RenderRequest::default())
        .await
        .unwrap();
    let pod = rendered
        .objects()
        .find(|object| object["kind"] == "Deployment")
        .unwrap()["spec"]["template"]
        .clone();
    assert_eq!(
        strictest(Version::LATEST, pod.get("metadata"), &pod["spec"]),
        "restricted"
    );
    let container = &pod["spec"]["containers"][0];
    assert_eq!(container["image"], format!("{REFERENCE}@{}", run.image));
    assert_eq!(container["securityContext"]["runAsUser"], 33);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    let mounts: Vec<_> = container["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| mount["mountPath"].as_str().unwrap())
        .collect();
    assert!(
        mounts.contains(&"/tmp") && mounts.contains(&"/var/lib/nginx"),
        "{mounts:?}"
    );

    let fixed = outcome
        .findings
        .iter()
        .find(|finding| finding.canonical_id == "run-as-non-root")
        .unwrap();
    assert_eq!(fixed.state, FindingState::Resolved);
    assert_eq!(fixed.cause.as_ref().unwrap().kind, CauseKind::Hardened);
    assert!(
        fixed
            .evidence
            .iter()
            .any(|fact| fact.fact == "user: www-data"),
        "{fixed:?}"
    );

    let attached = attachments(
        &run.store,
        &outcome.package.revision.digest,
        Some(media_type::REPORT),
    )
    .await
    .unwrap();
    let report: Report = run
        .store
        .read_json(&attached[0].document, 1 << 20)
        .await
        .unwrap();
    assert_eq!((report.before.restricted, report.after.restricted), (0, 1));
    assert!(report.after.findings < report.before.findings);
}

#[tokio::test]
async fn the_same_package_gives_the_same_revision_and_is_worked_on_once() {
    let Some(helm) = helm() else { return };
    let (first, second) = (
        Run::new(&demo(), &Request::default(), "www-data").await,
        Run::new(&demo(), &Request::default(), "www-data").await,
    );
    let outcome = first.go(&helm).await;
    assert!(!outcome.replayed);
    let again = first.go(&helm).await;
    assert!(again.replayed);
    assert_eq!(again.package, outcome.package);
    assert_eq!(again.findings, outcome.findings);
    assert_eq!(
        second.go(&helm).await.package.revision,
        outcome.package.revision
    );
}

#[tokio::test]
async fn an_image_that_runs_as_root_is_reported_and_a_waiver_is_heard() {
    let Some(helm) = helm() else { return };
    let request = Request {
        policy: Policy {
            waivers: vec![Waiver {
                rule: "drop-capabilities".to_owned(),
                kind: None,
                name: None,
                container: Some("nginx".to_owned()),
                reason: "it starts as root".to_owned(),
                expires: None,
            }],
            ..Policy::default()
        },
        ..Request::default()
    };
    let run = Run::new(&demo(), &request, "").await;
    let outcome = run.go(&helm).await;
    let state = |rule: &str| {
        let finding = outcome
            .findings
            .iter()
            .find(|f| f.canonical_id == rule)
            .unwrap();
        (finding.state, finding.message.clone())
    };
    let (root, message) = state("run-as-non-root");
    assert_eq!(root, FindingState::Opened);
    assert!(message.contains("runs as root"), "{message}");
    assert_eq!(state("drop-capabilities").0, FindingState::Suppressed);
}

#[tokio::test]
async fn a_chart_that_does_not_render_is_refused_by_name() {
    let Some(helm) = helm() else { return };
    let mut chart = demo();
    chart
        .insert("templates/broken.yaml", "{{ fail \"no\" }}")
        .unwrap();
    let run = Run::new(&chart, &Request::default(), "www-data").await;
    let error = Engine::new(helm)
        .run(&run.input, &Context::new(run.store.clone()))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("demo-web"), "{error}");
    assert!(matches!(error.disposition(), Disposition::Reject { .. }));
}

#[tokio::test]
async fn the_demo_image_gets_volumes_where_it_writes() {
    let Some(helm) = helm() else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    let Some(image) = demo_image(folder.path()) else {
        return;
    };
    let run = Run::over(folder, store, &demo(), &Request::default(), image).await;
    let outcome = run.go(&helm).await;
    let open: Vec<_> = outcome
        .findings
        .iter()
        .filter(|finding| finding.state.is_open())
        .map(|finding| finding.canonical_id.as_str())
        .collect();
    for rule in [
        "run-as-non-root",
        "drop-capabilities",
        "read-only-root",
        "image-digest",
    ] {
        assert!(!open.contains(&rule), "{open:?}");
    }
    let mounts = outcome
        .findings
        .iter()
        .find(|finding| finding.canonical_id == "read-only-root")
        .map(|finding| finding.message.clone())
        .unwrap();
    assert!(
        mounts.contains("[/tmp]") && mounts.contains("[/var/lib/nginx]"),
        "{mounts}"
    );
}

#[tokio::test]
async fn hardening_neither_keeps_nor_minds_the_image_lock_of_a_package() {
    let Some(helm) = helm() else { return };
    let request = Request::default();
    let run = Run::new(&demo(), &request, "www-data").await;
    let outcome = run.go(&helm).await;
    verify_package(&run.store, &outcome.package).await.unwrap();
    let (input, output) = (
        run.chart(&run.input).await,
        run.chart(&outcome.package).await,
    );
    let lock = output.file(images_lock::NAME).unwrap();
    assert!(images_lock::is_own(lock));
    assert_eq!(input.file(images_lock::NAME), Some(lock), "same images");

    let evidence = evidence_of(&run.store, &run.input, None).await.unwrap();
    let demands = Demands {
        package: &run.input.name,
        values: &request.values,
        policy: &request.policy,
        target: &request.target,
        evidence: &evidence,
    };
    let (hardened, plain) = (harden_chart(&helm, &output, demands), demo());
    let again = hardened.await.unwrap();
    let alone = harden_chart(&helm, &plain, demands).await.unwrap();
    assert_eq!(again.chart.files(), alone.chart.files());
    assert_eq!(alone.chart.file(images_lock::NAME), None);
    let mut of_package = output.clone();
    images_lock::remove(&mut of_package).unwrap();
    assert_eq!(of_package.files(), alone.chart.files());

    // What the chart does, it does with and without.
    let check = verify(&helm, &output, Level::Configured, demands)
        .await
        .unwrap();
    assert!(check.comparison.is_same(), "{}", check.comparison);
    let (report, _) = examine(&helm, &output, Level::Configured, demands)
        .await
        .unwrap();
    assert!(
        !report
            .notes
            .iter()
            .any(|note| note.contains("changed since")),
        "{:?}",
        report.notes
    );

    // A file of that name that is the author's is kept.
    let mut theirs = demo();
    theirs.insert(images_lock::NAME, "images: []\n").unwrap();
    let kept = harden_chart(&helm, &theirs, demands).await.unwrap();
    assert_eq!(kept.chart.text(images_lock::NAME), Some("images: []\n"));
}
