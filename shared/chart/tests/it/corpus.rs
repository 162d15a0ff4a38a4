//! Real charts, for tests that look at some of them. What holds of all of them is proven by `tests/corpus`.
//!
//! `QUENCH_CHARTS` names a folder with charts at any depth, such as checkouts of bitnami/charts and
//! prometheus-community/helm-charts. Dependencies that a chart lacks are taken from the same folder by name.
//! `QUENCH_CHARTS_ONLY` restricts the run to charts whose name is in a comma-separated list.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quench_chart::chart::{Chart, ChartError, Unvendored};

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
