//! Real charts: what they render to is what the rules say, and with hardening off what it always was.
//!
//! `QUENCH_CHARTS` names a folder with charts, each with its dependencies under `charts/`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use quench_chart::Chart;
use quench_chart::chart::ChartError;
use quench_chart::compare::{Options, compare};
use quench_chart::render::{Helm, Request};

use crate::programs::{Case, block_on, helms, render};

fn find(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) {
    if folder.join("Chart.yaml").is_file() {
        found.push(folder.to_owned());
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries.filter_map(|e| Some(e.ok()?.path())).collect();
    entries.sort();
    for entry in entries {
        if depth < 6 && entry.is_dir() && !entry.is_symlink() {
            find(&entry, depth + 1, found);
        }
    }
}

/// Values files that charts bring for their own tests.
fn samples(chart: &Path) -> Vec<String> {
    let mut samples = vec![String::new()];
    let mut files: Vec<PathBuf> = std::fs::read_dir(chart.join("ci"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    samples.extend(
        files
            .iter()
            .filter_map(|path| std::fs::read_to_string(path).ok()),
    );
    samples
}

#[test]
fn corpus_does_what_the_rules_say() {
    let Some(folder) = std::env::var_os("QUENCH_CHARTS") else {
        eprintln!("SKIPPED: QUENCH_CHARTS names no folder of charts");
        return;
    };
    let mut charts = Vec::new();
    find(Path::new(&folder), 0, &mut charts);
    let helms = helms();
    let (mut compared, mut wrong) = (0, Vec::new());
    for path in &charts {
        let chart = match Chart::load(path) {
            Ok(chart) => chart,
            Err(error @ ChartError::MissingDependencies { .. }) => {
                eprintln!("SKIPPED: {}: {error}", path.display());
                continue;
            }
            Err(error) => {
                wrong.push(format!("{}: {error}", path.display()));
                continue;
            }
        };
        for helm in &helms {
            if let Err(error) = render(helm, &chart, "") {
                eprintln!(
                    "SKIPPED: {}: {}",
                    path.display(),
                    error.lines().last().unwrap_or("")
                );
                continue;
            }
            match one(helm, &chart, &samples(path)) {
                Ok(lines) => {
                    compared += 1;
                    println!("{}: {lines}", chart.name());
                }
                Err(error) => wrong.push(format!("{}: {error}", path.display())),
            }
        }
    }
    println!("{compared} charts compared, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn one(helm: &Helm, chart: &Chart, samples: &[String]) -> Result<String, String> {
    let case = Case::default();
    let hardened = case.harden(helm, chart, "").map_err(|e| e.to_string())?;
    for values in samples {
        if render(helm, chart, values).is_err() {
            continue;
        }
        let comparison = case.compare(helm, &hardened.chart, values)?;
        if !comparison.is_same() {
            return Err(format!("at {values:?}: {comparison}"));
        }
        let off = Request {
            values: vec![values.clone()],
            set: vec!["global.hardening.enabled=false".to_owned()],
            ..Request::default()
        };
        let again: Vec<_> = (0..2)
            .map(|_| render(helm, chart, values))
            .collect::<Result<_, _>>()?;
        let before = render(helm, chart, values)?;
        let after = block_on(helm.render(&hardened.chart, &off)).map_err(|e| e.to_string())?;
        let options = Options {
            ignore_checksums: false,
            again: &again,
        };
        let comparison = compare(&before, &after, options);
        if !comparison.is_same() {
            return Err(format!("switched off it is not what it was: {comparison}"));
        }
    }
    let time = |chart: &Chart| {
        let mut times: Vec<Duration> = (0..3)
            .map(|_| {
                let start = Instant::now();
                let _ = render(helm, chart, "");
                start.elapsed()
            })
            .collect();
        times.sort();
        times[1]
    };
    let report = &hardened.report;
    Ok(format!(
        "{} value sets; findings {} -> {}, restricted {} -> {} of {}, rendering {:?} -> {:?}",
        samples.len(),
        report.before.findings,
        report.after.findings,
        report.before.restricted,
        report.after.restricted,
        report.after.workloads,
        time(chart),
        time(&hardened.chart),
    ))
}
