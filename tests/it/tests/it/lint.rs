//! `quench lint`, as a user meets it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use quench_it::need;
use quench_it::tools::{expect_exit, quench, workspace};
use serde_json::Value;
use tempfile::TempDir;

fn run(arguments: &[&str], folder: &Path, input: &str) -> Result<Output> {
    let mut child = Command::new(quench()?)
        .args(arguments)
        .current_dir(folder)
        .env("QUENCH_STORE", folder.join("store"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("quench cannot be started")?;
    child
        .stdin
        .take()
        .context("no stdin")?
        .write_all(input.as_bytes())
        .ok();
    Ok(child.wait_with_output()?)
}

/// Runs to the exit code expected and gives standard output and standard error.
fn ends(arguments: &[&str], folder: &Path, input: &str, code: i32) -> Result<(String, String)> {
    expect_exit(arguments, &run(arguments, folder, input)?, code)
}

fn demo() -> String {
    workspace().join("deploy/demo/chart").display().to_string()
}

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: tool}
spec:
  hostNetwork: true
  containers:
  - name: main
    image: example.org/tool:1
    securityContext: {privileged: true}
";

fn ids(lint: &str) -> Result<Vec<(String, String)>> {
    let lint: Value = serde_json::from_str(lint)?;
    let findings = lint.get("findings").and_then(Value::as_array);
    Ok(findings
        .context("no findings")?
        .iter()
        .map(|finding| {
            let text = |pointer: &str| {
                let text = finding.pointer(pointer).and_then(Value::as_str);
                text.unwrap_or_default().to_owned()
            };
            (text("/canonicalId"), text("/subject/location"))
        })
        .collect())
}

#[test]
fn a_chart_is_evaluated_and_stays_as_it_is() -> Result<()> {
    need!("helm");
    let folder = TempDir::new()?;
    let at = folder.path();
    let (out, _) = ends(&["lint", &demo(), "--json"], at, "", 1)?;
    let found = ids(&out)?;
    let has = |rule: &str, place: &str| found.iter().any(|(r, l)| r == rule && l.ends_with(place));
    ensure!(has("run-as-non-root", "/nginx"), "{out}");
    ensure!(
        has("parameters", "Parameter/serviceAccount.create"),
        "{out}"
    );
    let lint: Value = serde_json::from_str(&out)?;
    let first = lint.pointer("/findings/0/evidence").context("no facts")?;
    ensure!(first.to_string().contains("templates/"), "{first}");
    ensure!(
        lint.pointer("/pods/0/violations/0").is_some(),
        "the Pod Security verdicts are missing: {out}"
    );
    ensure!(!at.join("store").exists(), "lint needs no store");

    // Which rules, and how bad is bad.
    let (out, _) = ends(
        &["lint", &demo(), "--rule", "run-as-non-root", "--json"],
        at,
        "",
        1,
    )?;
    ensure!(
        ids(&out)?.iter().all(|(rule, _)| rule == "run-as-non-root"),
        "{out}"
    );
    let (out, _) = ends(
        &["lint", &demo(), "--exclude", "run-as-non-root", "--json"],
        at,
        "",
        1,
    )?;
    ensure!(
        ids(&out)?.iter().all(|(rule, _)| rule != "run-as-non-root"),
        "{out}"
    );
    ends(&["lint", &demo(), "--fail-on", "critical"], at, "", 0)?;

    // What users give is looked at, too.
    std::fs::write(at.join("values.yaml"), "serviceAccount: {create: true}\n")?;
    let (out, _) = ends(&["lint", &demo(), "-f", "values.yaml", "--json"], at, "", 1)?;
    ensure!(!out.contains("Parameter/serviceAccount.create"), "{out}");
    let (_, err) = ends(&["lint", &demo(), "--rule", "run-as-nonroot"], at, "", 2)?;
    ensure!(err.contains("did you mean run-as-non-root?"), "{err}");
    Ok(())
}

#[test]
fn a_hardened_chart_has_less_to_find() -> Result<()> {
    need!("helm");
    let folder = TempDir::new()?;
    let at = folder.path();
    std::fs::write(
        at.join("facts.yaml"),
        "\"*\": {uid: 10001, gid: 10001, writable: [/tmp, /run, /var/cache]}\n",
    )?;
    let harden = [
        "harden",
        &demo(),
        "--chart-only",
        "--image-facts",
        "facts.yaml",
        "-o",
        "hardened",
    ];
    ends(&harden, at, "", 0)?;
    let (before, _) = ends(
        &["lint", &demo(), "--image-facts", "facts.yaml", "--json"],
        at,
        "",
        1,
    )?;
    let output = run(&["lint", "hardened", "--json"], at, "")?;
    let after = String::from_utf8(output.stdout)?;
    let (before, after) = (ids(&before)?.len(), ids(&after)?.len());
    ensure!(after * 2 < before, "{before} → {after}");
    let values = std::fs::read_to_string(at.join("hardened/values-hardened.yaml"))?;
    ensure!(values.contains("create: true"), "{values}");
    Ok(())
}

#[test]
fn manifests_are_evaluated_without_helm() -> Result<()> {
    let folder = TempDir::new()?;
    let at = folder.path();
    let (out, _) = ends(&["lint", "-"], at, POD, 1)?;
    for word in [
        "no-privileged",
        "no-host-network",
        "Pod/tool/main",
        "privileged",
    ] {
        ensure!(out.contains(word), "{word} is missing:\n{out}");
    }
    std::fs::create_dir_all(at.join("manifests/deep"))?;
    std::fs::write(at.join("manifests/deep/pod.yaml"), POD)?;
    let (out, _) = ends(&["lint", "manifests", "--format", "sarif"], at, "", 1)?;
    let sarif: Value = serde_json::from_str(&out)?;
    let result = sarif
        .pointer("/runs/0/results/0")
        .context("no result in the SARIF log")?;
    let uri = result.pointer("/locations/0/physicalLocation/artifactLocation/uri");
    ensure!(
        uri.and_then(Value::as_str) == Some("deep/pod.yaml"),
        "{result}"
    );

    // A waiver accepts what it names, and no more.
    std::fs::write(
        at.join("policy.yaml"),
        "waivers:\n- {rule: no-host-network, name: tool, reason: it measures the node}\n",
    )?;
    let waived = ["lint", "manifests", "--policy", "policy.yaml", "--json"];
    let (out, _) = ends(&waived, at, "", 1)?;
    let lint: Value = serde_json::from_str(&out)?;
    let text = |finding: &Value, key: &str| {
        let text = finding.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let suppressed: Vec<&Value> = lint
        .get("findings")
        .and_then(Value::as_array)
        .context("no findings")?
        .iter()
        .filter(|finding| text(finding, "state") == "suppressed")
        .collect();
    ensure!(
        suppressed.len() == 1
            && suppressed
                .iter()
                .all(|f| f["canonicalId"] == "no-host-network"),
        "{suppressed:?}"
    );

    std::fs::write(at.join("manifests/bad.yaml"), "kind: [\n")?;
    let (_, err) = ends(&["lint", "manifests"], at, "", 2)?;
    ensure!(err.contains("bad.yaml"), "{err}");
    let (_, err) = ends(&["lint", "nowhere"], at, "", 2)?;
    ensure!(err.contains("nowhere"), "{err}");
    let (_, err) = ends(&["lint", "-"], at, "", 2)?;
    ensure!(err.contains("no manifests"), "{err}");
    Ok(())
}
