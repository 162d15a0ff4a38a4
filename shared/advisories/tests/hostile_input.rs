//! Whatever comes in from outside, nothing breaks: archives, records, exported epochs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::path::Path;

use proptest::prelude::*;
use quench_advisories::{Component, Distribution, Epoch, Score};

fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for (name, content) in members {
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let offset = out.len() as u32;
        let size = (content.len() as u32).to_le_bytes();
        let name_length = (name.len() as u16).to_le_bytes();
        let crc = crc.sum().to_le_bytes();
        out.extend(b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0");
        out.extend([crc, size, size].concat());
        out.extend([name_length, [0, 0]].concat());
        out.extend(name.as_bytes());
        out.extend(*content);
        directory.extend(b"PK\x01\x02\x14\0\x14\0\0\0\0\0\0\0\0\0");
        directory.extend([crc, size, size].concat());
        directory.extend([name_length, [0, 0], [0, 0], [0, 0], [0, 0]].concat());
        directory.extend([0; 4]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let count = (members.len() as u16).to_le_bytes();
    let start = (out.len() as u32).to_le_bytes();
    let length = (directory.len() as u32).to_le_bytes();
    out.extend(directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count, count].concat());
    out.extend([length, start].concat());
    out.extend([0, 0]);
    out
}

const GOOD: &str = r#"{"id":"PYSEC-1","modified":"2024-01-01T00:00:00Z","affected":[{"package":
    {"ecosystem":"PyPI","name":"x"},"ranges":[{"type":"ECOSYSTEM","events":[{"introduced":"0"},{"fixed":"2"}]}]}]}"#;

fn build(path: &Path, folder: &Path) -> Result<usize, String> {
    Epoch::build(&[path.to_owned()], folder)
        .map(|(_, report)| report.records)
        .map_err(|error| error.to_string())
}

#[test]
fn names_in_archives_lead_nowhere() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("all.zip");
    let name = "../../escape.json";
    std::fs::write(
        &path,
        zip(&[(name, GOOD.as_bytes()), ("/etc/x.json", GOOD.as_bytes())]),
    )
    .unwrap();
    assert_eq!(build(&path, &scratch.path().join("in/epochs")), Ok(1));
    assert!(!scratch.path().join("escape.json").exists());
}

#[test]
fn archives_that_unpack_to_too_much_are_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("all.zip");
    let mut bytes = zip(&[("x.json", GOOD.as_bytes())]);
    // The directory promises four gigabytes.
    let at = bytes.windows(4).position(|b| b == b"PK\x01\x02").unwrap() + 24;
    bytes[at..at + 4].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = build(&path, scratch.path()).unwrap_err();
    assert!(error.contains("larger than"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damaged_archives_never_break_the_reader(
        at in 0_usize..400, byte in any::<u8>(), cut in 0_usize..500,
    ) {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("all.zip");
        let mut bytes = zip(&[("a.json", GOOD.as_bytes()), ("b.json", b"{}")]);
        if let Some(target) = bytes.get_mut(at) {
            *target = byte;
        }
        let length = bytes.len().saturating_sub(cut);
        bytes.truncate(if cut < 400 { bytes.len() } else { length });
        std::fs::write(&path, bytes).unwrap();
        // An epoch or an error that names the file; never a panic.
        if let Err(error) = build(&path, scratch.path()) {
            prop_assert!(error.contains("all.zip"), "{}", error);
        }
    }

    #[test]
    fn any_text_is_a_vector_or_refused(text in "(CVSS:[234]\\.[01]/)?(A[VCT]:[A-Z]/|[A-Z]{1,3}:[A-Z]/|\\PC){0,12}") {
        if let Ok(score) = Score::of(&text) {
            prop_assert!((0.0..=10.0).contains(&score.score));
        }
    }
}

proptest! {
    // Each case writes two databases.
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn odd_records_are_used_or_named(
        id in "\\PC{0,12}", ecosystem in "(PyPI|Debian:12|Alpine:v3.20|\\PC{0,8})", name in "\\PC{0,8}",
        introduced in "\\PC{0,8}", fixed in "\\PC{0,8}", version in "\\PC{0,8}", kind in "(ECOSYSTEM|SEMVER|GIT|\\PC{0,4})",
    ) {
        let scratch = tempfile::tempdir().unwrap();
        let sources = scratch.path().join("sources");
        std::fs::create_dir(&sources).unwrap();
        let record = serde_json::json!({
            "id": id, "modified": "2024-01-01T00:00:00Z", "aliases": [version, id],
            "affected": [{"package": {"ecosystem": ecosystem, "name": name}, "versions": [version],
                "ranges": [{"type": kind, "events": [{"introduced": introduced}, {"fixed": fixed}]}]}],
        });
        std::fs::write(sources.join("good.json"), GOOD).unwrap();
        std::fs::write(sources.join("odd.json"), record.to_string()).unwrap();
        let (epoch, _) = Epoch::build(&[sources], &scratch.path().join("epochs")).unwrap();
        let export = scratch.path().join("export");
        epoch.export(&export).unwrap();
        let again = Epoch::open(&export, &scratch.path().join("elsewhere")).unwrap();
        prop_assert_eq!(again.digest(), epoch.digest());
        let asked = Component::new(
            "pkg:deb/debian/x@1", name, version, Some(Distribution::new("debian", "12")),
        );
        prop_assert_eq!(again.matches(std::slice::from_ref(&asked)).unwrap(), epoch.matches(&[asked]).unwrap());
    }
}
