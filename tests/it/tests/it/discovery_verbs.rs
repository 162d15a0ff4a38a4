//! `quench ingest` and `quench images`, as a user meets them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use quench_it::need;
use quench_it::tools::{expect_exit, quench};
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

/// A chart with an image of each class. Registries called `.invalid` are never there.
fn chart(folder: &Path, name: &str) -> Result<()> {
    let chart = folder.join(name);
    std::fs::create_dir_all(chart.join("templates"))?;
    let metadata = format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n");
    std::fs::write(chart.join("Chart.yaml"), metadata)?;
    std::fs::write(chart.join("values.yaml"), "metrics: {enabled: false}\n")?;
    let template = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers:\n  - {name: app, image: \
                    'registry.invalid/app:1', env: [{name: HELPER_IMAGE, value: 'registry.invalid/helper:1'}]}\n{{- if \
                    .Values.metrics.enabled }}\n  - {name: exporter, image: 'registry.invalid/exporter:1'}\n{{- end }}\n";
    std::fs::write(chart.join("templates/pod.yaml"), template)?;
    Ok(())
}

/// An OCI layout with the image of the chart, by its full name.
fn images(folder: &Path) -> Result<()> {
    let run = |arguments: &[&str]| -> Result<()> {
        let done = Command::new("umoci")
            .args(arguments)
            .current_dir(folder)
            .output()?;
        ensure!(done.status.success(), "umoci {arguments:?}: {done:?}");
        Ok(())
    };
    run(&["init", "--layout", "app"])?;
    run(&["new", "--image", "app:1"])?;
    std::fs::write(folder.join("marker"), "app")?;
    run(&[
        "insert",
        "--rootless",
        "--image",
        "app:1",
        "marker",
        "/marker",
    ])
}

#[test]
fn images_of_a_chart_are_listed_with_why_and_nothing_is_fetched() -> Result<()> {
    need!("helm");
    let folder = TempDir::new()?;
    let at = folder.path();
    chart(at, "demo")?;
    let (out, err) = ends(&["images", "./demo"], at, 0)?;
    for part in [
        "registry.invalid/app:1",
        "required",
        "Pod/web/app containers",
        "optional",
        "with metrics.enabled=true",
        "possible",
        "containers.env.HELPER_IMAGE",
        "1 required, 1 optional, 1 possible",
    ] {
        let words = out.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(
            out.contains(part) || words.contains(part),
            "{part:?} in {out}"
        );
    }
    ensure!(err.is_empty(), "{err}");
    let (out, _) = ends(&["images", "./demo", "--json"], at, 0)?;
    let listed: Value = serde_json::from_str(&out)?;
    let classes: Vec<_> = listed["images"]
        .as_array()
        .context("images")?
        .iter()
        .map(|image| image["class"].as_str().unwrap_or_default())
        .collect();
    ensure!(classes == ["required", "optional", "possible"], "{out}");
    ensure!(
        listed["images"][1]["evidence"][0]["values"] == "metrics.enabled=true",
        "{out}"
    );
    let (_, err) = ends(&["images", "no-such-package"], at, 2)?;
    ensure!(err.contains("no package no-such-package"), "{err}");
    Ok(())
}

#[test]
fn charts_are_ingested_alone_and_what_is_left_out_is_told() -> Result<()> {
    need!("helm");
    need!("umoci");
    let folder = TempDir::new()?;
    let at = folder.path();
    chart(at, "demo")?;
    chart(at, "other")?;
    images(at)?;
    let from = ["--images-from", "oci:app"];
    // Fails closed: the optional image cannot be had, and what to do is said.
    let (_, err) = ends(&["ingest", "./demo", from[0], from[1]], at, 3)?;
    ensure!(
        err.contains("registry.invalid/exporter:1") && err.contains("--images required"),
        "{err}"
    );
    let (out, _) = ends(&["ls"], at, 0)?;
    ensure!(!out.contains("demo"), "nothing half-done is listed: {out}");

    let ingest = [
        "ingest", "./demo", "./other", from[0], from[1], "--images", "required",
    ];
    let (out, _) = ends(&ingest, at, 0)?;
    for part in [
        "chart demo 1.0.0, 1 image by digest",
        "chart other 1.0.0",
        "required  1 image",
        "not sure",
        "sha256:",
    ] {
        ensure!(out.contains(part), "{part:?} in {out}");
    }
    let (out, _) = ends(&[&ingest[..], &["--json"]].concat(), at, 0)?;
    let again: Value = serde_json::from_str(&out)?;
    ensure!(
        again[0]["replayed"] == true && again[1]["package"] == "other",
        "{out}"
    );

    let (out, _) = ends(&["images", "demo", "--json"], at, 0)?;
    let held: Value = serde_json::from_str(&out)?;
    let rows: Vec<_> = held["images"]
        .as_array()
        .context("images")?
        .iter()
        .map(|image| {
            (
                image["class"].as_str().unwrap_or_default(),
                image["included"] == true,
            )
        })
        .collect();
    ensure!(
        rows == [("required", true), ("optional", false), ("possible", false)],
        "{out}"
    );
    ensure!(
        held["images"][0]["digest"]
            .as_str()
            .is_some_and(|d| d.starts_with("sha256:")),
        "{out}"
    );
    let (out, _) = ends(&["images", "demo"], at, 0)?;
    ensure!(out.contains("PLATFORMS") && out.contains("linux/"), "{out}");

    let export = [
        "ingest",
        "./demo",
        from[0],
        from[1],
        "--images",
        "required",
        "-o",
        "demo.quench.tar",
    ];
    ends(&export, at, 0)?;
    ends(&["verify", "demo.quench.tar"], at, 0)?;
    let (_, err) = ends(&["ingest", "./demo", "--platform", "linux"], at, 2)?;
    ensure!(err.contains("is not a platform"), "{err}");
    Ok(())
}
