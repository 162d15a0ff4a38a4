//! A chart in memory.
//!
//! [`Chart`] holds every file of a chart by its path, with packaged subcharts (`charts/*.tgz`) unpacked in
//! place, and [`ChartNode`] tells what its `Chart.yaml` files say. Get one with [`Chart::load`] (folder or
//! archive), [`Chart::from_tgz`] or [`Chart::from_files`]; put it out with [`Chart::to_tgz`] or [`Chart::write_to`].

mod archive;
mod folder;
mod glob;
mod ignore;
mod lock;
mod node;
mod vendor;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde_json::Value;

use crate::yaml::YamlError;

pub use ignore::{IgnoreError, IgnoreRules};
pub use node::{ChartKind, ChartNode, Dependency};
pub use vendor::{MissingDependency, Unvendored};

/// Largest sum of file sizes in a chart, subcharts unpacked.
pub const MAX_TOTAL_BYTES: u64 = 512 << 20;
/// Largest single file in a chart.
pub const MAX_FILE_BYTES: u64 = 64 << 20;
/// Most entries an archive or folder may have, subcharts unpacked.
pub const MAX_ENTRIES: usize = 50_000;
/// Deepest nesting of subcharts.
pub const MAX_SUBCHART_DEPTH: usize = 16;

/// A chart: its files by path, and what its `Chart.yaml` says.
///
/// Paths are relative to the chart's folder, with `/`; subcharts lie under `charts/<folder>/`, also those
/// that came as `.tgz`. Every path is valid UTF-8, without `.`/`..`/empty components.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    root: ChartNode,
    files: BTreeMap<String, Bytes>,
}

/// Why a chart could not be loaded, changed or written.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The path is neither a chart folder nor an archive.
    #[error("{}: not a chart: {reason}", path.display())]
    NotAChart {
        /// The path given.
        path: PathBuf,
        /// What is missing or wrong.
        reason: String,
    },
    /// An archive is damaged, or hostile.
    #[error("{archive}: entry {entry:?}: {reason}")]
    Archive {
        /// The archive's name.
        archive: String,
        /// Name of the entry, as written in the archive; empty when the archive itself is broken.
        entry: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A path inside the chart is not one a chart may hold.
    #[error("chart file {path:?}: {reason}")]
    Path {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A metadata file is wrong.
    #[error("{path}: {reason}")]
    Metadata {
        /// Path of the file within the chart.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A YAML file of the chart does not parse.
    #[error("{path}: {source}")]
    Yaml {
        /// Path of the file within the chart.
        path: String,
        /// Where and why.
        #[source]
        source: YamlError,
    },
    /// `.helmignore` has a line Helm refuses.
    #[error(".helmignore: {0}")]
    Ignore(#[from] IgnoreError),
    /// Dependencies are declared but not there.
    #[error(
        "chart {chart}: {} missing under charts/; run `helm dependency build` in the chart's folder and try again",
        names.join(", ")
    )]
    MissingDependencies {
        /// Name of the chart that declares them.
        chart: String,
        /// `name version (repository)` of each.
        names: Vec<String>,
    },
    /// A dependency is not what was declared.
    #[error("chart {chart}: dependency {dependency}: {reason}")]
    Dependency {
        /// Name of the chart that declares it.
        chart: String,
        /// The declaration.
        dependency: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A chart reaches itself through its dependencies, or they are nested deeper than [`MAX_SUBCHART_DEPTH`].
    #[error("dependencies lead in a circle: {}", chain.join(" → "))]
    CircularDependency {
        /// The charts of the circle, each depending on the next; the last is one of those before.
        chain: Vec<String>,
    },
    /// A bound on size or number was passed.
    #[error("chart {chart}: {reason}")]
    TooLarge {
        /// Name or path of the chart.
        chart: String,
        /// The bound, and what passed it.
        reason: String,
    },
}

impl Chart {
    /// Loads a chart from a folder or a `.tgz` archive.
    ///
    /// A folder is read as Helm reads it: `.helmignore` holds, links are followed (but refused where they
    /// leave the folder). Dependencies that `Chart.yaml` declares with a `file://` repository and that are not
    /// under `charts/` are vendored.
    ///
    /// # Errors
    /// Says which file is wrong and why; [`ChartError::MissingDependencies`] where dependencies would have to
    /// be downloaded.
    pub fn load(path: &Path) -> Result<Self, ChartError> {
        Unvendored::load(path, &BTreeMap::new())?.finish()
    }

    /// Loads a chart from the bytes of a `.tgz` archive; `name` stands for the archive in errors.
    ///
    /// # Errors
    /// Refuses archives with entries outside one base folder, links, devices, duplicates, or more content than
    /// [`MAX_TOTAL_BYTES`], [`MAX_FILE_BYTES`] and [`MAX_ENTRIES`] allow, naming the entry; and charts whose
    /// dependencies are not in the archive.
    pub fn from_tgz(archive: impl std::io::Read, name: &str) -> Result<Self, ChartError> {
        let chart = Self::assemble(archive::read(archive, name)?)?;
        chart.require_dependencies()?;
        Ok(chart)
    }

    /// Reads files at wanted paths of a `.tgz` archive and holds no others: for who has to look into a chart without needing
    /// one. Packaged subcharts stay packed.
    ///
    /// # Errors
    /// Refuses archives as [`Chart::from_tgz`] does.
    pub fn read_files(
        archive: impl std::io::Read,
        name: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<BTreeMap<String, Bytes>, ChartError> {
        archive::read_wanted(archive, name, &wanted)
    }

    /// Makes a chart from files. Packaged subcharts among them are unpacked.
    ///
    /// # Errors
    /// As [`Chart::from_tgz`].
    pub fn from_files(files: BTreeMap<String, Bytes>) -> Result<Self, ChartError> {
        for path in files.keys() {
            check_path(path)?;
        }
        let chart = Self::assemble(files)?;
        chart.require_dependencies()?;
        Ok(chart)
    }

    /// Unpacks subcharts, reads metadata, and takes patterns out of `.helmignore` that would hide files.
    fn assemble(files: BTreeMap<String, Bytes>) -> Result<Self, ChartError> {
        let files = archive::unpack_subcharts(files)?;
        let root = node::read(&files, "", 0)?;
        let mut chart = Self { root, files };
        chart.settle_ignore_rules()?;
        Ok(chart)
    }

    fn require_dependencies(&self) -> Result<(), ChartError> {
        let names: Vec<String> = self
            .root
            .missing_dependencies()
            .map(|dependency| dependency.to_string())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(ChartError::MissingDependencies {
            chart: self.root.name.clone(),
            names,
        })
    }

    /// Name in `Chart.yaml`.
    pub fn name(&self) -> &str {
        &self.root.name
    }

    /// Version in `Chart.yaml`.
    pub fn version(&self) -> &str {
        &self.root.version
    }

    /// Version of the application, if `Chart.yaml` tells it.
    pub fn app_version(&self) -> Option<&str> {
        self.root.app_version.as_deref()
    }

    /// Range of Kubernetes versions the chart says it works with.
    pub fn kube_version(&self) -> Option<&str> {
        self.root.kube_version.as_deref()
    }

    /// Application or library.
    pub fn kind(&self) -> ChartKind {
        self.root.kind
    }

    /// All of the root's `Chart.yaml`.
    pub fn metadata(&self) -> &Value {
        &self.root.metadata
    }

    /// The chart and its tree of subcharts.
    pub fn root(&self) -> &ChartNode {
        &self.root
    }

    /// The chart and all subcharts, parents first, siblings by folder name.
    pub fn nodes(&self) -> Vec<&ChartNode> {
        let mut found = vec![&self.root];
        let mut next = 0;
        while let Some(node) = found.get(next).copied() {
            found.extend(&node.subcharts);
            next += 1;
        }
        found
    }

    /// Every file by its path.
    pub fn files(&self) -> &BTreeMap<String, Bytes> {
        &self.files
    }

    /// Content of a file.
    pub fn file(&self, path: &str) -> Option<&Bytes> {
        self.files.get(path)
    }

    /// Content of a file as text; `None` where there is no such file or it is not UTF-8.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files
            .get(path)
            .and_then(|content| std::str::from_utf8(content).ok())
    }

    /// The root chart's default values; an empty map where it has none.
    ///
    /// # Errors
    /// `values.yaml` is not YAML, or not a map.
    pub fn values(&self) -> Result<Value, ChartError> {
        let Some(content) = self.files.get("values.yaml") else {
            return Ok(Value::Object(serde_json::Map::new()));
        };
        let wrap = |source| ChartError::Yaml {
            path: "values.yaml".to_owned(),
            source,
        };
        let text = crate::yaml::text(content).map_err(wrap)?;
        crate::yaml::values(text).map_err(wrap)
    }

    /// Adds or replaces a file.
    ///
    /// # Errors
    /// The path may not stand in a chart, or the file is a `Chart.yaml` that is wrong; the chart is then unchanged.
    pub fn insert(&mut self, path: &str, content: impl Into<Bytes>) -> Result<(), ChartError> {
        check_path(path)?;
        let previous = self.files.insert(path.to_owned(), content.into());
        self.reread(path).inspect_err(|_| {
            match previous {
                Some(content) => self.files.insert(path.to_owned(), content),
                None => self.files.remove(path),
            };
        })
    }

    /// Takes a file out and returns it.
    ///
    /// # Errors
    /// Without the file the chart is not a chart; it is then unchanged.
    pub fn remove(&mut self, path: &str) -> Result<Option<Bytes>, ChartError> {
        let Some(content) = self.files.remove(path) else {
            return Ok(None);
        };
        match self.reread(path) {
            Ok(()) => Ok(Some(content)),
            Err(error) => {
                self.files.insert(path.to_owned(), content);
                Err(error)
            }
        }
    }

    fn reread(&mut self, changed: &str) -> Result<(), ChartError> {
        if node::is_metadata(changed) {
            self.root = node::read(&self.files, "", 0)?;
        }
        Ok(())
    }

    /// Packs the chart as Helm packages one: `<name>/…`, sorted, with fixed times, owners and modes, so that
    /// the same chart is the same bytes on any host.
    ///
    /// # Errors
    /// A path is too long for an archive.
    pub fn to_tgz(&self) -> Result<Vec<u8>, ChartError> {
        archive::write(&self.root.name, &self.files)
    }

    /// Writes the chart as the folder `folder`, all of it or nothing: files go to a temporary folder beside
    /// it, which then takes its name.
    ///
    /// # Errors
    /// `folder` is already there and not an empty folder, or cannot be written.
    pub fn write_to(&self, folder: &Path) -> Result<(), ChartError> {
        folder::write(&self.files, folder)
    }

    /// Takes patterns out of `.helmignore` that hide files of this chart when it is loaded from a folder.
    /// A chart's files are wanted: whatever was not, was left out when it was loaded.
    pub(crate) fn settle_ignore_rules(&mut self) -> Result<(), ChartError> {
        let Some(content) = self.files.get(ignore::FILE_NAME) else {
            return Ok(());
        };
        let text = String::from_utf8_lossy(content).into_owned();
        if let Some(settled) = ignore::settle(&text, self.files.keys().map(String::as_str)) {
            self.files
                .insert(ignore::FILE_NAME.to_owned(), settled.into());
        }
        Ok(())
    }
}

/// Whether a path may stand in a chart.
fn check_path(path: &str) -> Result<(), ChartError> {
    let error = |reason: &str| ChartError::Path {
        path: path.chars().take(300).collect(),
        reason: reason.to_owned(),
    };
    if path.len() > 4096 {
        return Err(error("is longer than 4096 bytes"));
    }
    if path.chars().any(|c| c == '\0' || c == '\\') {
        return Err(error("holds a NUL or a backslash"));
    }
    if path
        .split('/')
        .any(|component| matches!(component, "" | "." | ".."))
    {
        return Err(error("must be relative, without '.', '..' or empty parts"));
    }
    // `c:/foo` is absolute on Windows; Helm refuses it everywhere.
    let drive = path.as_bytes();
    if matches!(drive, [letter, b':', b'/', ..] if letter.is_ascii_alphabetic()) {
        return Err(error("starts with a drive letter"));
    }
    Ok(())
}
