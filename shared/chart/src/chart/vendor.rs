//! Dependencies that a chart declares but does not hold: those with a `file://` repository are read from beside the
//! chart's folder, all others are told to whoever can fetch them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::lock::Lock;
use super::{
    Chart, ChartError, Dependency, MAX_ENTRIES, MAX_SUBCHART_DEPTH, MAX_TOTAL_BYTES, archive,
    folder, node,
};
use crate::version_range::{VersionRange, version};

/// A chart whose dependencies may not all be there yet: load it, fetch what is [`Unvendored::missing`], and finish.
#[derive(Debug, Clone)]
pub struct Unvendored {
    files: BTreeMap<String, Bytes>,
    missing: Vec<MissingDependency>,
    name: String,
    version: String,
}

/// A dependency that is declared, is not there, and does not lie beside the chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingDependency {
    /// The charts that lead to it, as `name version`, the root first.
    pub chain: Vec<String>,
    /// The declaration.
    pub dependency: Dependency,
    /// Version written down in the chart's `Chart.lock`.
    pub locked: Option<String>,
    /// Where its files go.
    prefix: String,
}

impl Unvendored {
    /// Loads a chart as [`Chart::load`] does, from a folder or an archive. `aliases` are repositories by the name
    /// that `helm repo add` gave them: dependencies may name one as `@name` or `alias:name`.
    ///
    /// # Errors
    /// As [`Chart::load`], but for dependencies that are missing; a `Chart.lock` that does not fit the declarations.
    pub fn load(path: &Path, aliases: &BTreeMap<String, String>) -> Result<Self, ChartError> {
        let io = |source| ChartError::Io {
            path: path.to_owned(),
            source,
        };
        if std::fs::metadata(path).map_err(io)?.is_dir() {
            return read_folder(path, aliases, &mut Vec::new());
        }
        let file = std::fs::File::open(path).map_err(io)?;
        let name = path.display().to_string();
        Self::from_tgz(std::io::BufReader::new(file), &name, aliases)
    }

    /// Loads a chart from an archive, see [`Chart::from_tgz`].
    ///
    /// # Errors
    /// As [`Unvendored::load`].
    pub fn from_tgz(
        content: impl Read,
        name: &str,
        aliases: &BTreeMap<String, String>,
    ) -> Result<Self, ChartError> {
        let files = archive::unpack_subcharts(archive::read(content, name)?)?;
        let root = node::read(&files, "", 0)?;
        let chain = vec![format!("{} {}", root.name, root.version)];
        let missing = missing(&files, &root, &chain, aliases)?;
        Ok(Self {
            files,
            missing,
            name: root.name,
            version: root.version,
        })
    }

    /// Name of the chart.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Version of the chart.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What has to be fetched. A dependency without a repository cannot be: [`Unvendored::finish`] names it.
    pub fn missing(&self) -> &[MissingDependency] {
        &self.missing
    }

    /// Puts a fetched dependency in its place. What that chart itself lacks is missing from then on.
    ///
    /// # Errors
    /// The chart has another name than the dependency, or a version outside its range, or is one of those that led to
    /// it.
    pub fn add(&mut self, wanted: &MissingDependency, fetched: Self) -> Result<(), ChartError> {
        let declared = &wanted.dependency;
        let parent = wanted.chain.last().map_or("", String::as_str);
        check_identity(parent, declared, &fetched.name, &fetched.version)?;
        let own = format!("{} {}", fetched.name, fetched.version);
        check_chain(&wanted.chain, &own)?;
        let folder = format!(
            "{}charts/{}-{}/",
            wanted.prefix, fetched.name, fetched.version
        );
        for (path, content) in fetched.files {
            self.files.insert(format!("{folder}{path}"), content);
        }
        let total: u64 = self
            .files
            .values()
            .map(|content| content.len() as u64)
            .sum();
        if total > MAX_TOTAL_BYTES || self.files.len() > MAX_ENTRIES {
            return Err(ChartError::TooLarge {
                chart: self.name.clone(),
                reason: format!(
                    "with its dependencies it has more than {MAX_ENTRIES} files or {MAX_TOTAL_BYTES} bytes"
                ),
            });
        }
        self.missing.retain(|other| other != wanted);
        self.missing
            .extend(fetched.missing.into_iter().map(|inner| MissingDependency {
                chain: wanted.chain.iter().cloned().chain(inner.chain).collect(),
                prefix: format!("{folder}{}", inner.prefix),
                ..inner
            }));
        Ok(())
    }

    /// The chart, with all that was added.
    ///
    /// # Errors
    /// [`ChartError::MissingDependencies`] where the root still lacks some; files of dependencies that make no chart.
    pub fn finish(self) -> Result<Chart, ChartError> {
        let chart = Chart::assemble(self.files)?;
        chart.require_dependencies()?;
        Ok(chart)
    }
}

/// Files of a chart folder, with its `file://` dependencies, and theirs, under `charts/`.
///
/// `trail` holds the folders on the way here and their charts, to find circles.
fn read_folder(
    source: &Path,
    aliases: &BTreeMap<String, String>,
    trail: &mut Vec<(PathBuf, String)>,
) -> Result<Unvendored, ChartError> {
    let root = std::fs::canonicalize(source).map_err(|error| ChartError::Io {
        path: source.to_owned(),
        source: error,
    })?;
    let files = archive::unpack_subcharts(folder::read(source)?)?;
    let metadata = node::read(&files, "", 0)?;
    let own = format!("{} {}", metadata.name, metadata.version);
    trail.push((root.clone(), own.clone()));
    let mut chart = Unvendored {
        missing: missing(&files, &metadata, &[own], aliases)?,
        files,
        name: metadata.name.clone(),
        version: metadata.version.clone(),
    };
    for dependency in metadata.missing_dependencies() {
        let Some(path) = local_path(dependency) else {
            continue;
        };
        let target = root.join(path);
        let resolved = std::fs::canonicalize(&target).map_err(|error| ChartError::NotAChart {
            path: target.clone(),
            reason: format!(
                "chart {} depends on {:?} there: {error}",
                metadata.name, dependency.name
            ),
        })?;
        if let Some(at) = trail.iter().position(|(folder, _)| *folder == resolved) {
            let circle = trail.iter().skip(at).map(|(_, chart)| chart.clone());
            return Err(circular(circle.collect(), dependency.name.clone()));
        }
        if trail.len() > MAX_SUBCHART_DEPTH {
            let chain = trail.iter().map(|(_, chart)| chart.clone()).collect();
            return Err(circular(chain, dependency.name.clone()));
        }
        let vendored = if resolved.is_dir() {
            read_folder(&resolved, aliases, trail)?
        } else {
            Unvendored::load(&resolved, aliases)?
        };
        check_identity(
            &metadata.name,
            dependency,
            &vendored.name,
            &vendored.version,
        )?;
        // The version keeps apart two versions of one chart.
        let folder = format!("charts/{}-{}/", vendored.name, vendored.version);
        for (path, content) in vendored.files {
            chart.files.insert(format!("{folder}{path}"), content);
        }
        let chain = chart_chain(&metadata.name, &metadata.version);
        chart
            .missing
            .extend(vendored.missing.into_iter().map(|inner| MissingDependency {
                chain: chain.iter().cloned().chain(inner.chain).collect(),
                prefix: format!("{folder}{}", inner.prefix),
                ..inner
            }));
    }
    trail.pop();
    Ok(chart)
}

fn chart_chain(name: &str, version: &str) -> Vec<String> {
    vec![format!("{name} {version}")]
}

fn local_path(dependency: &Dependency) -> Option<&str> {
    dependency.repository.as_deref()?.strip_prefix("file://")
}

/// What a chart lacks that does not lie beside it, with the versions of its lock.
fn missing(
    files: &BTreeMap<String, Bytes>,
    root: &super::ChartNode,
    chain: &[String],
    aliases: &BTreeMap<String, String>,
) -> Result<Vec<MissingDependency>, ChartError> {
    let wanted: Vec<(usize, &Dependency)> = root
        .dependencies
        .iter()
        .enumerate()
        .filter(|(_, dependency)| {
            let there = |subchart: &super::ChartNode| subchart.name == dependency.name;
            local_path(dependency).is_none() && !root.subcharts.iter().any(there)
        })
        .collect();
    // A lock that nothing is fetched by need not fit: helm does not look at it either.
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let lock = Lock::read(files)?;
    if let Some(lock) = &lock {
        lock.check(files, aliases)?;
    }
    let mut found: Vec<MissingDependency> = Vec::with_capacity(wanted.len());
    for (at, dependency) in wanted {
        let locked = lock.as_ref().and_then(|lock| lock.version(at, dependency));
        // One chart serves all dependencies on it, whatever their aliases.
        let same = |other: &MissingDependency| {
            other.dependency.name == dependency.name
                && other.dependency.repository == dependency.repository
                && other.dependency.version == dependency.version
                && other.locked == locked
        };
        if !found.iter().any(same) {
            found.push(MissingDependency {
                chain: chain.to_vec(),
                dependency: dependency.clone(),
                locked,
                prefix: String::new(),
            });
        }
    }
    Ok(found)
}

fn check_identity(
    parent: &str,
    declared: &Dependency,
    name: &str,
    found: &str,
) -> Result<(), ChartError> {
    let error = |reason: String| ChartError::Dependency {
        chart: parent.to_owned(),
        dependency: declared.to_string(),
        reason,
    };
    if name != declared.name {
        return Err(error(format!("the chart there is called {name:?}")));
    }
    let Some(wanted) = declared.version.as_deref() else {
        return Ok(());
    };
    if wanted == found {
        return Ok(());
    }
    let range = VersionRange::parse(wanted).map_err(|e| error(e.to_string()))?;
    match version(found) {
        Some(version) if range.takes(&version) => Ok(()),
        _ => Err(error(format!(
            "the chart there has version {found}, which is not in the range"
        ))),
    }
}

/// Refuses a chart that is one of those that led to it.
fn check_chain(chain: &[String], own: &str) -> Result<(), ChartError> {
    if let Some(at) = chain.iter().position(|chart| chart == own) {
        let circle = chain.iter().skip(at).cloned().collect();
        return Err(circular(circle, own.to_owned()));
    }
    if chain.len() > MAX_SUBCHART_DEPTH {
        return Err(circular(chain.to_vec(), own.to_owned()));
    }
    Ok(())
}

fn circular(mut chain: Vec<String>, last: String) -> ChartError {
    chain.push(last);
    ChartError::CircularDependency { chain }
}
