//! The Pod Security Standards, against the fixtures of the admission controller: pods that each version of each standard
//! must accept or reject. Set QUENCH_CONFORMANCE to the folder that holds them.

use std::io::Read;
use std::path::Path;

use quench_rules::pod_security::{Standard, Version, evaluate};

#[test]
fn every_fixture_is_judged_right() {
    let Some(folder) = std::env::var_os("QUENCH_CONFORMANCE") else {
        eprintln!("SKIPPED: set QUENCH_CONFORMANCE to judge the Pod Security fixtures");
        return;
    };
    let path = Path::new(&folder).join("psa/psa-fixtures.tar.gz");
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let (mut judged, mut wrong) = (0, Vec::new());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let parts: Vec<&str> = name.split('/').collect();
        let [.., standard, version, verdict, file] = parts.as_slice() else {
            continue;
        };
        if !file.ends_with(".yaml") {
            continue;
        }
        let standard = match *standard {
            "baseline" => Standard::Baseline,
            "restricted" => Standard::Restricted,
            other => panic!("{name}: no standard is called {other}"),
        };
        let version = Version(version.strip_prefix("v1.").unwrap().parse().unwrap());
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        let pod = quench_chart::yaml::parse(&text).unwrap();
        let violations = evaluate(standard, version, pod.get("metadata"), &pod["spec"]);
        let right = match *verdict {
            "pass" => violations.is_empty(),
            "fail" => !violations.is_empty(),
            other => panic!("{name}: a fixture passes or fails, it does not {other}"),
        };
        judged += 1;
        if !right {
            wrong.push(format!("{name}: {violations:?}"));
        }
    }
    println!("{judged} pods judged");
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(judged >= 4_537, "only {judged} fixtures were there");
}
