//! `quench rules`, `quench explain` and `quench waive`, as a user meets them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use quench_it::need;
use quench_it::tools::{expect_exit, quench, workspace};
use serde_json::Value;
use tempfile::TempDir;

fn run(arguments: &[&str], folder: &Path) -> Result<Output> {
    Command::new(quench()?)
        .args(arguments)
        .current_dir(folder)
        .env("QUENCH_STORE", folder.join("store"))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .context("quench cannot be started")
}

/// Runs to the exit code expected and gives standard output and standard error.
fn ends(arguments: &[&str], folder: &Path, code: i32) -> Result<(String, String)> {
    expect_exit(arguments, &run(arguments, folder)?, code)
}

#[test]
fn a_waiver_is_written_listed_used_and_taken_out() -> Result<()> {
    need!("helm");
    let folder = TempDir::new()?;
    let at = folder.path();
    let before = "# what we demand\ngate: {enforce: false} # for now\n";
    std::fs::write(at.join("policy.yaml"), before)?;
    let waive = [
        "waive",
        "seccomp-runtime-default",
        "--kind",
        "Deployment",
        "--reason",
        "it has a profile of its own: soon",
        "--expires",
        "2999-12-31",
    ];
    let (out, _) = ends(&waive, at, 0)?;
    ensure!(out.contains("global:\n  hardening:\n    waivers:"), "{out}");
    let (_, err) = ends(&waive, at, 2)?;
    ensure!(err.contains("has a waiver"), "{err}");
    let text = std::fs::read_to_string(at.join("policy.yaml"))?;
    ensure!(text.starts_with(before), "{text}");
    let (out, _) = ends(&["waive", "--list", "--json"], at, 0)?;
    let listed: Value = serde_json::from_str(&out)?;
    ensure!(
        listed.pointer("/0/waiver/rule").and_then(Value::as_str) == Some("seccomp-runtime-default"),
        "{out}"
    );

    let chart = workspace().join("deploy/demo/chart").display().to_string();
    let harden = [
        "harden",
        &chart,
        "--chart-only",
        "--policy",
        "policy.yaml",
        "-o",
        "hardened",
        "--json",
    ];
    let (out, _) = ends(&harden, at, 0)?;
    let made: Value = serde_json::from_str(&out)?;
    let findings = made
        .get("findings")
        .and_then(Value::as_array)
        .context("no findings")?;
    let suppressed = findings.iter().find(|finding| {
        finding.get("canonicalId").and_then(Value::as_str) == Some("seccomp-runtime-default")
    });
    let suppressed = suppressed.context("no finding of the waived rule")?;
    ensure!(
        suppressed.get("state").and_then(Value::as_str) == Some("suppressed")
            && suppressed
                .pointer("/suppression/expires")
                .and_then(Value::as_str)
                == Some("2999-12-31"),
        "{suppressed}"
    );
    let guide = std::fs::read_to_string(at.join("hardened/HARDENING.md"))?;
    ensure!(
        guide.contains("What was waived") && guide.contains("it has a profile of its own: soon"),
        "{guide}"
    );
    // The hardened chart carries its waiver along.
    let (out, _) = ends(&["explain", "hardened", "deploy/demo-web"], at, 0).or_else(|_| {
        ends(
            &["explain", "hardened", "deployment/release-name-demo-web"],
            at,
            0,
        )
    })?;
    ensure!(
        out.contains("waived") && out.contains("until 2999-12-31"),
        "{out}"
    );

    ends(&["waive", "seccomp-runtime-default", "--remove"], at, 0)?;
    let text = std::fs::read_to_string(at.join("policy.yaml"))?;
    ensure!(text == format!("{before}waivers: []\n"), "{text}");
    Ok(())
}

#[test]
fn waivers_that_would_be_refused_are_not_written() -> Result<()> {
    let folder = TempDir::new()?;
    for (arguments, told) in [
        (vec!["read-only-root"], "--reason"),
        (vec!["read-only-root", "--reason", " "], "needs a reason"),
        (
            vec!["read-only-rot", "--reason", "x"],
            "did you mean read-only-root?",
        ),
        (
            vec!["read-only-root", "--reason", "x", "--expires", "2020-01-01"],
            "has passed",
        ),
        (
            vec!["read-only-root", "--reason", "x", "--expires", "tomorrow"],
            "YYYY-MM-DD",
        ),
        (vec!["read-only-root", "--remove"], "no such waiver"),
    ] {
        let arguments: Vec<&str> = std::iter::once("waive").chain(arguments).collect();
        let (_, err) = ends(&arguments, folder.path(), 2)?;
        ensure!(err.contains(told), "quench {arguments:?}: {err}");
        ensure!(
            !folder.path().join("policy.yaml").exists(),
            "{arguments:?} wrote a policy"
        );
    }
    Ok(())
}

#[test]
fn a_rule_is_explained_with_its_fix_a_waiver_and_the_way_out() -> Result<()> {
    let folder = TempDir::new()?;
    let (out, _) = ends(&["rules", "read-only-root"], folder.path(), 0)?;
    for part in [
        "The fix",
        "evidence needed",
        "- rule: read-only-root",
        "enabled: false",
    ] {
        ensure!(out.contains(part), "{part} is missing: {out}");
    }
    let (_, err) = ends(&["rules", "readonly-root"], folder.path(), 2)?;
    ensure!(err.contains("did you mean read-only-root?"), "{err}");
    let (page, _) = ends(&["rules", "--format", "markdown"], folder.path(), 0)?;
    let (list, _) = ends(&["rules", "--json"], folder.path(), 0)?;
    let rules: Vec<Value> = serde_json::from_str(&list)?;
    for rule in &rules {
        let id = rule.get("id").and_then(Value::as_str).context("no id")?;
        ensure!(
            page.contains(&format!("\n## {id}\n")),
            "{id} has no section"
        );
    }
    Ok(())
}

const FACTS: &str = "\"*\": {uid: 10001, gid: 10001, writable: [/tmp, /run, /var/cache]}\n";

#[test]
fn what_hardening_set_is_explained_the_same_before_and_after() -> Result<()> {
    need!("helm");
    let folder = TempDir::new()?;
    let at = folder.path();
    std::fs::write(at.join("facts.yaml"), FACTS)?;
    let chart = workspace().join("deploy/demo/chart").display().to_string();
    ends(
        &[
            "harden",
            &chart,
            "--chart-only",
            "--image-facts",
            "facts.yaml",
            "-o",
            "hardened",
        ],
        at,
        0,
    )?;
    let (_, err) = ends(&["explain", "hardened", "deployment/wbe"], at, 2)?;
    let name = err
        .split("Deployment/")
        .last()
        .and_then(|rest| rest.split(['?', ',', ' ', '\n']).next())
        .context("nothing is suggested")?
        .to_owned();
    let place = format!("deployment/{name}");
    let (before, _) = ends(
        &[
            "explain",
            &chart,
            &place,
            "--image-facts",
            "facts.yaml",
            "--json",
        ],
        at,
        0,
    )?;
    let (after, _) = ends(&["explain", "hardened", &place, "--json"], at, 0)?;
    let (before, after): (Value, Value) = (
        serde_json::from_str(&before)?,
        serde_json::from_str(&after)?,
    );
    ensure!(before == after, "{before:#}\n{after:#}");
    let changes = after
        .get("changes")
        .and_then(Value::as_array)
        .context("no changes")?;
    let read_only = changes
        .iter()
        .find(|change| {
            change
                .get("path")
                .and_then(Value::as_str)
                .is_some_and(|path| {
                    path.starts_with("spec.template.spec.containers[")
                        && path.ends_with("].securityContext.readOnlyRootFilesystem")
                })
        })
        .with_context(|| format!("{after:#}"))?;
    ensure!(
        read_only.get("after") == Some(&Value::Bool(true))
            && read_only.get("rule").and_then(Value::as_str) == Some("read-only-root"),
        "{read_only}"
    );
    let (_, err) = ends(&["explain", "hardened", &format!("{place}/ngnix")], at, 2)?;
    ensure!(err.contains("did you mean"), "{err}");
    let (_, err) = ends(
        &["explain", "hardened", &place, "--image-facts", "facts.yaml"],
        at,
        2,
    )?;
    ensure!(err.contains("carries its own"), "{err}");
    Ok(())
}

#[test]
fn the_page_of_a_chart_tells_every_change_and_is_the_same_twice() -> Result<()> {
    need!("helm");
    let folder = TempDir::new()?;
    let at = folder.path();
    std::fs::write(at.join("facts.yaml"), FACTS)?;
    let chart = workspace().join("deploy/demo/chart").display().to_string();
    let harden = [
        "harden",
        &chart,
        "--chart-only",
        "--image-facts",
        "facts.yaml",
        "-o",
        "hardened",
        "--report",
        "first.html",
        "--json",
    ];
    let (out, _) = ends(&harden, at, 0)?;
    let made: Value = serde_json::from_str(&out)?;
    let report = made.get("report").context("no report")?;
    for page in ["second.html", "third.html"] {
        ends(&["report", "hardened", "-o", page], at, 0)?;
    }
    let read = |name: &str| std::fs::read_to_string(at.join(name)).context("no page");
    let (first, second) = (read("first.html")?, read("second.html")?);
    ensure!(
        second == read("third.html")?,
        "the page differs from run to run"
    );
    for page in [&first, &second] {
        for (list, keys) in [
            ("changes", &["rule", "object", "field"][..]),
            ("remaining", &["rule", "object", "reason"]),
            ("controls", &["control", "title"]),
        ] {
            let entries = report
                .get(list)
                .and_then(Value::as_array)
                .context("no list")?;
            ensure!(!entries.is_empty(), "{list} is empty");
            for text in entries
                .iter()
                .flat_map(|entry| keys.iter().filter_map(|key| entry.get(key)?.as_str()))
            {
                let escaped = text
                    .replace('&', "&amp;")
                    .replace('<', "&lt;")
                    .replace('"', "&quot;");
                ensure!(
                    page.contains(&escaped),
                    "the page does not tell of {list} {text}"
                );
            }
        }
        ensure!(
            page.contains("<svg") && page.contains("Content-Security-Policy"),
            "no drawing, or no policy"
        );
    }
    // A chart that is not hardened is told what hardening would do.
    ends(
        &[
            "report",
            &chart,
            "--image-facts",
            "facts.yaml",
            "-o",
            "plain.html",
        ],
        at,
        0,
    )?;
    ensure!(
        read("plain.html")?.contains("readOnlyRootFilesystem"),
        "nothing would be done"
    );
    let (_, err) = ends(&["report", "./nowhere", "-o", "x.html"], at, 2)?;
    ensure!(err.contains("no chart at ./nowhere"), "{err}");
    Ok(())
}
