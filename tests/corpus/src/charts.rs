//! The charts of a folder, with the dependencies they lack taken from the same folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use quench_chart::Chart;
use quench_chart::chart::ChartError;
use serde_json::Value;

/// Deepest folder looked into: checkouts of chart repositories have their charts two or three levels down.
const MAX_DEPTH: usize = 6;

/// Charts below a folder, by the name of the chart's own folder.
#[derive(Debug, Clone, Default)]
pub struct Corpus {
    charts: BTreeMap<String, PathBuf>,
}

impl Corpus {
    /// Looks for charts below `folder`, at any depth. Subcharts under `charts/` belong to theirs and are not listed. Of two
    /// folders of one name the first, by path, is taken.
    ///
    /// # Errors
    /// There is no chart.
    pub fn find(folder: &Path) -> Result<Self> {
        let mut charts = BTreeMap::new();
        find(folder, 0, &mut charts)?;
        if charts.is_empty() {
            bail!("{} holds no folder with a Chart.yaml", folder.display());
        }
        Ok(Self { charts })
    }

    /// Names and folders, by name.
    pub fn charts(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.charts
            .iter()
            .map(|(name, path)| (name.as_str(), path.as_path()))
    }

    /// Loads a chart of the corpus. Dependencies that it lacks come from the corpus, by name.
    ///
    /// # Errors
    /// The chart cannot be read, or a dependency is nowhere.
    pub fn load(&self, name: &str) -> Result<Chart> {
        let path = self
            .charts
            .get(name)
            .with_context(|| format!("{name} is not in the corpus"))?;
        self.load_from(path, &mut Vec::new())
    }

    fn load_from(&self, path: &Path, above: &mut Vec<PathBuf>) -> Result<Chart> {
        match Chart::load(path) {
            Err(ChartError::MissingDependencies { .. }) => {}
            other => return Ok(other?),
        }
        if above.iter().any(|other| other == path) {
            bail!("{} depends on itself", path.display());
        }
        above.push(path.to_owned());
        let mut files = read(path)?;
        let mut seen = BTreeSet::new();
        for name in dependencies(&files)? {
            let prefix = format!("charts/{name}/");
            let archive = format!("charts/{name}-");
            let there = files.keys().any(|file| {
                file.starts_with(&prefix) || (file.starts_with(&archive) && file.ends_with(".tgz"))
            });
            if there || !seen.insert(name.clone()) {
                continue;
            }
            let found = self
                .charts
                .get(&name)
                .with_context(|| format!("its dependency {name} is not in the corpus"))?;
            let dependency = self.load_from(found, above)?;
            files.insert(format!("charts/{name}.tgz"), dependency.to_tgz()?.into());
        }
        above.pop();
        Ok(Chart::from_files(files)?)
    }
}

fn find(folder: &Path, depth: usize, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    if folder.join("Chart.yaml").is_file() {
        if let Some(name) = folder.file_name() {
            found
                .entry(name.to_string_lossy().into_owned())
                .or_insert_with(|| folder.to_owned());
        }
        return Ok(());
    }
    let entries = std::fs::read_dir(folder)
        .with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut entries: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    entries.sort();
    for entry in entries {
        if depth < MAX_DEPTH && entry.is_dir() && !entry.is_symlink() {
            find(&entry, depth + 1, found)?;
        }
    }
    Ok(())
}

fn read(folder: &Path) -> Result<BTreeMap<String, Bytes>> {
    let mut files = BTreeMap::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry?;
        if !entry.file_type().is_file() {
            continue;
        }
        let relative = entry.path().strip_prefix(folder)?;
        let name = relative
            .to_str()
            .with_context(|| format!("{} is not UTF-8", entry.path().display()))?;
        files.insert(name.to_owned(), std::fs::read(entry.path())?.into());
    }
    Ok(files)
}

/// Names of the dependencies a chart declares, in `Chart.yaml` or, as charts of the first API version do, beside it.
fn dependencies(files: &BTreeMap<String, Bytes>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in ["Chart.yaml", "requirements.yaml"] {
        let Some(bytes) = files.get(path) else {
            continue;
        };
        let declared = quench_chart::yaml::parse(quench_chart::yaml::text(bytes)?)?;
        let listed = declared.get("dependencies").and_then(Value::as_array);
        names.extend(
            listed
                .into_iter()
                .flatten()
                .filter_map(|dependency| dependency.get("name")?.as_str().map(str::to_owned)),
        );
    }
    Ok(names)
}
