//! Packages in a store, and what new advisory epochs make of their findings.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use quench_advisories::Epoch;
use quench_chart::Chart;
use quench_content::artefact::Manifest;
use quench_content::{DirectoryStore, RefName, Store};
use quench_model::{
    CauseKind, Descriptor, Finding, FindingKind, FindingState, Level, Policy, Severity, Subject,
    Waiver, media_type,
};
use quench_package::{
    Attachment, Context, EngineError, ImageLock, Package, PackageImage, PackageParts, Request,
    current_findings, replace_findings,
};
use quench_rescheduler_engine::{FindingChange, Rescheduler};
use serde_json::{Value, json};

struct World {
    folder: tempfile::TempDir,
    context: Context,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = DirectoryStore::open(folder.path().join("store")).unwrap();
        Self {
            context: Context::new(Store::Directory(store)),
            folder,
        }
    }

    fn store(&self) -> &Store {
        &self.context.store
    }

    fn epoch(&self, records: &[Value]) -> Epoch {
        let sources = tempfile::tempdir().unwrap();
        for record in records {
            let name = format!("{}.json", record["id"].as_str().unwrap());
            std::fs::write(sources.path().join(name), record.to_string()).unwrap();
        }
        self.import(&[sources.path().to_owned()])
    }

    fn import(&self, sources: &[PathBuf]) -> Epoch {
        Epoch::build(sources, &self.folder.path().join("epochs"))
            .unwrap()
            .0
    }

    /// An image as Debian makes them: os-release and the package manager's database.
    async fn image(&self, status: &str, os_release: &str) -> Descriptor {
        let mut layer = tar::Builder::new(Vec::new());
        for (path, content) in [
            ("etc/os-release", os_release),
            ("var/lib/dpkg/status", status),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            layer
                .append_data(&mut header, path, content.as_bytes())
                .unwrap();
        }
        let layer = layer.into_inner().unwrap();
        let layer = self.store().put(media_type::LAYER, &layer).await.unwrap();
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest.to_string()]},
        });
        let mut manifest = Manifest::artefact("", vec![layer]);
        manifest.artifact_type = None;
        manifest.config = self
            .store()
            .put_json(media_type::CONFIG, &config)
            .await
            .unwrap();
        self.store().put_manifest(&manifest).await.unwrap()
    }

    /// A secured package of one image, as the newest of its name, with the findings given.
    async fn package(
        &self,
        name: &str,
        image: &Descriptor,
        policy: Policy,
        mut findings: Vec<Finding>,
    ) -> Package {
        let metadata = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n");
        let files = [("Chart.yaml".to_owned(), metadata.into())];
        let request = Request {
            policy,
            ..Request::default()
        };
        let parts = PackageParts {
            name: name.parse().unwrap(),
            version: "1.0.0".into(),
            level: Level::Secured,
            previous: None,
            chart: Chart::from_files(files.into()).unwrap(),
            images: vec![PackageImage {
                reference: format!("registry.example.org/{name}:1.0.0")
                    .parse()
                    .unwrap(),
                original: image.digest.clone(),
                descriptor: image.clone(),
            }],
            request: request.store(self.store()).await.unwrap(),
            lock: ImageLock::default(),
        };
        let package = Package::store(self.store(), parts).await.unwrap();
        replace_findings(
            self.store(),
            &package.revision,
            package.level,
            &mut findings,
        )
        .await
        .unwrap();
        let name = RefName::package(&package.name);
        self.store().tag(&name, &package.revision).await.unwrap();
        package
    }

    async fn apply(&self, old: Option<&Epoch>, new: &Epoch) -> Vec<FindingChange> {
        let rescheduler = Rescheduler::new();
        let changes = rescheduler
            .apply_epoch(old, new, &self.context)
            .await
            .unwrap();
        let missed = rescheduler.sweep(new, &self.context).await.unwrap();
        assert!(missed.is_empty(), "a sweep finds more: {missed:#?}");
        changes
    }
}

const BOOKWORM: &str =
    "ID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\n";

/// Two libraries of Debian 12 as its dpkg database has them.
const STATUS: &str = "\
Package: libnghttp2-14
Status: install ok installed
Priority: optional
Section: libs
Installed-Size: 223
Maintainer: Tomasz Buchert <tomasz@debian.org>
Architecture: amd64
Multi-Arch: same
Source: nghttp2
Version: 1.52.0-1
Depends: libc6 (>= 2.14)
Description: library implementing HTTP/2 protocol (shared library)

Package: zlib1g
Status: install ok installed
Priority: required
Section: libs
Installed-Size: 168
Maintainer: Mark Brown <broonie@debian.org>
Architecture: amd64
Multi-Arch: same
Source: zlib
Version: 1:1.2.13.dfsg-1
Depends: libc6 (>= 2.14)
Description: compression library - runtime
";

/// DEBIAN-CVE-2023-44487 as Debian publishes it through OSV, as far as nghttp2 in one release is concerned.
fn nghttp2(release: &str, fixed: Option<&str>) -> Value {
    let mut events = vec![json!({"introduced": "0"})];
    events.extend(fixed.map(|fixed| json!({"fixed": fixed})));
    json!({
        "id": "DEBIAN-CVE-2023-44487", "modified": "2025-11-19T02:04:14Z", "upstream": ["CVE-2023-44487"],
        "details": "The HTTP/2 protocol allows a denial of service (server resource consumption)",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}],
        "affected": [{
            "package": {"ecosystem": format!("Debian:{release}"), "name": "nghttp2"},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }],
    })
}

/// DEBIAN-CVE-2023-45853, which bookworm's zlib never got a fix for.
fn zlib() -> Value {
    json!({
        "id": "DEBIAN-CVE-2023-45853", "modified": "2025-11-19T02:04:14Z", "upstream": ["CVE-2023-45853"],
        "details": "MiniZip in zlib through 1.3 has an integer overflow",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
        "affected": [{
            "package": {"ecosystem": "Debian:12", "name": "zlib"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
        }],
    })
}

fn told(changes: &[FindingChange]) -> Vec<(&str, FindingState, &str)> {
    changes
        .iter()
        .map(|change| {
            let cause = change.finding.cause.as_ref().unwrap();
            (
                change.finding.canonical_id.as_str(),
                change.finding.state,
                cause.detail.as_str(),
            )
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn advisories_come_change_and_go_and_findings_follow() {
    use FindingState::{Opened, Reopened, Resolved, Updated};
    let world = World::new();
    let image = world.image(STATUS, BOOKWORM).await;
    let package = world
        .package("demo", &image, Policy::default(), Vec::new())
        .await;
    let without = world.epoch(&[zlib()]);
    let with = world.epoch(&[zlib(), nghttp2("12", None)]);
    let fixable = world.epoch(&[zlib(), nghttp2("12", Some("1.52.0-1+deb12u1"))]);
    let mut withdrawn = nghttp2("12", None);
    withdrawn["withdrawn"] = "2026-01-01T00:00:00Z".into();
    let withdrawn = world.epoch(&[zlib(), withdrawn]);
    let not_affected = world.epoch(&[zlib(), nghttp2("12", Some("1.52.0-1"))]);

    let first = world.apply(None, &without).await;
    assert_eq!(
        told(&first),
        [("CVE-2023-45853", Opened, "DEBIAN-CVE-2023-45853")]
    );

    let opened = world.apply(Some(&without), &with).await;
    let id = "CVE-2023-44487";
    assert_eq!(told(&opened), [(id, Opened, "DEBIAN-CVE-2023-44487 added")]);
    let finding = &opened[0].finding;
    assert_eq!(finding.kind, FindingKind::Vulnerability);
    assert_eq!(finding.severity, Severity::High);
    assert_eq!(
        finding.subject.image.as_deref(),
        Some("registry.example.org/demo")
    );
    assert!(
        finding
            .subject
            .purl
            .as_deref()
            .unwrap()
            .starts_with("pkg:deb/debian/libnghttp2-14@")
    );
    let cause = finding.cause.as_ref().unwrap();
    assert_eq!(
        (cause.kind, cause.epoch.as_ref()),
        (CauseKind::Advisory, Some(with.digest()))
    );
    assert_eq!(
        (opened[0].previous, &opened[0].revision),
        (None, &package.revision.digest)
    );

    assert!(
        world.apply(Some(&without), &with).await.is_empty(),
        "twice is once"
    );

    let updated = world.apply(Some(&with), &fixable).await;
    assert_eq!(
        told(&updated),
        [(id, Updated, "DEBIAN-CVE-2023-44487 changed")]
    );
    assert_eq!(
        updated[0].finding.fixed_version.as_deref(),
        Some("1.52.0-1+deb12u1")
    );
    assert_eq!(
        updated[0].finding.id, finding.id,
        "one finding all its life"
    );

    let resolved = world.apply(Some(&fixable), &withdrawn).await;
    assert_eq!(
        told(&resolved),
        [(id, Resolved, "DEBIAN-CVE-2023-44487 withdrawn")]
    );
    assert_eq!(resolved[0].previous, Some(Updated));

    let again = world.apply(Some(&withdrawn), &with).await;
    assert_eq!(
        told(&again),
        [(id, Reopened, "DEBIAN-CVE-2023-44487 added")]
    );
    let gone = world.apply(Some(&with), &not_affected).await;
    assert_eq!(
        told(&gone),
        [(id, Resolved, "DEBIAN-CVE-2023-44487 changed")]
    );
    let removed = world.apply(Some(&with), &without).await;
    assert!(removed.is_empty(), "it was resolved already");

    let stored = current_findings(world.store(), &package).await.unwrap();
    let states: Vec<_> = stored
        .iter()
        .map(|f| (f.canonical_id.as_str(), f.state))
        .collect();
    assert_eq!(states, [("CVE-2023-45853", Opened), (id, Resolved)]);
}

#[tokio::test]
async fn what_no_advisory_decides_stays_and_what_others_wrote_is_seen() {
    let world = World::new();
    let image = world.image(STATUS, BOOKWORM).await;
    let subject = Subject {
        package: "demo".parse().unwrap(),
        image: None,
        purl: None,
        location: Some("Deployment/demo".into()),
    };
    let configuration = Finding::opened(
        FindingKind::Configuration,
        "run-as-non-root",
        subject,
        Severity::High,
        Level::Configured,
        "runs as root",
    );
    let package = world
        .package(
            "demo",
            &image,
            Policy::default(),
            vec![configuration.clone()],
        )
        .await;
    let one = world.epoch(&[zlib()]);
    let two = world.epoch(&[zlib(), nghttp2("13", None)]);
    world.apply(None, &one).await;
    let stored = current_findings(world.store(), &package).await.unwrap();
    assert!(stored.contains(&configuration));
    // Somebody scans again and writes findings of their own; the next epoch does not touch the package, and yet what is
    // missing is noticed.
    let mut rewritten = vec![configuration.clone()];
    replace_findings(
        world.store(),
        &package.revision,
        package.level,
        &mut rewritten,
    )
    .await
    .unwrap();
    // A name that leads nowhere keeps nobody from being looked at.
    let nowhere = Descriptor::of(media_type::INDEX, b"nowhere");
    let name = RefName::package(&"lost".parse().unwrap());
    let _ = world.store().tag(&name, &nowhere).await;
    let changes = world.apply(Some(&one), &two).await;
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].finding.canonical_id, "CVE-2023-45853");
    // A revision that a level makes later is looked at under the epoch that is in force already.
    world
        .package("later", &image, Policy::default(), Vec::new())
        .await;
    let later = world.apply(Some(&two), &two).await;
    assert_eq!(later.len(), 1);
    assert_eq!(later[0].finding.subject.package.as_str(), "later");
    let stored = current_findings(world.store(), &package).await.unwrap();
    assert!(stored.contains(&configuration));
}

#[tokio::test]
async fn waived_vulnerabilities_are_told_as_suppressed() {
    let world = World::new();
    let image = world.image(STATUS, BOOKWORM).await;
    let policy = Policy {
        waivers: vec![Waiver {
            rule: "CVE-2023-45853".into(),
            kind: None,
            name: None,
            container: None,
            reason: "MiniZip is not built".into(),
            expires: None,
        }],
        ..Policy::default()
    };
    world.package("demo", &image, policy, Vec::new()).await;
    let changes = world.apply(None, &world.epoch(&[zlib()])).await;
    assert_eq!(changes.len(), 1);
    let finding = &changes[0].finding;
    assert_eq!(finding.state, FindingState::Suppressed);
    assert_eq!(
        finding.suppression.as_ref().unwrap().reason,
        "MiniZip is not built"
    );
    let none = world
        .apply(None, &world.epoch(&[nghttp2("12", Some("1.0"))]))
        .await;
    assert_eq!(none[0].finding.state, FindingState::Resolved);
}

#[tokio::test]
async fn a_release_that_is_covered_from_now_on_is_checked_and_one_that_no_longer_is_is_told() {
    use FindingState::{Opened, Resolved};
    let world = World::new();
    let image = world.image(STATUS, BOOKWORM).await;
    world
        .package("demo", &image, Policy::default(), Vec::new())
        .await;
    let other = world.epoch(&[nghttp2("11", None)]);
    let bookworm = world.epoch(&[nghttp2("12", None)]);
    let state = |changes: &[FindingChange]| -> Vec<(String, FindingState)> {
        let mut states: Vec<_> = changes
            .iter()
            .map(|change| (change.finding.canonical_id.clone(), change.finding.state))
            .collect();
        states.sort();
        states
    };
    let unchecked = "advisories-not-covering".to_owned();
    let first = world.apply(None, &other).await;
    assert_eq!(state(&first), [(unchecked.clone(), Opened)]);
    let covered = world.apply(Some(&other), &bookworm).await;
    assert_eq!(
        state(&covered),
        [
            ("CVE-2023-44487".to_owned(), Opened),
            (unchecked.clone(), Resolved)
        ]
    );
    let lost = world.apply(Some(&bookworm), &other).await;
    assert!(state(&lost).contains(&(unchecked, FindingState::Reopened)));
}

#[tokio::test]
async fn a_package_that_cannot_be_read_keeps_its_findings_and_says_so() {
    let world = World::new();
    let image = world.image(STATUS, BOOKWORM).await;
    let package = world
        .package("demo", &image, Policy::default(), Vec::new())
        .await;
    let one = world.epoch(&[zlib()]);
    let two = world.epoch(&[zlib(), nghttp2("12", None)]);
    world.apply(None, &one).await;
    let before = current_findings(world.store(), &package).await.unwrap();
    // Another revision of the same package with an image whose layer is no tar archive.
    let layer = world
        .store()
        .put(media_type::LAYER_GZIP, b"not gzip")
        .await
        .unwrap();
    let mut manifest = Manifest::artefact("", vec![layer]);
    manifest.artifact_type = None;
    let config = json!({"architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [image.digest.to_string()]}});
    manifest.config = world
        .store()
        .put_json(media_type::CONFIG, &config)
        .await
        .unwrap();
    let broken = world.store().put_manifest(&manifest).await.unwrap();
    let package = world
        .package("demo", &broken, Policy::default(), before.clone())
        .await;
    let changes = world.apply(Some(&one), &two).await;
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert_eq!(changes[0].finding.canonical_id, "not-looked-at-again");
    assert_eq!(changes[0].finding.kind, FindingKind::Completeness);
    let after = current_findings(world.store(), &package).await.unwrap();
    assert!(before.iter().all(|finding| after.contains(finding)));
    assert!(world.apply(Some(&one), &two).await.is_empty());
}

#[tokio::test]
async fn changes_that_were_not_delivered_are_given_again() {
    let world = World::new();
    let image = world.image(STATUS, BOOKWORM).await;
    world
        .package("demo", &image, Policy::default(), Vec::new())
        .await;
    let epoch = world.epoch(&[zlib()]);
    let failed = Rescheduler::new()
        .apply_epoch_each(None, &epoch, &world.context, async |_| {
            Err(EngineError::Cancelled)
        })
        .await;
    assert!(matches!(failed, Err(EngineError::Cancelled)));
    assert_eq!(world.apply(None, &epoch).await.len(), 1);
}

/// An inventory with packages of PyPI: what a cataloguer of Python packages will write.
fn inventory(image: &Descriptor, packages: &[(String, String)]) -> Value {
    let packages: Vec<Value> = packages
        .iter()
        .map(|(name, version)| {
            json!({
                "kind": "deb", "purl": format!("pkg:pypi/{name}@{version}"), "name": name,
                "version": version, "architecture": "all", "licence": {}, "database": "METADATA",
            })
        })
        .collect();
    json!({
        "cataloguer": 1, "image": image.digest, "platform": {"architecture": "amd64", "os": "linux"},
        "packages": packages, "files": {"total": 0, "owned": 0, "unowned": 0, "unownedPrograms": 0},
    })
}

/// Records of an export, unpacked, by the year in their id.
fn unpack(exports: &Path, into: &Path, wanted: impl Fn(&str) -> bool) -> Option<()> {
    let all = into.join("all");
    std::process::Command::new("unzip")
        .arg("-q")
        .arg(exports.join("PyPI.zip"))
        .arg("-d")
        .arg(&all)
        .status()
        .ok()?;
    let some = into.join("some");
    std::fs::create_dir_all(&some).unwrap();
    for entry in std::fs::read_dir(&all).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if wanted(&name) {
            std::fs::copy(entry.path(), some.join(name)).unwrap();
        }
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_over_real_advisories_miss_nothing() {
    let Some(exports) = std::env::var_os("QUENCH_CONFORMANCE") else {
        eprintln!("SKIPPED: QUENCH_CONFORMANCE names no folder of OSV exports");
        return;
    };
    let exports = PathBuf::from(exports).join("osv");
    let world = World::new();
    let scratch = tempfile::tempdir().unwrap();
    // The world before May 2025, roughly: PYSEC numbers of 2025 run with the year.
    let before = |name: &str| {
        let mut parts = name.trim_end_matches(".json").split('-').skip(1);
        let year: u32 = parts.next().unwrap().parse().unwrap();
        let number: u32 = parts.next().unwrap().parse().unwrap();
        year < 2025 || (year == 2025 && number < 40)
    };
    if unpack(&exports, scratch.path(), before).is_none() {
        eprintln!("SKIPPED: there is no unzip");
        return;
    }
    let old = world.import(&[scratch.path().join("some")]);
    let new = world.import(&[exports.join("PyPI.zip")]);

    let names = [
        "django",
        "flask",
        "requests",
        "urllib3",
        "pillow",
        "numpy",
        "jinja2",
        "werkzeug",
        "aiohttp",
        "cryptography",
        "pyyaml",
        "lxml",
        "tornado",
        "twisted",
        "sqlalchemy",
        "paramiko",
        "ansible",
        "certifi",
        "setuptools",
        "idna",
        "black",
        "scikit-learn",
        "tensorflow",
        "torch",
        "own-package",
    ];
    for at in 0..40_usize {
        let packages: Vec<(String, String)> = names
            .iter()
            .enumerate()
            .filter(|(number, _)| (at + number) % 3 != 0)
            .map(|(number, name)| {
                (
                    (*name).to_owned(),
                    format!("{}.{}.{}", (at + number) % 6, at % 5, number % 4),
                )
            })
            .collect();
        // What the image itself is made of does not matter: its package index is attached.
        let image = world.image(&format!("Package: p{at}\n"), BOOKWORM).await;
        let package = world
            .package(&format!("demo-{at}"), &image, Policy::default(), Vec::new())
            .await;
        let bytes = serde_json::to_vec(&inventory(&image, &packages)).unwrap();
        Attachment::attach(
            world.store(),
            &package.revision,
            media_type::PACKAGE_INDEX,
            Level::Secured,
            Some(&image.digest),
            &bytes,
        )
        .await
        .unwrap();
    }
    let first = world.apply(None, &old).await;
    assert!(first.len() > 1_000, "{}", first.len());
    let started = Instant::now();
    let rescheduler = Rescheduler::new();
    let changes = rescheduler
        .apply_epoch(Some(&old), &new, &world.context)
        .await
        .unwrap();
    let delta = started.elapsed();
    let started = Instant::now();
    let missed = rescheduler.sweep(&new, &world.context).await.unwrap();
    eprintln!(
        "{} findings at first; {} changes in {delta:?}; a sweep takes {:?}",
        first.len(),
        changes.len(),
        started.elapsed()
    );
    assert!(changes.len() > 100, "{}", changes.len());
    assert!(missed.is_empty(), "{missed:#?}");
    for change in &changes {
        let cause = change.finding.cause.as_ref().unwrap();
        assert!(cause.detail.contains("PYSEC-"), "{cause:?}");
    }
    let back = world.apply(Some(&new), &old).await;
    assert_eq!(
        back.len(),
        changes.len(),
        "the way back undoes the way there"
    );
}
