//! Real charts: rewriting must not change what they render to.
//!
//! `QUENCH_CHARTS` names a folder with charts at any depth, such as checkouts of bitnami/charts and
//! prometheus-community/helm-charts. Dependencies that a chart lacks are taken from the same folder by name.
//! `QUENCH_CHARTS_ONLY` restricts the run to charts whose name is in a comma-separated list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use quench_chart::chart::{Chart, ChartError, Unvendored};
use quench_chart::compare::{Options, compare};
use quench_chart::render::{Helm, Rendered, Request};
use quench_chart::rewrite::rewrite;

use crate::programs::{OFF, block_on, helms, idle};

/// Chart folders below a folder, by the chart's name; subcharts under `charts/` are not looked at.
fn find(folder: &Path, depth: usize, found: &mut BTreeMap<String, PathBuf>) {
    if folder.join("Chart.yaml").is_file() {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        found.entry(name).or_insert_with(|| folder.to_owned());
        return;
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    let mut entries: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    entries.sort();
    for entry in entries {
        if depth < 6 && entry.is_dir() && !entry.is_symlink() {
            find(&entry, depth + 1, found);
        }
    }
}

/// Loads a chart; dependencies it lacks come from the corpus.
fn load(
    path: &Path,
    corpus: &BTreeMap<String, PathBuf>,
    trail: &mut Vec<PathBuf>,
) -> Result<Chart, String> {
    match Chart::load(path) {
        Err(ChartError::MissingDependencies { .. }) => {}
        other => return other.map_err(|error| error.to_string()),
    }
    if trail.contains(&path.to_owned()) {
        return Err("circular dependencies in the corpus".to_owned());
    }
    trail.push(path.to_owned());
    let metadata = std::fs::read_to_string(path.join("Chart.yaml")).map_err(|e| e.to_string())?;
    let metadata = quench_chart::yaml::parse(&metadata).map_err(|e| e.to_string())?;
    let mut files: BTreeMap<String, Bytes> = BTreeMap::new();
    for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(|error| error.to_string())?;
        if entry.file_type().is_file() {
            let relative = entry.path().strip_prefix(path).unwrap();
            files.insert(
                relative.to_str().unwrap().to_owned(),
                std::fs::read(entry.path()).unwrap().into(),
            );
        }
    }
    let mut seen = BTreeSet::new();
    for dependency in metadata["dependencies"].as_array().into_iter().flatten() {
        let name = dependency["name"].as_str().unwrap_or_default();
        let there = files
            .keys()
            .any(|file| file.starts_with(&format!("charts/{name}/")));
        if there || !seen.insert(name.to_owned()) {
            continue;
        }
        let found = corpus
            .get(name)
            .ok_or_else(|| format!("dependency {name} is not in the corpus"))?;
        let dependency = load(found, corpus, trail)?;
        files.insert(
            format!("charts/{name}.tgz"),
            dependency.to_tgz().unwrap().into(),
        );
    }
    trail.pop();
    Chart::from_files(files).map_err(|error| error.to_string())
}

/// A chart of the corpus by name; says so where there is none.
pub fn corpus_chart(name: &str) -> Option<Chart> {
    let Some(folder) = std::env::var_os("QUENCH_CHARTS") else {
        eprintln!("SKIPPED: QUENCH_CHARTS names no folder of charts");
        return None;
    };
    let mut corpus = BTreeMap::new();
    find(Path::new(&folder), 0, &mut corpus);
    let Some(path) = corpus.get(name) else {
        eprintln!("SKIPPED: QUENCH_CHARTS has no chart {name}");
        return None;
    };
    Some(load(path, &corpus, &mut Vec::new()).unwrap_or_else(|error| panic!("{name}: {error}")))
}

/// Every chart of the corpus (those `QUENCH_CHARTS_ONLY` names, if it names some) that can be loaded, with its name and
/// folder; says so where there is no corpus.
pub fn every_corpus_chart() -> Vec<(String, PathBuf, Chart)> {
    let Some(folder) = std::env::var_os("QUENCH_CHARTS") else {
        eprintln!("SKIPPED: QUENCH_CHARTS names no folder of charts");
        return Vec::new();
    };
    let only = std::env::var("QUENCH_CHARTS_ONLY").ok();
    let mut corpus = BTreeMap::new();
    find(Path::new(&folder), 0, &mut corpus);
    corpus
        .iter()
        .filter(|(name, _)| {
            only.as_ref()
                .is_none_or(|only| only.split(',').any(|wanted| wanted == *name))
        })
        .filter_map(|(name, path)| match load(path, &corpus, &mut Vec::new()) {
            Ok(chart) => Some((name.clone(), path.clone(), chart)),
            Err(error) => {
                eprintln!("SKIPPED {name}: {error}");
                None
            }
        })
        .collect()
}

/// Values tried for each chart beside its defaults.
const MAX_VALUES: usize = 8;

/// The values a chart renders with, of its defaults and the files its own tests use.
fn workable(helm: &Helm, chart: &Chart, folder: &Path) -> Result<Vec<(Request, Rendered)>, String> {
    let mut candidates = vec![String::new()];
    let mut ci: Vec<_> = std::fs::read_dir(folder.join("ci"))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .collect();
    ci.sort();
    candidates.extend(
        ci.iter()
            .take(MAX_VALUES)
            .filter_map(|path| std::fs::read_to_string(path).ok()),
    );
    let mut found = Vec::new();
    let mut first_error = None;
    for values in candidates {
        let request = Request {
            values: vec![values],
            kube_version: Some("1.33.0".to_owned()),
            include_crds: true,
            ..Request::default()
        };
        match block_on(helm.render(chart, &request)) {
            Ok(rendered) => found.push((request, rendered)),
            Err(error) => {
                first_error.get_or_insert(error.to_string());
            }
        }
    }
    if found.is_empty() {
        return Err(first_error.unwrap_or_default());
    }
    Ok(found)
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

enum Verdict {
    Same {
        original: Duration,
        rewritten: Duration,
        objects: usize,
    },
    Unusable(String),
    Different(String),
}

fn timed(helm: &Helm, chart: &Path, request: &Request) -> (Result<Rendered, String>, Duration) {
    let start = Instant::now();
    let rendered = block_on(helm.render_path(chart, request)).map_err(|error| error.to_string());
    (rendered, start.elapsed())
}

/// How a render differs from the original's; asks the original again where it does, for it may hold a time of day.
fn difference(
    original: &Rendered,
    again: &mut Vec<Rendered>,
    rendered: &Rendered,
    ask: impl Fn() -> Rendered,
) -> Option<String> {
    for attempt in 0..2 {
        let options = Options {
            ignore_checksums: false,
            again,
        };
        let comparison = compare(original, rendered, options);
        if comparison.is_same() {
            return None;
        }
        if attempt == 1 {
            return Some(comparison.to_string());
        }
        again.push(ask());
    }
    None
}

fn judge(helm: &Helm, chart: &Chart, folder: &Path) -> Verdict {
    let workable = match workable(helm, chart, folder) {
        Ok(found) => found,
        Err(error) => return Verdict::Unusable(error),
    };
    let scratch = tempfile::tempdir().unwrap();
    let (before, after) = (scratch.path().join("before"), scratch.path().join("after"));
    chart.write_to(&before).unwrap();
    let rewritten = match rewrite(chart, &idle()) {
        Ok(rewritten) => rewritten,
        Err(error) => return Verdict::Different(format!("rewrite: {error}")),
    };
    rewritten.write_to(&after).unwrap();
    let mut original_times = Vec::new();
    let mut rewritten_times = Vec::new();
    let mut objects = 0;
    for (request, original) in &workable {
        let mut again = Vec::new();
        for _ in 0..2 {
            let (rendered, time) = timed(helm, &before, request);
            again.push(rendered.unwrap());
            original_times.push(time);
        }
        objects += original.objects().count();
        let ask = || timed(helm, &before, request).0.unwrap();
        let mut off = request.clone();
        off.set.push(OFF.to_owned());
        let (rendered, _) = timed(helm, &after, &off);
        let found = match rendered {
            Ok(rendered) => difference(original, &mut again, &rendered, ask),
            Err(error) => Some(error),
        };
        if let Some(found) = found {
            return Verdict::Different(format!("off: {found}"));
        }
        for _ in 0..2 {
            let (rendered, time) = timed(helm, &after, request);
            let found = match rendered {
                Ok(rendered) => difference(original, &mut again, &rendered, ask),
                Err(error) => Some(error),
            };
            if let Some(found) = found {
                return Verdict::Different(format!("on: {found}"));
            }
            rewritten_times.push(time);
        }
    }
    Verdict::Same {
        original: median(&mut original_times),
        rewritten: median(&mut rewritten_times),
        objects,
    }
}

#[test]
fn real_charts_render_the_same_after_rewriting() {
    let Some(folder) = std::env::var_os("QUENCH_CHARTS") else {
        eprintln!("SKIPPED: QUENCH_CHARTS names no folder of charts");
        return;
    };
    let only: Option<Vec<String>> = std::env::var("QUENCH_CHARTS_ONLY")
        .ok()
        .map(|names| names.split(',').map(str::to_owned).collect());
    let mut corpus = BTreeMap::new();
    find(Path::new(&folder), 0, &mut corpus);
    assert!(!corpus.is_empty(), "no charts below {}", folder.display());
    let mut different = Vec::new();
    for (name, helm) in helms() {
        let before = different.len();
        let mut unusable = 0;
        let mut ratios = Vec::new();
        for (chart, path) in &corpus {
            if only.as_ref().is_some_and(|only| !only.contains(chart)) {
                continue;
            }
            let verdict = match load(path, &corpus, &mut Vec::new()) {
                Ok(loaded) => judge(&helm, &loaded, path),
                Err(error) => Verdict::Unusable(error),
            };
            match verdict {
                Verdict::Same {
                    original,
                    rewritten,
                    objects,
                } => {
                    let ratio = rewritten.as_secs_f64() / original.as_secs_f64();
                    println!(
                        "{name} {chart}: {objects} objects, {original:.2?} -> {rewritten:.2?}, x{ratio:.2}"
                    );
                    ratios.push(ratio);
                }
                Verdict::Unusable(error) => {
                    println!(
                        "{name} {chart}: not usable: {}",
                        error.lines().next().unwrap_or_default()
                    );
                    unusable += 1;
                }
                Verdict::Different(what) => {
                    println!("{name} {chart}: DIFFERENT {what}");
                    different.push(format!("{name} {chart}: {what}"));
                }
            }
        }
        ratios.sort_by(f64::total_cmp);
        println!(
            "{name}: {} same, {} different, {unusable} not usable; rendering takes x{:.2} (median), x{:.2} (worst)",
            ratios.len(),
            different.len() - before,
            ratios.get(ratios.len() / 2).copied().unwrap_or_default(),
            ratios.last().copied().unwrap_or_default(),
        );
        assert!(
            !ratios.is_empty(),
            "{name}: none of the charts could be rendered"
        );
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn corpus_locks_are_the_locks_of_their_charts() {
    let Some(folder) = std::env::var_os("QUENCH_CHARTS").map(PathBuf::from) else {
        eprintln!("SKIPPED: set QUENCH_CHARTS to a folder of charts");
        return;
    };
    let mut charts = BTreeMap::new();
    find(&folder, 0, &mut charts);
    let (mut locked, mut missing) = (0, 0);
    let mut wrong = Vec::new();
    for (name, path) in charts {
        match Unvendored::load(&path, &BTreeMap::new()) {
            Ok(chart) => {
                missing += chart.missing().len();
                locked += chart
                    .missing()
                    .iter()
                    .filter(|m| m.locked.is_some())
                    .count();
            }
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    println!("{missing} dependencies missing, {locked} of them locked");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
