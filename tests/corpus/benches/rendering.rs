//! What hardening costs at render time: `helm template` of hardened charts beside the originals.
//!
//! Takes the charts below `QUENCH_CHARTS` (`QUENCH_SAMPLE` of them at most), else those this repository has. Nothing of Quench runs
//! in what is timed. Fails only when a chart does not render; times are printed, never judged.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use quench_corpus::charts::Corpus;
use quench_corpus::helms::{self, NamedHelm};
use quench_corpus::proof::{self, Circumstances, KUBERNETES, Order};
use quench_corpus::suite::{Options, chosen};
use quench_corpus::values;

/// Renders of each side of a chart, taken in turns.
const RUNS: usize = 7;

struct Measured {
    chart: String,
    original: Duration,
    hardened: Duration,
}

impl Measured {
    fn ratio(&self) -> f64 {
        self.hardened.as_secs_f64() / self.original.as_secs_f64()
    }
}

fn main() -> Result<()> {
    let helms = match helms::find() {
        Ok(helms) => helms,
        Err(error) => {
            eprintln!("SKIPPED: {error:#}");
            return Ok(());
        }
    };
    let given = std::env::var_os("QUENCH_CHARTS").filter(|folder| !folder.is_empty());
    let folder = given.map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/demo"),
        PathBuf::from,
    );
    let sample = match std::env::var("QUENCH_SAMPLE") {
        Ok(text) if !text.is_empty() => Some(text.parse().context("QUENCH_SAMPLE is no number")?),
        _ => None,
    };
    let corpus = Corpus::find(&folder)?;
    let options = Options {
        sample,
        ..Options::default()
    };
    println!("rendering time of hardened charts over originals, {RUNS} runs each in turns");
    for helm in &helms {
        let mut measured = Vec::new();
        for (name, sources) in chosen(&corpus, &options) {
            match measure(helm, &corpus, name, sources) {
                Ok(Some(one)) => {
                    println!(
                        "{} {}: {:.0?} -> {:.0?}, x{:.2}",
                        helm.version,
                        one.chart,
                        one.original,
                        one.hardened,
                        one.ratio()
                    );
                    measured.push(one);
                }
                Ok(None) => println!("{} {name}: the original does not render", helm.version),
                Err(error) => return Err(error.context(name.to_owned())),
            }
        }
        summarise(&helm.version, &measured);
    }
    Ok(())
}

fn measure(
    helm: &NamedHelm,
    corpus: &Corpus,
    name: &str,
    sources: &Path,
) -> Result<Option<Measured>> {
    let Ok(chart) = corpus.load(name) else {
        return Ok(None);
    };
    let candidates = values::candidates(&chart, sources)?;
    let Ok((set, rendered)) = proof::first_usable(&helm.helm, &chart, &candidates) else {
        return Ok(None);
    };
    let mut order = Order::new(&chart, &Circumstances::default())?;
    order.lock(&rendered);
    let hardened = order.harden(&helm.helm, &chart, set)?;
    let scratch = tempfile::tempdir()?;
    let folders = [
        scratch.path().join("original"),
        scratch.path().join("hardened"),
    ];
    chart.write_to(&folders[0])?;
    hardened.write_to(&folders[1])?;
    let values = scratch.path().join("values.yaml");
    std::fs::write(&values, &set.text)?;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        for (folder, times) in folders.iter().zip(&mut times) {
            times.push(time(helm, folder, &values, scratch.path())?);
        }
    }
    let [original, hardened] = times.map(|mut times| median(&mut times));
    Ok(Some(Measured {
        chart: name.to_owned(),
        original,
        hardened,
    }))
}

fn time(helm: &NamedHelm, chart: &Path, values: &Path, home: &Path) -> Result<Duration> {
    let mut command = Command::new(helm.helm.program());
    command
        .env_clear()
        .env("HOME", home)
        .args(["template", "release-name"])
        .arg(chart)
        .arg("--values")
        .arg(values)
        .args(["--kube-version", KUBERNETES])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let start = Instant::now();
    let status = command.status()?;
    let time = start.elapsed();
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(time)
}

fn summarise(helm: &str, measured: &[Measured]) {
    let mut ratios: Vec<f64> = measured.iter().map(Measured::ratio).collect();
    ratios.sort_by(f64::total_cmp);
    let at = |share: usize| {
        let index = (ratios.len() * share / 100).min(ratios.len().saturating_sub(1));
        ratios.get(index).copied().unwrap_or_default()
    };
    let sum = |side: fn(&Measured) -> Duration| -> f64 {
        measured.iter().map(|one| side(one).as_secs_f64()).sum()
    };
    let (original, hardened) = (sum(|one| one.original), sum(|one| one.hardened));
    println!(
        "helm {helm}: {} charts, median x{:.2}, p90 x{:.2}, worst x{:.2}; in all {original:.2} s -> {hardened:.2} s, x{:.2}",
        ratios.len(),
        at(50),
        at(90),
        at(100),
        hardened / original
    );
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
