//! What cannot be followed falls back and says so. Images are put together from this machine's own programs and
//! libraries, real ELF files with real dependencies; without dash and ldd the tests skip loudly.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::Path;
use std::process::Command;

use quench_chart::Chart;
use quench_chart::render::Helm;
use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, Store};
use quench_image::{Image, LayerEntry, LayerWriter};
use quench_minimizer_engine::{Engine, ImageReport, Report};
use quench_model::{Level, media_type};
use quench_package::{
    Context, ImageLock, Package, PackageImage, PackageParts, Request, attachments,
};
use serde_json::json;

/// Path in the image to content and mode.
type Files = std::collections::BTreeMap<String, (Vec<u8>, u32)>;

/// Adds programs of this machine with the libraries `ldd` tells, at the paths it tells.
fn add_programs(files: &mut Files, programs: &[&str]) -> bool {
    for program in programs {
        let Ok(bytes) = std::fs::read(program) else {
            eprintln!("SKIPPED: {program} is not on this machine");
            return false;
        };
        let Ok(told) = Command::new("ldd").arg(program).output() else {
            eprintln!("SKIPPED: ldd is not on this machine");
            return false;
        };
        files.insert((*program).to_owned(), (bytes, 0o755));
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        for path in told.split_whitespace().filter(|word| word.starts_with('/')) {
            files.insert(path.to_owned(), (std::fs::read(path).unwrap(), 0o644));
        }
    }
    true
}

async fn minimize(
    files: &Files,
    config: serde_json::Value,
    pod: &str,
) -> Option<(ImageReport, Image)> {
    let Ok(helm) = Helm::find() else {
        eprintln!("SKIPPED: helm is neither named by QUENCH_HELM nor on PATH");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    let mut writer = LayerWriter::new(store.writer().unwrap());
    for (path, (bytes, mode)) in files {
        let entry = LayerEntry::file(path.as_bytes(), *mode, bytes.len() as u64);
        writer.push(&entry, &mut bytes.as_slice()).unwrap();
    }
    let layer = writer.finish().unwrap();
    let blob = store
        .commit(layer.out, media_type::LAYER_GZIP)
        .await
        .unwrap();
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
    });
    let mut manifest = Manifest::artefact("", vec![blob]);
    manifest.artifact_type = None;
    manifest.config = store.put_json(media_type::CONFIG, &config).await.unwrap();
    let image = store.put_manifest(&manifest).await.unwrap();

    let chart = folder.path().join("chart");
    std::fs::create_dir_all(chart.join("templates")).unwrap();
    std::fs::write(
        chart.join("Chart.yaml"),
        "apiVersion: v2\nname: test\nversion: 1.0.0\n",
    )
    .unwrap();
    let pod = format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n{pod}\n");
    std::fs::write(chart.join("templates/pod.yaml"), pod).unwrap();
    let chart = Chart::load(Path::new(&chart)).unwrap();
    let parts = PackageParts {
        name: "test".parse().unwrap(),
        version: "1.0.0".to_owned(),
        level: Level::Operable,
        previous: None,
        chart: chart.clone(),
        images: vec![PackageImage {
            reference: "registry.example.org/test:1".parse().unwrap(),
            original: image.digest.clone(),
            descriptor: image,
        }],
        request: Request::default().store(&store).await.unwrap(),
        lock: ImageLock::default(),
    };
    let package = Package::store(&store, parts).await.unwrap();
    let outcome = Engine::new(helm)
        .run(&package, &Context::new(store.clone()))
        .await
        .unwrap();
    let revision = &outcome.package.revision.digest;
    let attached = attachments(&store, revision, Some(media_type::REPORT))
        .await
        .unwrap();
    let mut report: Report = store
        .read_json(&attached[0].document, 1 << 30)
        .await
        .unwrap();
    let image = Image::open(&store, &outcome.package.images[0].descriptor)
        .await
        .unwrap();
    Some((report.images.remove(0), image))
}

const POD: &str = "  containers: [{name: c, image: registry.example.org/test:1}]";
const PROGRAMS: [&str; 5] = [
    "/bin/dash",
    "/bin/sleep",
    "/bin/cat",
    "/bin/ls",
    "/usr/bin/sort",
];

fn script(text: &str) -> (Vec<u8>, u32) {
    (text.as_bytes().to_vec(), 0o755)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_keeps_its_libraries_and_nothing_else() {
    let mut files = Files::new();
    if !add_programs(&mut files, &PROGRAMS) {
        return;
    }
    files.insert("/usr/lib/unused.so".to_owned(), (b"x".to_vec(), 0o644));
    let config = json!({"Entrypoint": ["/bin/ls"]});
    let Some((report, image)) = minimize(&files, config, POD).await else {
        return;
    };
    assert_eq!(
        (report.tier, report.fallbacks.len()),
        (1, 0),
        "{:?}",
        report.fallbacks
    );
    let tree = image.tree();
    assert!(tree.resolve("/bin/ls").is_ok());
    for gone in [
        "/bin/dash",
        "/bin/cat",
        "/usr/bin/sort",
        "/usr/lib/unused.so",
    ] {
        assert!(tree.resolve(gone).is_err(), "{gone}");
    }
    assert!(
        report
            .files
            .values()
            .any(|why| why.contains("library libc.so.6 of /bin/ls"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_keeps_the_tools_it_names() {
    let mut files = Files::new();
    if !add_programs(&mut files, &PROGRAMS) {
        return;
    }
    files.insert(
        "/entry".to_owned(),
        script("#!/bin/dash\nsleep 1\nexec \"$@\"\n"),
    );
    let config = json!({"Entrypoint": ["/entry"], "Cmd": ["cat", "/etc/app.conf"]});
    files.insert(
        "/etc/app.conf".to_owned(),
        (b"data = /srv/data.txt\n".to_vec(), 0o644),
    );
    files.insert("/srv/data.txt".to_owned(), (b"x".to_vec(), 0o644));
    let pod = "  containers: [{name: c, image: registry.example.org/test:1, livenessProbe: {exec: {command: [sort, --version]}}}]";
    let Some((report, image)) = minimize(&files, config, pod).await else {
        return;
    };
    assert_eq!(
        (report.tier, report.fallbacks.len()),
        (2, 0),
        "{:?}",
        report.fallbacks
    );
    let tree = image.tree();
    for kept in [
        "/bin/dash",
        "/bin/sleep",
        "/bin/cat",
        "/usr/bin/sort",
        "/etc/app.conf",
        "/srv/data.txt",
    ] {
        assert!(tree.resolve(kept).is_ok(), "{kept}");
    }
    assert!(tree.resolve("/bin/ls").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn computed_commands_unused_images_and_volumes_fall_back_with_a_reason() {
    let mut files = Files::new();
    if !add_programs(&mut files, &PROGRAMS) {
        return;
    }
    files.insert("/entry".to_owned(), script("#!/bin/dash\neval \"$X\"\n"));
    let other = "  containers: [{name: c, image: registry.example.org/other:1}]";
    let mounted = "  containers: [{name: c, image: registry.example.org/test:1, command: [/s/run], volumeMounts: [{name: v, mountPath: /s}]}]\n  volumes: [{name: v, emptyDir: {}}]";
    for (entrypoint, pod, reason) in [
        ("/entry", POD, "/entry: line 2 runs what it computes: eval"),
        (
            "/bin/ls",
            other,
            "no workload that the chart renders uses it",
        ),
        ("/bin/ls", mounted, "runs /s/run from the volume at /s"),
        (
            "/bin/dash",
            POD,
            "starts a shell that reads its commands from elsewhere",
        ),
    ] {
        let config = json!({"Entrypoint": [entrypoint]});
        let Some((report, image)) = minimize(&files, config, pod).await else {
            return;
        };
        assert_eq!(report.tier, 4, "{reason}");
        assert!(
            report.fallbacks.iter().any(|told| told.contains(reason)),
            "{reason}: {:?}",
            report.fallbacks
        );
        assert!(
            report
                .fallbacks
                .iter()
                .any(|told| told.contains("no package database"))
        );
        for path in files.keys() {
            assert!(image.tree().resolve(path).is_ok(), "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn setuid_goes_unless_a_command_names_the_program() {
    let mut files = Files::new();
    if !add_programs(&mut files, &["/bin/cat", "/bin/ls"]) {
        return;
    }
    files.insert(
        "/app/helper".to_owned(),
        (files["/bin/cat"].0.clone(), 0o4755),
    );
    files.insert("/app/main".to_owned(), (files["/bin/ls"].0.clone(), 0o4755));
    let config = json!({"Entrypoint": ["/app/main"]});
    let Some((report, image)) = minimize(&files, config, POD).await else {
        return;
    };
    assert_eq!(report.tier, 1, "{:?}", report.fallbacks);
    // What lies beside an application that no package owns belongs to it.
    let mode = |path| image.tree().lookup(path).unwrap().mode();
    assert_eq!((mode("/app/main"), mode("/app/helper")), (0o4755, 0o755));
}
