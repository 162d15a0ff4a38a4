//! Charts nobody here wrote: hardened without their images, and switched off again, they must render as before.
//!
//! Takes every chart below `QUENCH_CHARTS`, subcharts vendored, as their release archives have them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use quench_it::pod::Objects;
use quench_it::tools::{announce_skip, quench, run};
use quench_it::{need, skip};
use serde_json::Value;

/// What is known of the images of a chart whose images are not fetched.
const FACTS: &str = "\"*\":\n  uid: 10001\n  gid: 10001\n  writable: [/tmp]\n  ports: [8080]\n";

#[test]
fn corpus_charts_render_the_same_objects_when_hardening_is_off() -> Result<()> {
    let Some(corpus) = std::env::var_os("QUENCH_CHARTS") else {
        skip!("QUENCH_CHARTS names no folder of charts");
    };
    let kubectl = need!("kubectl");
    let helms = [need!("helm"), need!("helm3")];
    let quench = quench()?;
    let mut held = 0;
    let mut wrong = Vec::new();
    for chart in charts(Path::new(&corpus))? {
        for helm in &helms {
            let name = format!("{} with {}", chart.display(), helm.display());
            let Ok(original) = Objects::render(helm, &kubectl, &chart, "same", &[]) else {
                announce_skip(
                    &name,
                    "the original does not render, or holds kinds kubectl does not know",
                );
                continue;
            };
            match compare(&quench, helm, &kubectl, &chart, &original) {
                Ok(()) => held += 1,
                Err(error) => wrong.push(format!("{name}: {error:#}")),
            }
        }
    }
    ensure!(
        wrong.is_empty(),
        "{} of {} failed:\n{}",
        wrong.len(),
        held + wrong.len(),
        wrong.join("\n")
    );
    ensure!(held > 0, "no chart of the corpus could be compared");
    Ok(())
}

fn compare(
    quench: &Path,
    helm: &Path,
    kubectl: &Path,
    chart: &Path,
    original: &Objects,
) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let facts = scratch.path().join("facts.yaml");
    std::fs::write(&facts, FACTS)?;
    let hardened = scratch.path().join("chart");
    run(Command::new(quench)
        .arg("harden")
        .arg(chart)
        .args(["--chart-only", "--image-facts"])
        .arg(&facts)
        .arg("--output")
        .arg(&hardened)
        .arg("--store")
        .arg(scratch.path().join("store")))?;
    // Certificates and passwords differ from render to render; what differs between two renders of the original
    // says nothing about us.
    let second = by_name(&Objects::render(helm, kubectl, chart, "same", &[])?)?;
    let original = by_name(original)?;
    let off = ["--set", "global.hardening.enabled=false"];
    let ours = by_name(&Objects::render(helm, kubectl, &hardened, "same", &off)?)?;
    for (name, theirs) in &original {
        let Some(ours) = ours.get(name) else {
            bail!("{name} is gone")
        };
        difference("", theirs, ours, second.get(name).unwrap_or(theirs))
            .map_err(|at| at.context(name.clone()))?;
    }
    let added: Vec<_> = ours
        .keys()
        .filter(|name| !original.contains_key(*name))
        .collect();
    ensure!(added.is_empty(), "new objects: {added:?}");
    // On, it must render at all, with the same objects by name.
    let on = by_name(&Objects::render(helm, kubectl, &hardened, "same", &[])?)?;
    ensure!(
        on.keys().eq(original.keys()),
        "hardening on renders other objects: {:?}",
        on.keys()
    );
    Ok(())
}

/// Fails with the place where `ours` differs from `theirs`, unless `again`, a second render, differs there too.
fn difference(at: &str, theirs: &Value, ours: &Value, again: &Value) -> Result<()> {
    // Checksums are of template text, which the hardened chart adds to.
    if at.contains("/annotations/checksum") {
        return Ok(());
    }
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let extra: Vec<_> = ours
                .keys()
                .filter(|key| !theirs.contains_key(*key))
                .collect();
            ensure!(extra.is_empty(), "{at}: added {extra:?}");
            for (key, value) in theirs {
                let ours = ours
                    .get(key)
                    .with_context(|| format!("{at}/{key} is gone"))?;
                difference(
                    &format!("{at}/{key}"),
                    value,
                    ours,
                    again.get(key).unwrap_or(value),
                )?;
            }
        }
        (Value::Array(theirs), Value::Array(ours)) if theirs.len() == ours.len() => {
            for (number, (value, ours)) in theirs.iter().zip(ours).enumerate() {
                difference(
                    &format!("{at}/{number}"),
                    value,
                    ours,
                    again.get(number).unwrap_or(value),
                )?;
            }
        }
        (theirs, ours) => {
            ensure!(
                theirs == ours || theirs != again,
                "{at}: was {theirs}, is {ours}"
            );
        }
    }
    Ok(())
}

fn by_name(objects: &Objects) -> Result<BTreeMap<String, Value>> {
    let mut named = BTreeMap::new();
    for object in objects.all() {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let name = format!(
            "{}/{}/{}",
            text("/kind"),
            text("/metadata/namespace"),
            text("/metadata/name")
        );
        ensure!(
            named.insert(name.clone(), object.clone()).is_none(),
            "{name} is rendered twice"
        );
    }
    Ok(named)
}

fn charts(corpus: &Path) -> Result<Vec<PathBuf>> {
    let mut charts = Vec::new();
    for entry in
        std::fs::read_dir(corpus).with_context(|| format!("{} cannot be read", corpus.display()))?
    {
        let path = entry?.path();
        if path.join("Chart.yaml").is_file() {
            charts.push(path);
        }
    }
    charts.sort();
    ensure!(
        !charts.is_empty(),
        "{} holds no folder with a Chart.yaml",
        corpus.display()
    );
    Ok(charts)
}
