//! Epochs of real OSV exports: imported, asked, exported, compared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use quench_advisories::{
    ChangeKind, Component, Distribution, Ecosystem, Epoch, Error, Match, PackageKey, Score,
    UncheckedReason,
};
use quench_model::Severity;

/// The folder of OSV exports, or nothing, told loudly.
fn exports() -> Option<PathBuf> {
    let folder =
        std::env::var_os("QUENCH_CONFORMANCE").map(|folder| PathBuf::from(folder).join("osv"));
    if folder.is_none() {
        eprintln!("SKIPPED: QUENCH_CONFORMANCE names no folder of OSV exports");
    }
    folder
}

fn component(purl: &str, name: &str, version: &str, distro: Option<(&str, &str)>) -> Component {
    Component::new(
        purl,
        name,
        version,
        distro.map(|(id, version)| Distribution::new(id, version)),
    )
}

fn python(name: &str, version: &str) -> Component {
    component(&format!("pkg:pypi/{name}@{version}"), name, version, None)
}

fn debian(name: &str, version: &str) -> Component {
    component(
        &format!("pkg:deb/debian/{name}@{version}?distro=debian-12"),
        name,
        version,
        Some(("debian", "12")),
    )
}

fn ids(matches: &[Match]) -> Vec<&str> {
    matches.iter().map(|found| found.id.as_str()).collect()
}

/// Writes records to a folder of their own and imports them.
fn epoch_of(folder: &Path, records: &[serde_json::Value]) -> Epoch {
    let sources = tempfile::tempdir().unwrap();
    for record in records {
        let path = sources
            .path()
            .join(format!("{}.json", record["id"].as_str().unwrap()));
        std::fs::write(path, record.to_string()).unwrap();
    }
    Epoch::build(&[sources.path().to_owned()], folder)
        .unwrap()
        .0
}

/// As Debian's records look in OSV: DEBIAN-CVE-2023-44487 as far as nghttp2 is concerned.
fn nghttp2(fixed: Option<&str>) -> serde_json::Value {
    let mut events = vec![serde_json::json!({"introduced": "0"})];
    events.extend(fixed.map(|fixed| serde_json::json!({"fixed": fixed})));
    serde_json::json!({
        "id": "DEBIAN-CVE-2023-44487",
        "modified": "2025-11-19T02:04:14Z",
        "upstream": ["CVE-2023-44487"],
        "details": "The HTTP/2 protocol allows a denial of service (server resource consumption)",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}],
        "affected": [{
            "package": {"ecosystem": "Debian:12", "name": "nghttp2", "purl": "pkg:deb/debian/nghttp2?arch=source"},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
            "ecosystem_specific": {"urgency": "not yet assigned"},
        }],
    })
}

#[test]
fn real_exports_import_whole_and_find_what_they_say() {
    let Some(exports) = exports() else { return };
    let folder = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let (epoch, report) = Epoch::build(std::slice::from_ref(&exports), folder.path()).unwrap();
    let imported = started.elapsed();
    eprintln!(
        "import: {} records in {imported:?}\n{report:#?}",
        report.records
    );
    assert_eq!(report.malformed, 0);
    // 24,452 records, less 1,2xx updates that fix no vulnerability and those without versions.
    assert!(report.records > 22_000);
    assert_eq!(report.withdrawn, 17 + 269);
    for covered in [
        "AlmaLinux:8",
        "AlmaLinux:9",
        "AlmaLinux:10",
        "Bitnami",
        "Go",
        "PyPI",
    ] {
        assert!(
            epoch.coverage().includes(&covered.parse().unwrap()),
            "{covered}"
        );
    }
    assert!(!epoch.coverage().includes(&"Debian:12".parse().unwrap()));

    let started = Instant::now();
    let (again, report) = Epoch::build(&[exports], folder.path()).unwrap();
    eprintln!("import again: {:?}", started.elapsed());
    assert!(report.cached);
    assert_eq!(again.digest(), epoch.digest());

    // GO-2023-2102 / CVE-2023-39325, fixed in golang.org/x/net 0.17.0.
    let net = |version: &str| {
        let purl = format!("pkg:golang/golang.org/x/net@{version}");
        component(&purl, "golang.org/x/net", version, None)
    };
    let found = epoch.matches(&[net("v0.16.0")]).unwrap();
    let http2 = found
        .matches
        .iter()
        .find(|m| m.id == "CVE-2023-39325")
        .unwrap();
    assert_eq!(http2.fixed_version.as_deref(), Some("0.17.0"));
    assert!(http2.aliases.contains(&"GHSA-4374-p667-p6c8".to_owned()));
    assert!(http2.advisories.contains(&"GO-2023-2102".to_owned()));
    let fixed = epoch.matches(&[net("v0.17.0")]).unwrap();
    assert!(!ids(&fixed.matches).contains(&"CVE-2023-39325"));

    // A name in another spelling finds the same; PYSEC-2025-106 has 9.8.
    let django = epoch.matches(&[python("Django", "4.2.20")]).unwrap();
    let other = epoch.matches(&[python("django", "4.2.20")]).unwrap();
    assert!(django.matches.len() > 10);
    assert_eq!(ids(&django.matches), ids(&other.matches));
    assert!(
        django
            .matches
            .iter()
            .any(|m| m.severity == Severity::Critical)
    );

    // ALSA-2023:1405: one update, several vulnerabilities, Red Hat's rating.
    let openssl = component(
        "pkg:rpm/almalinux/openssl-libs@1.1.1k-7.el8_6?epoch=1",
        "openssl-libs",
        "1:1.1.1k-7.el8_6",
        Some(("almalinux", "8.7")),
    );
    let found = epoch.matches(&[openssl]).unwrap();
    let names = ids(&found.matches);
    for cve in ["CVE-2023-0286", "CVE-2022-4304", "CVE-2023-0215"] {
        assert!(names.contains(&cve), "{cve} in {names:?}");
    }
    let one = found
        .matches
        .iter()
        .find(|m| m.id == "CVE-2023-0286")
        .unwrap();
    assert_eq!(one.severity, Severity::High);
    assert_eq!(one.fixed_version.as_deref(), Some("1:1.1.1k-9.el8_7"));

    // 500 packages, as many as a large image has.
    let mut packages = Vec::new();
    for (at, name) in [
        "django", "requests", "urllib3", "flask", "numpy", "pillow", "left", "right",
    ]
    .iter()
    .cycle()
    .take(500)
    .enumerate()
    {
        packages.push(python(name, &format!("{}.{}.{}", at % 4, at % 7, at % 11)));
    }
    let mut times: Vec<_> = (0..9)
        .map(|_| {
            let started = Instant::now();
            epoch.matches(&packages).unwrap();
            started.elapsed()
        })
        .collect();
    times.sort();
    let found = epoch.matches(&packages).unwrap();
    eprintln!(
        "500 packages, {} matches: median {:?}",
        found.matches.len(),
        times[4]
    );
    let clean: Vec<Component> = (0..500)
        .map(|at| python(&format!("own-{at}"), "1.0"))
        .collect();
    let started = Instant::now();
    assert!(epoch.matches(&clean).unwrap().matches.is_empty());
    eprintln!("500 packages without matches: {:?}", started.elapsed());

    // Out and in again, with the same answers.
    let export = folder.path().join("epoch.zst");
    let started = Instant::now();
    epoch.export(&export).unwrap();
    eprintln!(
        "export: {} bytes in {:?}",
        export.metadata().unwrap().len(),
        started.elapsed()
    );
    let elsewhere = tempfile::tempdir().unwrap();
    let started = Instant::now();
    let opened = Epoch::open(&export, elsewhere.path()).unwrap();
    eprintln!("open: {:?}", started.elapsed());
    assert_eq!(opened.digest(), epoch.digest());
    assert_eq!(opened.matches(&packages).unwrap(), found);
    assert!(epoch.diff(&opened).unwrap().is_empty());
    let second = folder.path().join("second.zst");
    opened.export(&second).unwrap();
    assert_eq!(
        std::fs::read(&export).unwrap(),
        std::fs::read(&second).unwrap()
    );
}

#[test]
fn every_published_vector_has_a_score_in_the_band_its_publisher_names() {
    let Some(exports) = exports() else { return };
    let records = |name: &str| -> Option<Vec<serde_json::Value>> {
        let unpacked = std::process::Command::new("unzip")
            .arg("-p")
            .arg(exports.join(name))
            .output()
            .ok()?;
        serde_json::Deserializer::from_slice(&unpacked.stdout)
            .into_iter()
            .collect::<Result<_, _>>()
            .ok()
    };
    let (Some(python), Some(bitnami)) = (records("PyPI.zip"), records("Bitnami.zip")) else {
        eprintln!("SKIPPED: there is no unzip");
        return;
    };
    let mut count = 0;
    for record in &python {
        for severity in record["severity"].as_array().into_iter().flatten() {
            Score::of(severity["score"].as_str().unwrap()).unwrap();
            count += 1;
        }
    }
    let mut otherwise = Vec::new();
    for record in &bitnami {
        let word = match record["database_specific"]["severity"].as_str().unwrap() {
            "None" => "info",
            word => word,
        };
        for severity in record["affected"][0]["severity"]
            .as_array()
            .into_iter()
            .flatten()
        {
            let score = Score::of(severity["score"].as_str().unwrap()).unwrap();
            count += 1;
            if !score.severity().name().eq_ignore_ascii_case(word) {
                otherwise.push(format!("{} {word} {score:?}", record["id"]));
            }
        }
    }
    eprintln!(
        "{count} vectors scored, {} in another band",
        otherwise.len()
    );
    assert!(count > 12_000);
    assert!(
        otherwise.is_empty(),
        "{:#?}",
        otherwise.iter().take(20).collect::<Vec<_>>()
    );
}

#[test]
fn the_same_content_is_the_same_epoch_in_any_order() {
    let records = [
        nghttp2(Some("1.52.0-1+deb12u1")),
        serde_json::json!({
            "id": "GHSA-1", "modified": "2024-01-01T00:00:00Z",
            "affected": [{"package": {"ecosystem": "PyPI", "name": "X"}, "versions": ["2", "1"]}],
        }),
    ];
    let folder = tempfile::tempdir().unwrap();
    let one = epoch_of(folder.path(), &records);
    // Other file names, another folder depth, another order of fields and versions, one record twice.
    let sources = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(sources.path().join("a/b")).unwrap();
    std::fs::write(sources.path().join("a/b/z.json"), records[0].to_string()).unwrap();
    std::fs::write(sources.path().join("0.json"), records[0].to_string()).unwrap();
    std::fs::write(
        sources.path().join("1.json"),
        r#"{"affected":[{"versions":["1","2","1"],"package":{"name":"x","ecosystem":"PyPI"}}],
            "modified":"2024-01-01T00:00:00Z","id":"GHSA-1"}"#,
    )
    .unwrap();
    let (other, report) = Epoch::build(&[sources.path().to_owned()], folder.path()).unwrap();
    assert!(!report.cached);
    assert_eq!(one.digest(), other.digest());
}

#[test]
fn an_archive_and_its_unpacked_members_are_the_same_epoch() {
    let Some(exports) = exports() else { return };
    let folder = tempfile::tempdir().unwrap();
    let unpacked = tempfile::tempdir().unwrap();
    let unzip = std::process::Command::new("unzip")
        .arg("-q")
        .arg(exports.join("Go.zip"))
        .arg("-d")
        .arg(unpacked.path())
        .status();
    if unzip.is_err() {
        eprintln!("SKIPPED: there is no unzip");
        return;
    }
    let (packed, _) = Epoch::build(&[exports.join("Go.zip")], folder.path()).unwrap();
    let (loose, report) = Epoch::build(&[unpacked.path().to_owned()], folder.path()).unwrap();
    assert!(!report.cached);
    assert_eq!(packed.digest(), loose.digest());
}

#[test]
fn debian_is_matched_by_source_package_and_release() {
    let folder = tempfile::tempdir().unwrap();
    let epoch = epoch_of(folder.path(), &[nghttp2(Some("1.52.0-1+deb12u1"))]);
    let library =
        |version: &str| debian("libnghttp2-14", version).built_from(Some("nghttp2".into()), None);
    let found = epoch.matches(&[library("1.52.0-1")]).unwrap();
    assert_eq!(ids(&found.matches), ["CVE-2023-44487"]);
    let one = &found.matches[0];
    assert_eq!(one.fixed_version.as_deref(), Some("1.52.0-1+deb12u1"));
    assert_eq!(one.severity, Severity::High);
    assert_eq!(one.score.as_ref().unwrap().score, 7.5);
    assert_eq!(one.aliases, ["DEBIAN-CVE-2023-44487"]);
    assert!(one.summary.starts_with("The HTTP/2 protocol"));
    assert!(
        epoch
            .matches(&[library("1.52.0-1+deb12u1")])
            .unwrap()
            .matches
            .is_empty()
    );
    // A binary rebuild has a version of its own; its source's counts.
    let rebuilt = debian("libnghttp2-14", "1.52.0-1+deb12u1+b1")
        .built_from(Some("nghttp2".into()), Some("1.52.0-1".into()));
    assert_eq!(epoch.matches(&[rebuilt]).unwrap().matches.len(), 1);
    // Another package of the same name as the binary is not meant.
    assert!(
        epoch
            .matches(&[debian("libnghttp2-14", "1.52.0-1")])
            .unwrap()
            .matches
            .is_empty()
    );
}

#[test]
fn what_the_epoch_does_not_cover_is_unchecked_not_clean() {
    let folder = tempfile::tempdir().unwrap();
    let epoch = epoch_of(folder.path(), &[nghttp2(None)]);
    let bookworm = debian("nghttp2", "1.52.0-1");
    let trixie = component(
        "pkg:deb/debian/nghttp2@1",
        "nghttp2",
        "1",
        Some(("debian", "13")),
    );
    let sid = component(
        "pkg:deb/debian/nghttp2@1",
        "nghttp2",
        "1",
        Some(("debian", "")),
    );
    let alpine = component(
        "pkg:apk/alpine/nghttp2@1",
        "nghttp2",
        "1",
        Some(("alpine", "3.20.3")),
    );
    let broken = debian("nghttp2", "one:two");
    let found = epoch
        .matches(&[bookworm, trixie, sid, alpine, broken])
        .unwrap();
    assert_eq!(found.matches.len(), 1);
    assert_eq!(
        found.matches[0].fixed_version, None,
        "affected, and no fix is known"
    );
    let covered = |name: &str| UncheckedReason::NotCovered(name.parse::<Ecosystem>().unwrap());
    let reasons: Vec<_> = found.unchecked.iter().map(|u| u.reason.clone()).collect();
    assert_eq!(reasons[0], covered("Debian:13"));
    assert_eq!(reasons[1], UncheckedReason::UnknownEcosystem);
    assert_eq!(reasons[2], covered("Alpine:v3.20"));
    assert!(matches!(reasons[3], UncheckedReason::BadVersion(_)));
}

#[test]
fn records_of_one_vulnerability_make_one_match() {
    let folder = tempfile::tempdir().unwrap();
    let record = |id: &str, aliases: &[&str], fixed: &str, word: &str| {
        serde_json::json!({
            "id": id, "aliases": aliases, "modified": "2024-01-01T00:00:00Z", "summary": id,
            "references": [{"type": "WEB", "url": format!("https://example.org/{id}")}],
            "database_specific": {"severity": word},
            "affected": [{"package": {"ecosystem": "PyPI", "name": "jinja2"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": fixed}]}]}],
        })
    };
    let epoch = epoch_of(
        folder.path(),
        &[
            record(
                "GHSA-h5c8-rqwp-cp95",
                &["CVE-2024-22195"],
                "3.1.3",
                "MODERATE",
            ),
            record(
                "PYSEC-2024-1",
                &["CVE-2024-22195", "GHSA-h5c8-rqwp-cp95"],
                "3.1.4",
                "HIGH",
            ),
            record("PYSEC-2024-2", &["CVE-2024-34064"], "3.1.4", "LOW"),
        ],
    );
    let found = epoch.matches(&[python("Jinja2", "3.1.2")]).unwrap().matches;
    assert_eq!(ids(&found), ["CVE-2024-22195", "CVE-2024-34064"]);
    assert_eq!(
        found[0].advisories,
        ["PYSEC-2024-1", "GHSA-h5c8-rqwp-cp95"],
        "the ecosystem's own first"
    );
    assert_eq!(found[0].aliases, ["GHSA-h5c8-rqwp-cp95", "PYSEC-2024-1"]);
    assert_eq!(found[0].fixed_version.as_deref(), Some("3.1.4"));
    assert_eq!(found[0].severity, Severity::High);
    assert_eq!(found[0].references.len(), 2);
    // 3.1.3 is fixed by GitHub's word and affected by the vendor's: one statement is enough.
    assert_eq!(
        epoch
            .matches(&[python("jinja2", "3.1.3")])
            .unwrap()
            .matches
            .len(),
        2
    );
}

#[test]
fn a_cve_without_a_vendors_score_has_the_one_others_give_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut bare = nghttp2(None);
    bare.as_object_mut().unwrap().remove("severity");
    // As OSV publishes the CVE's own record: commits, no packages.
    let cve = |impact: &str| {
        serde_json::json!({
            "id": "CVE-2023-44487", "modified": "2024-01-01T00:00:00Z",
            "severity": [{"type": "CVSS_V3", "score": format!("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:{impact}")}],
            "affected": [{"ranges": [{"type": "GIT", "repo": "https://github.com/nghttp2/nghttp2",
                "events": [{"introduced": "0"}]}]}],
        })
    };
    let asked = [debian("nghttp2", "1")];
    let unscored = epoch_of(folder.path(), &[bare.clone()]);
    let found = unscored.matches(&asked).unwrap().matches;
    assert_eq!(
        (found[0].severity, &found[0].score),
        (Severity::Unknown, &None)
    );
    let scored = epoch_of(folder.path(), &[bare.clone(), cve("H")]);
    let found = scored.matches(&asked).unwrap().matches;
    assert_eq!(found[0].severity, Severity::High);
    assert_eq!(
        found[0].advisories,
        ["DEBIAN-CVE-2023-44487"],
        "a score says of no package that it is affected"
    );
    let low = epoch_of(folder.path(), &[bare, cve("L")]);
    let changes = scored.diff(&low).unwrap();
    let rescored = changes
        .iter()
        .find(|change| change.kind == ChangeKind::Rescored)
        .unwrap();
    assert_eq!(rescored.id, "CVE-2023-44487");
    assert!(
        rescored
            .packages
            .iter()
            .any(|package| package.name == "nghttp2")
    );
    let alone = tempfile::tempdir().unwrap();
    std::fs::write(alone.path().join("x.json"), cve("H").to_string()).unwrap();
    let built = Epoch::build(&[alone.path().to_owned()], folder.path());
    assert!(
        matches!(built, Err(Error::NothingUsable { .. })),
        "scores alone check nothing"
    );
}

#[test]
fn changed_advisories_are_named_with_their_packages() {
    let folder = tempfile::tempdir().unwrap();
    let other = |id: &str, summary: &str| {
        serde_json::json!({
            "id": id, "summary": summary, "modified": "2024-01-01T00:00:00Z",
            "affected": [{"package": {"ecosystem": "PyPI", "name": "x"}, "versions": ["1"]}],
        })
    };
    let without = epoch_of(
        folder.path(),
        &[other("PYSEC-1", "one"), other("PYSEC-2", "two")],
    );
    let with = epoch_of(
        folder.path(),
        &[
            other("PYSEC-1", "another line about the same"),
            nghttp2(None),
        ],
    );
    let mut withdrawn = nghttp2(None);
    withdrawn["withdrawn"] = "2026-01-01T00:00:00Z".into();
    let fixed = epoch_of(
        folder.path(),
        &[nghttp2(Some("1.52.0-1")), other("PYSEC-1", "one")],
    );
    let withdrawn = epoch_of(folder.path(), &[withdrawn, other("PYSEC-1", "one")]);
    let changes = |old: &Epoch, new: &Epoch| -> Vec<(String, ChangeKind)> {
        let changes = old.diff(new).unwrap();
        changes
            .into_iter()
            .map(|change| (change.id, change.kind))
            .collect()
    };
    let id = "DEBIAN-CVE-2023-44487".to_owned();
    assert_eq!(
        changes(&without, &with),
        [
            (id.clone(), ChangeKind::Added),
            ("PYSEC-2".into(), ChangeKind::Removed)
        ],
        "a better summary is no change"
    );
    assert_eq!(changes(&with, &fixed), [(id.clone(), ChangeKind::Changed)]);
    assert_eq!(changes(&fixed, &withdrawn), [(id, ChangeKind::Withdrawn)]);
    let packages = &without.diff(&with).unwrap()[0].packages;
    assert!(packages.contains(&PackageKey {
        ecosystem: "Debian:12".parse().unwrap(),
        name: "nghttp2".into()
    }));
}

#[test]
fn broken_records_are_counted_and_named() {
    let sources = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(sources.path().join(name), text).unwrap();
    put("good.json", &nghttp2(None).to_string());
    put("cut.json", &nghttp2(None).to_string()[..80]);
    put("empty.json", "");
    put("notes.txt", "not looked at");
    let (epoch, report) = Epoch::build(&[sources.path().to_owned()], folder.path()).unwrap();
    assert_eq!((report.records, report.malformed), (1, 2));
    let places: Vec<_> = report
        .malformed_records
        .iter()
        .map(|m| m.place.as_str())
        .collect();
    assert!(
        places[0].ends_with("cut.json") && places[1].ends_with("empty.json"),
        "{places:?}"
    );
    assert_eq!(
        epoch
            .matches(&[debian("nghttp2", "1")])
            .unwrap()
            .matches
            .len(),
        1
    );
}

#[test]
fn nothing_usable_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let sources = tempfile::tempdir().unwrap();
    let build = || Epoch::build(&[sources.path().to_owned()], folder.path());
    assert!(
        matches!(build(), Err(Error::NothingUsable { .. })),
        "an empty folder"
    );
    std::fs::write(sources.path().join("x.json"), "{\"id\":").unwrap();
    let error = build().unwrap_err().to_string();
    assert!(
        error.contains("1 malformed") && error.contains("x.json"),
        "{error}"
    );
    let missing = sources.path().join("missing");
    assert!(matches!(
        Epoch::build(&[missing], folder.path()),
        Err(Error::Io { .. })
    ));
    let text = sources.path().join("x.txt");
    std::fs::write(&text, "").unwrap();
    assert!(matches!(
        Epoch::build(&[text], folder.path()),
        Err(Error::UnknownSource { .. })
    ));
}

#[test]
fn damaged_archives_and_exports_are_refused() {
    let Some(exports) = exports() else { return };
    let scratch = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let zip = std::fs::read(exports.join("Go.zip")).unwrap();
    let cut = scratch.path().join("cut.zip");
    std::fs::write(&cut, &zip[..zip.len() / 2]).unwrap();
    assert!(matches!(
        Epoch::build(&[cut], folder.path()),
        Err(Error::Archive { .. })
    ));
    // One wrong byte in one member: that member is named, the others count.
    let mut flipped = zip;
    flipped[1000] ^= 0x55;
    let path = scratch.path().join("flipped.zip");
    std::fs::write(&path, flipped).unwrap();
    let (epoch, report) = Epoch::build(&[path], folder.path()).unwrap();
    assert_eq!(report.malformed, 1, "{:?}", report.malformed_records);
    assert!(
        report.malformed_records[0]
            .place
            .contains("flipped.zip:GO-")
    );

    let export = scratch.path().join("epoch.zst");
    epoch.export(&export).unwrap();
    let bytes = std::fs::read(&export).unwrap();
    let text = zstd::decode_all(bytes.as_slice()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("cut", bytes[..bytes.len() / 2].to_vec()),
        ("empty", Vec::new()),
        ("other", b"hello".to_vec()),
        (
            "changed",
            zstd::encode_all(
                &*String::from_utf8(text.clone())
                    .unwrap()
                    .replace("0.17.0", "0.16.0")
                    .into_bytes(),
                3,
            )
            .unwrap(),
        ),
        (
            "shorter",
            zstd::encode_all(
                &text[..text[..text.len() - 1]
                    .iter()
                    .rposition(|b| *b == b'\n')
                    .unwrap()
                    + 1],
                3,
            )
            .unwrap(),
        ),
    ] {
        let path = scratch.path().join(name);
        std::fs::File::create(&path)
            .unwrap()
            .write_all(&content)
            .unwrap();
        assert!(Epoch::open(&path, elsewhere.path()).is_err(), "{name}");
    }
    assert!(Epoch::open(&export, elsewhere.path()).is_ok());
    assert!(matches!(
        Epoch::load(epoch.digest(), scratch.path()),
        Err(Error::NoSuchEpoch { .. })
    ));
}
