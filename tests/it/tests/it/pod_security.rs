//! The oracle for "restricted" agrees with the authors of the standard on every pod they publish.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use quench_it::pod::Objects;
use quench_it::pod_security::restricted_violations;
use quench_it::tools::run;
use quench_it::{need, skip};
use serde_json::Value;

#[test]
fn restricted_accepts_and_refuses_what_the_standard_says() -> Result<()> {
    let Some(conformance) = std::env::var_os("QUENCH_CONFORMANCE") else {
        skip!("QUENCH_CONFORMANCE names no folder");
    };
    let archive = PathBuf::from(conformance).join("psa/psa-fixtures.tar.gz");
    if !archive.is_file() {
        skip!("{} is missing", archive.display());
    }
    let kubectl = need!("kubectl");
    let folder = tempfile::tempdir()?;
    run(Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(&archive)
        .arg("--directory")
        .arg(folder.path()))?;
    let version = folder.path().join("test/testdata/restricted/v1.36");

    let mut wrong = Vec::new();
    for (kind, passes) in [("pass", true), ("fail", false)] {
        let pods = Objects::decode(&kubectl, &version.join(kind))?;
        ensure!(
            pods.all().len() > 20,
            "only {} pods to {kind}",
            pods.all().len()
        );
        for pod in pods.all() {
            let name = pod
                .pointer("/metadata/name")
                .and_then(Value::as_str)
                .context("a pod has no name")?;
            let violations = restricted_violations(pod);
            if violations.is_empty() != passes {
                wrong.push(format!("{name} must {kind}, found {violations:?}"));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
