//! Packages, stores and keys that the tests are about.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use quench_chart::Chart;
use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, Store};
use quench_model::{Descriptor, Finding, FindingKind, Level, Severity, Subject, media_type};
use quench_package::signing::{Algorithm, SigningKey};
use quench_package::{
    Attachment, Context, ImageLock, ImageOrigin, LockedImage, Package, PackageImage, PackageParts,
    Request, export_file, replace_findings,
};

pub const IMAGES: [&str; 2] = [
    "registry.example.org/team/web:1",
    "registry.example.org/team/db:2",
];

pub fn store(folder: &tempfile::TempDir) -> Store {
    Store::Directory(DirectoryStore::open(folder.path().join("store")).unwrap())
}

pub fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::generate(algorithm).unwrap()
}

/// A one-layer image whose layer is `fill` bytes.
pub async fn image(store: &Store, fill: u8) -> Descriptor {
    let layer = store
        .put(media_type::LAYER_GZIP, &[fill; 1500])
        .await
        .unwrap();
    let mut image = Manifest::artefact("", vec![layer]);
    image.artifact_type = None;
    image.config = store
        .put(
            media_type::CONFIG,
            b"{\"os\":\"linux\",\"architecture\":\"amd64\"}",
        )
        .await
        .unwrap();
    store.put_manifest(&image).await.unwrap()
}

/// The parts of a package with the given images, every one of them in its lock.
pub async fn parts(store: &Store, name: &str, version: &str, images: &[&str]) -> PackageParts {
    let mut package_images = Vec::new();
    let mut lock = BTreeMap::new();
    for (position, reference) in images.iter().enumerate() {
        let descriptor = image(store, 7 + u8::try_from(position).unwrap()).await;
        lock.insert(
            (*reference).to_owned(),
            LockedImage {
                class: quench_package::ImageClass::Required,
                rendered: vec![(*reference).to_owned()],
                digest: descriptor.digest.clone(),
                media_type: descriptor.media_type.clone(),
                size: descriptor.size,
                total_size: 2000,
                platforms: Vec::new(),
                origin: ImageOrigin::Given,
                evidence: Vec::new(),
            },
        );
        package_images.push(PackageImage {
            reference: reference.parse().unwrap(),
            original: descriptor.digest.clone(),
            descriptor,
        });
    }
    PackageParts {
        name: name.parse().unwrap(),
        version: version.to_owned(),
        level: Level::Integrated,
        previous: None,
        chart: chart(name, version),
        images: package_images,
        request: Request::default().store(store).await.unwrap(),
        lock: ImageLock {
            images: lock,
            ..ImageLock::default()
        },
    }
}

/// A chart that renders nothing.
pub fn chart(name: &str, version: &str) -> Chart {
    let metadata = format!("apiVersion: v2\nname: {name}\nversion: {version}\n");
    Chart::from_files([("Chart.yaml".to_owned(), metadata.into())].into()).unwrap()
}

/// A package of two levels with two images, something attached to each, and findings.
pub async fn package(store: &Store, name: &str, version: &str) -> Package {
    let first = Package::store(store, parts(store, name, version, &IMAGES).await)
        .await
        .unwrap();
    let level = Level::Integrated;
    let licences = media_type::LICENCES;
    Attachment::attach(store, &first.revision, licences, level, None, b"{}")
        .await
        .unwrap();
    let parts = first.advance(store, Level::Configured).await.unwrap();
    let next = Package::store(store, parts).await.unwrap();
    let sbom = b"{\"bomFormat\":\"CycloneDX\"}";
    let level = Level::Configured;
    Attachment::attach(
        store,
        &next.revision,
        media_type::CYCLONEDX,
        level,
        None,
        sbom,
    )
    .await
    .unwrap();
    find(store, &next, "a", Severity::Low).await;
    next
}

/// Gives a revision one finding in place of those it has.
pub async fn find(store: &Store, package: &Package, id: &str, severity: Severity) {
    let subject = Subject {
        package: package.name.clone(),
        image: Some("registry.example.org/team/web".to_owned()),
        purl: None,
        location: None,
    };
    let kind = FindingKind::Vulnerability;
    let mut found = Finding::opened(kind, id, subject, severity, Level::Configured, id);
    found.fixed_version = Some("2".to_owned());
    replace_findings(store, &package.revision, Level::Configured, &mut [found])
        .await
        .unwrap();
}

/// Runs openssl, the verifier that shares nothing with the signer. Tells, loudly, when there is none.
pub fn openssl(test: &str, arguments: &[&str]) -> Option<bool> {
    let output = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => Some(output.status.success()),
        Err(error) => {
            let required = std::env::var_os("QUENCH_REQUIRE_TOOLS").is_some_and(|v| !v.is_empty());
            assert!(!required, "openssl is needed: {error}");
            let _ = writeln!(std::io::stderr(), "SKIPPED: {test}: no openssl ({error})");
            None
        }
    }
}

/// A file with the given content, as text for a command line.
pub fn file(folder: &tempfile::TempDir, name: &str, content: &[u8]) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    path.display().to_string()
}

/// Exports a package to a file.
pub async fn export(store: &Store, package: &Package, path: &Path) {
    let context = Context::new(store.clone());
    export_file(&context, package, None, path).await.unwrap();
}

/// Every file below a folder with its content, to see that nothing was left behind.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.clone(), std::fs::read(path).unwrap());
            }
        }
    }
    found
}
