//! The command line as a user meets it: help, exit codes, errors, output for machines.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use quench_it::need;
use quench_it::tools::{expect_exit, quench, workspace};
use serde_json::Value;
use tempfile::TempDir;

const VERBS: &[&str] = &[
    "harden",
    "ls",
    "show",
    "findings",
    "report",
    "sbom",
    "chart",
    "image",
    "verify",
    "export",
    "import",
    "push",
    "install",
    "diff",
    "history",
    "rules",
    "lint",
    "explain",
    "waive",
    "advisories",
    "submit",
    "status",
    "watch",
    "completions",
];

fn run(arguments: &[&str], store: &Path) -> Result<Output> {
    Command::new(quench()?)
        .args(arguments)
        .env("QUENCH_STORE", store)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .context("quench cannot be started")
}

/// Runs to the exit code expected and gives standard output and standard error.
fn ends(arguments: &[&str], store: &Path, code: i32) -> Result<(String, String)> {
    expect_exit(arguments, &run(arguments, store)?, code)
}

#[test]
fn every_verb_explains_itself_with_examples() -> Result<()> {
    let store = TempDir::new()?;
    let (help, _) = ends(&["--help"], store.path(), 0)?;
    for verb in VERBS {
        ensure!(
            help.contains(&format!("  {verb} ")),
            "--help does not list {verb}"
        );
        if *verb == "advisories" {
            continue;
        }
        let (help, _) = ends(&[verb, "--help"], store.path(), 0)?;
        ensure!(
            help.contains("Examples:"),
            "{verb} --help shows no example:\n{help}"
        );
        ensure!(
            help.contains(&format!("quench {verb}")),
            "{verb} --help does not show {verb}"
        );
    }
    Ok(())
}

#[test]
fn wrong_words_end_with_2_and_say_what_is_wrong() -> Result<()> {
    let store = TempDir::new()?;
    let nowhere = store.path().join("nowhere");
    let nowhere = nowhere.to_string_lossy();
    let policy = store.path().join("policy.yaml");
    std::fs::write(&policy, "waivers: [{rule: read-only-root}]")?;
    let policy = policy.to_string_lossy();
    let chart = workspace().join("deploy/demo/chart");
    let chart = chart.to_string_lossy();
    for (arguments, told) in [
        (vec!["hardne"], "hardne"),
        (vec!["harden", &nowhere], &*nowhere),
        (vec!["harden", "ftp://a/b"], "ftp://a/b"),
        (vec!["harden", &chart, "--until", "6"], "6"),
        (vec!["harden", &chart, "--images-from", "tar:x"], "tar:x"),
        (
            vec!["harden", &chart, "--policy", &policy],
            "gives no reason",
        ),
        (vec!["harden", &chart, "-f", &nowhere], &*nowhere),
        (vec!["harden", &chart, "--chart-only"], "--output"),
        (vec!["show", "no-such-package"], "no-such-package"),
        (vec!["show", "Bad Name"], "Bad Name"),
        (vec!["rules", "no-such-rule"], "no-such-rule"),
        (vec!["image", "x", "y", "-o", "dir:z"], "oci:DIR"),
    ] {
        let (out, err) = ends(&arguments, store.path(), 2)?;
        ensure!(
            err.contains(told),
            "quench {arguments:?} does not name {told:?}: {err}"
        );
        ensure!(out.is_empty(), "quench {arguments:?} printed {out}");
    }
    Ok(())
}

#[test]
fn what_is_missing_ends_with_3() -> Result<()> {
    let store = TempDir::new()?;
    let absent = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let (_, err) = ends(&["show", absent], store.path(), 3)?;
    ensure!(err.contains(absent), "{err}");
    // Port 9 of the loopback address: nothing listens there.
    let (_, err) = ends(
        &["status", "--endpoint", "http://127.0.0.1:9"],
        store.path(),
        3,
    )?;
    ensure!(err.contains("http://127.0.0.1:9"), "{err}");
    let (_, err) = ends(&["watch", "--nats", "nats://127.0.0.1:9"], store.path(), 3)?;
    ensure!(err.contains("127.0.0.1:9"), "{err}");
    Ok(())
}

#[test]
fn an_image_that_nobody_has_ends_with_3_and_says_how_to_give_it() -> Result<()> {
    need!("helm");
    let store = TempDir::new()?;
    let chart = workspace().join("deploy/demo/chart");
    // A registry on a port where nothing listens stands for one that cannot be reached.
    let values = store.path().join("values.yaml");
    std::fs::write(
        &values,
        "image: {registry: \"127.0.0.1:9\", repository: demo/nginx}\n",
    )?;
    let (_, err) = ends(
        &[
            "harden",
            &chart.to_string_lossy(),
            "-f",
            &values.to_string_lossy(),
        ],
        store.path(),
        3,
    )?;
    ensure!(err.contains("--images-from"), "{err}");
    Ok(())
}

#[test]
fn errors_are_json_when_json_is_asked_for() -> Result<()> {
    let store = TempDir::new()?;
    let (_, err) = ends(&["show", "no-such-package", "--json"], store.path(), 2)?;
    let error: Value = serde_json::from_str(&err).with_context(|| err.clone())?;
    let told = error
        .get("error")
        .and_then(Value::as_str)
        .context("no error")?;
    ensure!(told.contains("no-such-package"), "{told}");
    Ok(())
}

#[test]
fn an_empty_store_lists_nothing() -> Result<()> {
    let store = TempDir::new()?;
    let (out, err) = ends(&["ls"], store.path(), 0)?;
    ensure!(out.is_empty() && err.contains("no packages"), "{out}{err}");
    let (out, _) = ends(&["ls", "--json"], store.path(), 0)?;
    ensure!(
        serde_json::from_str::<Value>(&out)? == Value::Array(Vec::new()),
        "{out}"
    );
    Ok(())
}

#[test]
fn rules_are_listed_and_each_is_explained() -> Result<()> {
    let store = TempDir::new()?;
    let (out, _) = ends(&["rules", "--json"], store.path(), 0)?;
    let rules: Vec<Value> = serde_json::from_str(&out)?;
    let ids: Vec<&str> = rules.iter().filter_map(|r| r.get("id")?.as_str()).collect();
    for wanted in [
        "run-as-non-root",
        "no-privilege-escalation",
        "drop-capabilities",
        "seccomp-runtime-default",
        "read-only-root",
        "image-digest",
        "no-automount-token",
        "recommended-labels",
        "readiness",
    ] {
        ensure!(ids.contains(&wanted), "{wanted} is not among {ids:?}");
    }
    for id in ids {
        let (out, _) = ends(&["rules", id], store.path(), 0)?;
        ensure!(
            out.contains(id),
            "{id} is explained without its name: {out}"
        );
    }
    Ok(())
}

#[test]
fn completions_know_every_verb() -> Result<()> {
    let store = TempDir::new()?;
    for shell in ["bash", "zsh", "fish"] {
        let (script, _) = ends(&["completions", shell], store.path(), 0)?;
        for verb in VERBS {
            ensure!(script.contains(verb), "{shell} completions lack {verb}");
        }
    }
    Ok(())
}
