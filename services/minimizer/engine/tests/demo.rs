//! The demo's nginx image, minimised for the demo's chart. Needs the image as an OCI layout (`QUENCH_DEMO_IMAGE`, made
//! by `deploy/demo/build-image.py`) and helm; skips loudly without.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};

use quench_chart::render::Helm;
use quench_chart::{Chart, yaml};
use quench_content::artefact::Index;
use quench_content::{DirectoryStore, Store};
use quench_image::Image;
use quench_inventory::Inventory;
use quench_minimizer_engine::{Engine, Report};
use quench_model::{
    CauseKind, Descriptor, Digest, Finding, FindingKind, FindingState, Level, PackageName,
    Severity, Subject, annotation, media_type,
};
use quench_package::{
    Context, ImageLock, Package, PackageImage, PackageParts, Request, attachments, images_lock,
    replace_findings, verify_package,
};

struct Demo {
    _folder: tempfile::TempDir,
    store: Store,
    original: Descriptor,
    package: Package,
    engine: Engine,
}

fn finding(name: &PackageName, id: &str, purl: &str) -> Finding {
    let subject = Subject {
        package: name.clone(),
        image: Some("registry.example.org/demo/nginx".to_owned()),
        purl: Some(purl.to_owned()),
        location: None,
    };
    Finding::opened(
        FindingKind::Vulnerability,
        id,
        subject,
        Severity::High,
        Level::Secured,
        id,
    )
}

/// A package at level 4 in a store of its own.
async fn demo() -> Option<Demo> {
    let Some(layout) = std::env::var_os("QUENCH_DEMO_IMAGE").map(PathBuf::from) else {
        eprintln!("SKIPPED: QUENCH_DEMO_IMAGE names no OCI layout of the demo image");
        return None;
    };
    let Ok(helm) = Helm::find() else {
        eprintln!("SKIPPED: helm is neither named by QUENCH_HELM nor on PATH");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    let index: Index =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let named = index.manifests.first().unwrap();
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let bytes = std::fs::read(blob.unwrap().path()).unwrap();
        store.put(media_type::LAYER_GZIP, &bytes).await.unwrap();
    }
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../deploy/demo/chart");
    let chart = Chart::load(&chart).unwrap();
    let name: PackageName = chart.name().parse().unwrap();
    let original = Descriptor {
        annotations: Default::default(),
        ..named.clone()
    };
    let parts = PackageParts {
        name: name.clone(),
        version: chart.version().to_owned(),
        level: Level::Operable,
        previous: None,
        chart: chart.clone(),
        images: vec![PackageImage {
            reference: named
                .annotation(annotation::REF_NAME)
                .unwrap()
                .parse()
                .unwrap(),
            original: named.digest.clone(),
            descriptor: original.clone(),
        }],
        request: Request::default().store(&store).await.unwrap(),
        lock: ImageLock::default(),
    };
    let package = Package::store(&store, parts).await.unwrap();
    let findings = [
        finding(
            &name,
            "CVE-1",
            "pkg:deb/debian/perl-base@5.36.0-7?distro=debian-12",
        ),
        finding(
            &name,
            "CVE-2",
            "pkg:deb/debian/libssl3@3.0.11?distro=debian-12",
        ),
        finding(
            &name,
            "CVE-3",
            "pkg:deb/debian/unheard-of@1?distro=debian-12",
        ),
    ];
    let mut privileged = finding(&name, "image-privileged-files", "");
    privileged.kind = FindingKind::Configuration;
    privileged.subject.purl = None;
    let mut findings = [findings.as_slice(), &[privileged]].concat();
    replace_findings(&store, &package.revision, Level::Operable, &mut findings)
        .await
        .unwrap();
    Some(Demo {
        _folder: folder,
        store,
        original,
        package,
        engine: Engine::new(helm),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_keeps_what_it_needs_and_says_why() {
    let Some(demo) = demo().await else { return };
    let context = Context::new(demo.store.clone());
    let outcome = demo.engine.run(&demo.package, &context).await.unwrap();
    let revision = &outcome.package.revision.digest;
    let attached = attachments(&demo.store, revision, Some(media_type::REPORT))
        .await
        .unwrap();
    let report: Report = demo
        .store
        .read_json(&attached[0].document, 1 << 30)
        .await
        .unwrap();
    let told = &report.images[0];
    assert_eq!((told.tier, &told.fallbacks), (1, &Vec::new()));
    assert!(told.before.bytes > 100_000_000 && told.after.bytes < 25_000_000);
    assert!(told.after.packages * 4 < told.before.packages);

    let before = Image::open(&demo.store, &demo.original).await.unwrap();
    let after = Image::open(&demo.store, &outcome.package.images[0].descriptor)
        .await
        .unwrap();
    assert_eq!(after.config.run, before.config.run);
    verify_package(&demo.store, &outcome.package).await.unwrap();
    let chart = outcome.package.load_chart(&demo.store).await.unwrap();
    let lock = yaml::parse(chart.text(images_lock::NAME).unwrap()).unwrap();
    let entry = &lock["images"][0];
    let image = &outcome.package.images[0];
    assert_eq!(entry["digest"], serde_json::json!(image.descriptor.digest));
    assert_eq!(entry["original"], serde_json::json!(image.original));
    let smaller = entry["totalSize"].as_u64().unwrap();
    let lock = demo.package.load_lock(&demo.store).await.unwrap();
    let larger = lock.images[&image.reference.to_string()].total_size;
    assert!(smaller * 2 < larger, "{smaller} of {larger}");
    let tree = after.tree();
    for gone in [
        "/bin/sh",
        "/usr/bin/dpkg",
        "/usr/bin/perl",
        "/var/lib/dpkg/status",
        "/usr/bin/su",
    ] {
        assert!(tree.resolve(gone).is_err(), "{gone}");
    }
    // The module is only reached through two links and a path relative to nginx's prefix.
    let module = "/usr/lib/nginx/modules/ngx_http_echo_module.so";
    assert!(tree.resolve(module).is_ok());
    let why = report.explain(&told.reference, module).unwrap();
    assert!(why.contains("mod-http-echo.conf"), "{why}");
    let state = tree.resolve("/var/lib/nginx").unwrap().entry;
    assert_eq!((state.uid(), state.mode()), (33, 0o755));
    assert_eq!(tree.resolve("/tmp").unwrap().entry.mode(), 0o1777);
    for entry in tree.iter() {
        assert_eq!(
            entry.mode() & 0o6000 & (u32::from(entry.is_file()) * 0o7777),
            0,
            "{entry:?}"
        );
        let path = entry.path();
        if path.starts_with("/var/lib/dpkg/status.d/") || !entry.is_file() {
            continue;
        }
        let old = before.tree().lookup(&path).unwrap();
        assert_eq!(
            (old.size(), old.mtime(), old.uid(), old.gid()),
            (entry.size(), entry.mtime(), entry.uid(), entry.gid()),
            "{path}"
        );
        assert!(told.files.contains_key(&path), "{path} has no reason");
    }
    let libssl = tree.lookup("/var/lib/dpkg/status.d/libssl3").unwrap();
    let libssl = String::from_utf8(tree.read(libssl, 10_000).unwrap()).unwrap();
    assert!(libssl.contains("Package: libssl3\n") && libssl.contains("Source: openssl\n"));
    assert!(tree.lookup("/usr/share/doc/libssl3/copyright").is_some());

    // What a scanner makes of the result is what the report says is left.
    let attached = attachments(&demo.store, revision, Some(media_type::PACKAGE_INDEX))
        .await
        .unwrap();
    assert_eq!(attached[0].image.as_ref(), Some(&told.minimized));
    let index: Inventory = demo
        .store
        .read_json(&attached[0].document, 1 << 30)
        .await
        .unwrap();
    let mut seen: Vec<_> = index.packages.iter().map(|p| p.name.as_str()).collect();
    seen.sort_unstable();
    let left: Vec<_> = told.packages.keys().map(String::as_str).collect();
    assert_eq!(seen, left);
    for kind in [media_type::CYCLONEDX, media_type::SPDX] {
        let found = attachments(&demo.store, revision, Some(kind))
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{kind}");
    }

    let state = |id: &str| {
        let finding = outcome
            .findings
            .iter()
            .find(|f| f.canonical_id == id)
            .unwrap();
        (
            finding.state,
            finding.cause.as_ref().map(|cause| cause.kind),
        )
    };
    assert_eq!(
        state("CVE-1"),
        (FindingState::Resolved, Some(CauseKind::Minimized))
    );
    assert_eq!(
        state("image-privileged-files"),
        (FindingState::Resolved, Some(CauseKind::Minimized))
    );
    assert_eq!(state("CVE-2"), (FindingState::Opened, None));
    assert_eq!(state("CVE-3"), (FindingState::Opened, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_input_gives_the_same_bytes_in_any_store() {
    let (Some(one), Some(two)) = (demo().await, demo().await) else {
        return;
    };
    let mut digests: Vec<Digest> = Vec::new();
    for demo in [&one, &two] {
        let context = Context::new(demo.store.clone());
        let outcome = demo.engine.run(&demo.package, &context).await.unwrap();
        assert!(!outcome.replayed);
        digests.push(outcome.package.revision.digest.clone());
        let again = demo.engine.run(&demo.package, &context).await.unwrap();
        assert!(again.replayed);
        assert_eq!(again.package, outcome.package);
        assert_eq!(again.findings, outcome.findings);
    }
    assert_eq!(digests[0], digests[1]);
}
