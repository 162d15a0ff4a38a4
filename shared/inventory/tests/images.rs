//! Images, real ones and ones put together layer by layer, and what their inventories and SBOMs say.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};

use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, Store};
use quench_image::{Kind, LayerEntry, LayerWriter};
use quench_inventory::{
    Inventory, PackageKind, ProblemKind, SbomSubject, catalogue, cyclonedx, spdx,
};
use quench_model::{Descriptor, Digest, ImageReference, media_type};
use serde_json::{Value, json};

/// One file of a layer; a path that ends in `/` is a folder, contents that begin with `->` make a link.
type File<'a> = (&'a str, u32, &'a [u8]);

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Directory(DirectoryStore::open(folder.path()).unwrap());
    (folder, store)
}

async fn image(store: &Store, layers: &[&[File<'_>]]) -> Descriptor {
    let (mut descriptors, mut diff_ids) = (Vec::new(), Vec::new());
    for files in layers {
        let mut writer = LayerWriter::new(Vec::new());
        for (path, mode, data) in *files {
            let mut entry = LayerEntry::file(*path, *mode, data.len() as u64);
            if let Some(target) = data.strip_prefix(b"->") {
                entry.kind = Kind::Symlink;
                entry.size = 0;
                entry.target = target.to_vec();
            } else if path.ends_with('/') {
                entry = LayerEntry::folder(*path, *mode, 0, 0);
            }
            writer.push(&entry, &mut &data[..]).unwrap();
        }
        let written = writer.finish().unwrap();
        descriptors.push(
            store
                .put(media_type::LAYER_GZIP, &written.out)
                .await
                .unwrap(),
        );
        diff_ids.push(written.diff_id);
    }
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-05-06T07:08:09.123456789Z",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    let mut manifest = Manifest::artefact("", descriptors);
    manifest.artifact_type = None;
    manifest.config = store.put_json(media_type::CONFIG, &config).await.unwrap();
    store.put_manifest(&manifest).await.unwrap()
}

async fn inventory(layers: &[&[File<'_>]]) -> Inventory {
    let (_folder, store) = store();
    let image = image(&store, layers).await;
    catalogue(&store, &image).await.unwrap()
}

fn kinds(inventory: &Inventory) -> Vec<ProblemKind> {
    inventory.problems.iter().map(|p| p.kind).collect()
}

/// The demo image (`deploy/demo/build-image.py`), copied into a store.
fn demo() -> Option<(tempfile::TempDir, Store, Descriptor)> {
    let Some(layout) = std::env::var_os("QUENCH_DEMO_IMAGE").map(PathBuf::from) else {
        eprintln!("SKIPPED: QUENCH_DEMO_IMAGE names no OCI layout of the demo image");
        return None;
    };
    let (folder, store) = store();
    for blob in std::fs::read_dir(layout.join("blobs/sha256")).unwrap() {
        let blob = blob.unwrap();
        let target = folder.path().join("blobs/sha256").join(blob.file_name());
        std::fs::copy(blob.path(), target).unwrap();
    }
    let index: Value =
        serde_json::from_slice(&std::fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifest = serde_json::from_value(index["manifests"][0].clone()).unwrap();
    Some((folder, store, manifest))
}

const OS_RELEASE: File<'_> = ("etc/os-release", 0o644, b"ID=debian\nVERSION_ID=\"12\"\n");
const STATUS: &[u8] =
    b"Package: hello\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.10-3\n\n";

/// A real program: this test's own.
fn program() -> Vec<u8> {
    std::fs::read(std::env::current_exe().unwrap()).unwrap()
}

#[tokio::test]
async fn the_demo_image_is_catalogued_whole() {
    let Some((_folder, store, manifest)) = demo() else {
        return;
    };
    let start = std::time::Instant::now();
    let inventory = catalogue(&store, &manifest).await.unwrap();
    let cold = start.elapsed();
    let start = std::time::Instant::now();
    let again = catalogue(&store, &manifest).await.unwrap();
    eprintln!(
        "catalogued in {cold:?}, from the cache in {:?}",
        start.elapsed()
    );
    assert_eq!(inventory, again);

    assert_eq!(inventory.distribution.as_ref().unwrap().id, "debian");
    assert_eq!(inventory.packages.len(), 109);
    let named = |name: &str| inventory.packages.iter().find(|p| p.name == name).unwrap();
    let ssl = named("libssl3");
    assert_eq!(ssl.source_name(), "openssl");
    assert!(
        ssl.purl.starts_with("pkg:deb/debian/libssl3@3.0."),
        "{}",
        ssl.purl
    );
    assert!(
        ssl.purl.ends_with("?arch=amd64&distro=debian-12"),
        "{}",
        ssl.purl
    );
    assert_eq!(inventory.owner("/usr/sbin/nginx").unwrap().name, "nginx");
    // Listed as /bin/bash; the image's /bin is a link.
    assert_eq!(inventory.owner("/usr/bin/bash").unwrap().name, "bash");
    assert_eq!(
        inventory.problems,
        [],
        "every program of it belongs to a package"
    );
    assert!(
        inventory
            .privileged_files
            .iter()
            .any(|f| f.path == "/usr/bin/su")
    );
    let known = inventory
        .packages
        .iter()
        .filter(|p| p.licence.expression.is_some())
        .count();
    eprintln!(
        "{} files, {} unowned; {known} of 109 packages have a licence expression",
        inventory.files.total, inventory.files.unowned
    );
    assert!(known > 50);
    for package in inventory
        .packages
        .iter()
        .filter(|p| p.licence.expression.is_none())
    {
        assert!(
            package.licence.source.is_some(),
            "{} has a copyright file",
            package.name
        );
        assert!(package.licence.declared.is_empty(), "{:?}", package.licence);
    }

    let components = inventory.components();
    assert!(
        components
            .iter()
            .all(|c| c.ecosystem.as_ref().unwrap().as_str() == "Debian:12")
    );
}

#[tokio::test]
async fn sboms_are_valid_by_the_official_schemas_and_the_same_every_time() {
    let Some((_folder, store, manifest)) = demo() else {
        return;
    };
    let inventory = catalogue(&store, &manifest).await.unwrap();
    let reference: ImageReference = "registry.example.org/demo/nginx:1.22".parse().unwrap();
    let subject = SbomSubject {
        reference: &reference,
        inventory: &inventory,
    };
    let bom = cyclonedx::document(&subject).unwrap();
    let document = spdx::document(&subject).unwrap();
    assert_eq!(
        bom.to_string(),
        cyclonedx::document(&subject).unwrap().to_string()
    );
    assert_eq!(
        document.to_string(),
        spdx::document(&subject).unwrap().to_string()
    );
    assert_eq!(bom["components"].as_array().unwrap().len(), 110);
    validate(&bom, &document);
}

#[tokio::test]
async fn sboms_of_awkward_packages_are_valid_too() {
    let status = "Package: odd\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1:2+b~1\nMaintainer: \u{e9} <>\nHomepage: not a url [x]\n\n";
    let copyright = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: My_Own licence (v2)!\n";
    let (_folder, store) = store();
    let image = image(
        &store,
        &[&[
            OS_RELEASE,
            ("var/lib/dpkg/status", 0o644, status.as_bytes()),
            ("usr/share/doc/odd/copyright", 0o644, copyright.as_bytes()),
            ("app", 0o755, &program()),
        ]],
    )
    .await;
    let inventory = catalogue(&store, &image).await.unwrap();
    assert_eq!(
        inventory.packages[0].licence.expression.as_deref(),
        Some("LicenseRef-My-Own-licence-v2")
    );
    let reference: ImageReference = "nginx".parse().unwrap();
    let subject = SbomSubject {
        reference: &reference,
        inventory: &inventory,
    };
    let bom = cyclonedx::document(&subject).unwrap();
    assert_eq!(bom["compositions"][0]["aggregate"], "incomplete");
    let document = spdx::document(&subject).unwrap();
    assert_eq!(document["creationInfo"]["created"], "2024-05-06T07:08:09Z");
    validate(&bom, &document);
}

/// Validates both documents by the schemas their publishers give out.
fn validate(bom: &Value, document: &Value) {
    let read = |name: &str| -> Value {
        let path = Path::new("tests/data/schemas").join(name);
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let resource = |name: &str| {
        let uri = format!("http://cyclonedx.org/schema/{name}");
        (uri, read(name))
    };
    let registry = jsonschema::Registry::new()
        .extend(["spdx.schema.json", "jsf-0.82.schema.json"].map(resource))
        .unwrap()
        .prepare()
        .unwrap();
    let schemas = [
        (read("bom-1.6.schema.json"), bom),
        (read("spdx-2.3.schema.json"), document),
    ];
    for (schema, value) in schemas {
        let validator = jsonschema::options()
            .with_registry(&registry)
            .build(&schema)
            .unwrap();
        let errors: Vec<String> = validator
            .iter_errors(value)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert_eq!(errors, Vec::<String>::new());
    }
}

#[tokio::test]
async fn alpine_s_database_names_origins_licences_and_files() {
    let database = std::fs::read("tests/data/alpine-installed.txt").unwrap();
    let inventory = inventory(&[&[
        ("etc/os-release", 0o644, b"ID=alpine\nVERSION_ID=3.14.0\n"),
        ("lib/apk/db/installed", 0o644, &database),
        ("lib/ld-musl-armhf.so.1", 0o755, &program()),
        ("sbin/apk", 0o755, &program()),
    ]])
    .await;
    assert_eq!(kinds(&inventory), []);
    assert_eq!(inventory.packages.len(), 5);
    let named = |name: &str| inventory.packages.iter().find(|p| p.name == name).unwrap();
    assert_eq!(named("ssl_client").source_name(), "busybox");
    assert_eq!(
        named("ssl_client").licence.expression.as_deref(),
        Some("GPL-2.0-only")
    );
    assert_eq!(named("musl").kind, PackageKind::Apk);
    assert_eq!(
        named("musl").purl,
        "pkg:apk/alpine/musl@1.2.2-r3?arch=armv7&distro=alpine-3.14.0"
    );
    assert_eq!(
        named("musl").files,
        ["/lib/ld-musl-armhf.so.1"],
        "only what is there"
    );
    let component = &inventory.components()[named_at(&inventory, "ssl_client")];
    assert_eq!(
        component.ecosystem.as_ref().unwrap().as_str(),
        "Alpine:v3.14"
    );
    assert_eq!(component.advised().0, "busybox");
}

fn named_at(inventory: &Inventory, name: &str) -> usize {
    inventory
        .packages
        .iter()
        .position(|p| p.name == name)
        .unwrap()
}

#[tokio::test]
async fn images_without_package_manager_are_read_from_status_d() {
    let inventory = inventory(&[&[
        OS_RELEASE,
        (
            "var/lib/dpkg/status.d/libc6",
            0o644,
            b"Package: libc6\nVersion: 2.36-9\nArchitecture: amd64\nSource: glibc\n",
        ),
        (
            "var/lib/dpkg/status.d/libc6.md5sums",
            0o644,
            b"0123  lib/libc.so.6\n",
        ),
        ("lib/", 0o755, b"->usr/lib"),
        ("usr/lib/libc.so.6", 0o755, &program()),
    ]])
    .await;
    assert_eq!(kinds(&inventory), []);
    assert_eq!(inventory.packages[0].files, ["/usr/lib/libc.so.6"]);
    assert_eq!(inventory.packages[0].source_name(), "glibc");
}

#[tokio::test]
async fn a_later_layer_that_removes_the_database_does_not_make_the_image_clean() {
    let base: &[File<'_>] = &[
        OS_RELEASE,
        ("var/lib/dpkg/status", 0o644, STATUS),
        (
            "var/lib/dpkg/info/hello.list",
            0o644,
            b"/.\n/usr/bin/hello\n",
        ),
        ("usr/bin/hello", 0o755, &program()),
    ];
    let whole = inventory(&[base]).await;
    assert_eq!((kinds(&whole), whole.packages.len()), (vec![], 1));

    let removed = inventory(&[base, &[("var/lib/dpkg/.wh.status", 0o644, b"")]]).await;
    assert_eq!(kinds(&removed), [ProblemKind::NoPackageDatabase]);

    let emptied = inventory(&[base, &[("var/lib/dpkg/status", 0o644, b"")]]).await;
    assert_eq!(
        kinds(&emptied),
        [
            ProblemKind::BrokenPackageDatabase,
            ProblemKind::UnownedPrograms
        ]
    );

    let garbled = inventory(&[base, &[("var/lib/dpkg/status", 0o644, &program()[..4096])]]).await;
    assert!(
        kinds(&garbled).contains(&ProblemKind::BrokenPackageDatabase),
        "{garbled:?}"
    );

    let folder = inventory(&[
        base,
        &[
            ("var/lib/dpkg/.wh.status", 0o644, b""),
            ("var/lib/dpkg/status/", 0o755, b""),
        ],
    ])
    .await;
    assert!(
        kinds(&folder).contains(&ProblemKind::BrokenPackageDatabase),
        "{folder:?}"
    );
}

#[tokio::test]
async fn programs_without_packages_are_told_and_plain_files_are_not() {
    let plain = inventory(&[&[("etc/motd", 0o644, b"hello\n"), ("etc/empty/", 0o755, b"")]]).await;
    assert!(plain.is_complete(), "{:?}", plain.problems);
    assert_eq!(plain.files.total, 1);

    let bare = inventory(&[&[("app", 0o755, &program())]]).await;
    assert_eq!(kinds(&bare), [ProblemKind::NoPackageDatabase]);
    assert!(bare.problems[0].reason.contains("/app"));

    let beside = inventory(&[&[
        OS_RELEASE,
        ("var/lib/dpkg/status", 0o644, STATUS),
        ("var/lib/dpkg/info/hello.list", 0o644, b"/.\n"),
        ("opt/app", 0o755, &program()),
        ("opt/lib.jar", 0o644, b"PK\x03\x04"),
        ("opt/start.sh", 0o755, b"#!/bin/sh\n"),
    ]])
    .await;
    assert_eq!(
        kinds(&beside),
        [
            ProblemKind::UnownedPrograms,
            ProblemKind::UncataloguedLanguagePackages
        ]
    );
    assert_eq!(beside.unowned_programs, ["/opt/app"]);

    let rpm = inventory(&[&[
        ("var/lib/rpm/rpmdb.sqlite", 0o644, b"SQLite"),
        ("bin/x", 0o755, &program()),
    ]])
    .await;
    assert_eq!(
        kinds(&rpm),
        [
            ProblemKind::UnsupportedPackageDatabase,
            ProblemKind::UnownedPrograms
        ]
    );
}

#[tokio::test]
async fn one_large_list_named_by_every_package_is_not_read_for_ever() {
    let paths: Vec<String> = (0..150)
        .map(|n| format!("var/lib/dpkg/info/p{n}.list"))
        .collect();
    let status: String = (0..150)
        .map(|n| {
            format!(
                "Package: p{n}\nStatus: install ok installed\nArchitecture: all\nVersion: 1\n\n"
            )
        })
        .collect();
    let large = [&b"/"[..], &[b'x'; 1 << 20], b"\n"].concat();
    let mut files: Vec<File<'_>> = vec![
        OS_RELEASE,
        ("var/lib/dpkg/status", 0o644, status.as_bytes()),
        ("large", 0o644, &large),
    ];
    files.extend(
        paths
            .iter()
            .map(|path| (path.as_str(), 0o644, &b"->/large"[..])),
    );
    let inventory = inventory(&[&files]).await;
    assert_eq!(inventory.packages.len(), 150);
    assert!(
        kinds(&inventory).contains(&ProblemKind::BrokenPackageDatabase),
        "{:?}",
        inventory.problems
    );
}

#[tokio::test]
async fn a_damaged_cache_is_made_anew() {
    let (folder, store) = store();
    let image = image(
        &store,
        &[&[OS_RELEASE, ("var/lib/dpkg/status", 0o644, STATUS)]],
    )
    .await;
    let inventory = catalogue(&store, &image).await.unwrap();
    let cached = walk(&folder.path().join("cache"), &image.digest).expect("an inventory is cached");
    for damage in [&b"{"[..], b"null", b""] {
        std::fs::write(&cached, damage).unwrap();
        assert_eq!(catalogue(&store, &image).await.unwrap(), inventory);
    }
}

fn walk(folder: &Path, digest: &Digest) -> Option<PathBuf> {
    let wanted = format!("{}.json", digest.hex());
    std::fs::read_dir(folder).ok()?.find_map(|entry| {
        let path = entry.ok()?.path();
        if path.is_dir() {
            walk(&path, digest)
        } else {
            path.ends_with(&wanted).then_some(path)
        }
    })
}
