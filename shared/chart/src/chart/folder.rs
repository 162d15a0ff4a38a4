//! Chart folders: reading them as Helm does, writing them whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{
    ChartError, IgnoreRules, MAX_ENTRIES, MAX_FILE_BYTES, MAX_TOTAL_BYTES, check_path, ignore,
};

/// Folders followed into one another, links included.
const MAX_FOLDER_DEPTH: usize = 64;

/// Every file of a chart folder that `.helmignore` does not leave out.
pub(super) fn read(folder: &Path) -> Result<BTreeMap<String, Bytes>, ChartError> {
    let root = fs::canonicalize(folder).map_err(|source| ChartError::Io {
        path: folder.to_owned(),
        source,
    })?;
    if !root.join("Chart.yaml").is_file() {
        return Err(ChartError::NotAChart {
            path: folder.to_owned(),
            reason: "the folder has no Chart.yaml".to_owned(),
        });
    }
    let rules = match fs::read_to_string(root.join(ignore::FILE_NAME)) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => {
            return Err(ChartError::Io {
                path: root.join(ignore::FILE_NAME),
                source,
            });
        }
    };
    let mut walk = Walk {
        rules: IgnoreRules::parse(&rules)?,
        files: BTreeMap::new(),
        seen: BTreeSet::new(),
        bytes: 0,
        entries: 0,
        root,
    };
    let start = walk.root.clone();
    walk.folder(&start, "", 0)?;
    Ok(walk.files)
}

struct Walk {
    root: PathBuf,
    rules: IgnoreRules,
    files: BTreeMap<String, Bytes>,
    /// Real folders on the way down: a link back to one of them would never end.
    seen: BTreeSet<PathBuf>,
    bytes: u64,
    entries: usize,
}

impl Walk {
    fn folder(&mut self, folder: &Path, prefix: &str, depth: usize) -> Result<(), ChartError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| ChartError::Io { path, source }
        };
        if depth > MAX_FOLDER_DEPTH || !self.seen.insert(folder.to_owned()) {
            return Err(ChartError::Path {
                path: prefix.trim_end_matches('/').to_owned(),
                reason: format!(
                    "links lead back to a folder they lie in, or folders are deeper than {MAX_FOLDER_DEPTH}"
                ),
            });
        }
        for entry in fs::read_dir(folder).map_err(io(folder))? {
            let entry = entry.map_err(io(folder))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                return Err(ChartError::Path {
                    path: format!("{prefix}{}", name.display()),
                    reason: "its name is not UTF-8".to_owned(),
                });
            };
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(self.too_large(&format!("more than {MAX_ENTRIES} entries")));
            }
            let path = format!("{prefix}{name}");
            let link = entry.file_type().map_err(io(&entry.path()))?.is_symlink();
            // An ignored link may lead anywhere: nothing behind it is read.
            if link && self.rules.ignores(&path, false) && self.rules.ignores(&path, true) {
                continue;
            }
            let target = if link {
                self.resolve(&entry.path(), &path)?
            } else {
                entry.path()
            };
            let metadata = fs::metadata(&target).map_err(io(&target))?;
            if self.rules.ignores(&path, metadata.is_dir()) {
                continue;
            }
            if metadata.is_dir() {
                self.folder(&target, &format!("{path}/"), depth + 1)?;
            } else if metadata.is_file() {
                check_path(&path)?;
                self.file(&target, path)?;
            } else {
                return Err(ChartError::Path {
                    path,
                    reason: "is a device, socket or pipe; a chart may hold regular files only"
                        .to_owned(),
                });
            }
        }
        self.seen.remove(folder);
        Ok(())
    }

    /// Where a link leads; only within the chart, so that a chart cannot carry files of its host away.
    fn resolve(&self, link: &Path, path: &str) -> Result<PathBuf, ChartError> {
        let target = fs::canonicalize(link).map_err(|source| ChartError::Io {
            path: link.to_owned(),
            source,
        })?;
        if target.starts_with(&self.root) {
            return Ok(target);
        }
        Err(ChartError::Path {
            path: path.to_owned(),
            reason: format!(
                "is a link out of the chart's folder, to {}",
                target.display()
            ),
        })
    }

    fn file(&mut self, source: &Path, path: String) -> Result<(), ChartError> {
        let io = |error| ChartError::Io {
            path: source.to_owned(),
            source: error,
        };
        let mut content = Vec::new();
        fs::File::open(source)
            .map_err(io)?
            .take(MAX_FILE_BYTES + 1)
            .read_to_end(&mut content)
            .map_err(io)?;
        self.bytes += content.len() as u64;
        if content.len() as u64 > MAX_FILE_BYTES {
            return Err(self.too_large(&format!("{path} has more than {MAX_FILE_BYTES} bytes")));
        }
        if self.bytes > MAX_TOTAL_BYTES {
            return Err(self.too_large(&format!("more than {MAX_TOTAL_BYTES} bytes in all")));
        }
        self.files.insert(path, content.into());
        Ok(())
    }

    fn too_large(&self, reason: &str) -> ChartError {
        ChartError::TooLarge {
            chart: self.root.display().to_string(),
            reason: reason.to_owned(),
        }
    }
}

/// Writes files as the folder `folder`, all of them or none.
pub(super) fn write(files: &BTreeMap<String, Bytes>, folder: &Path) -> Result<(), ChartError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| ChartError::Io { path, source }
    };
    let parent = match folder.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(io(parent))?;
    let staging = tempfile::Builder::new()
        .prefix(".quench-chart-")
        .tempdir_in(parent)
        .map_err(io(parent))?;
    let inside = staging.path().join("chart");
    fs::create_dir(&inside).map_err(io(&inside))?;
    for (path, content) in files {
        let target = inside.join(path);
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(io(parent))?;
        }
        fs::write(&target, content).map_err(io(&target))?;
    }
    // Replaces an empty folder, and fails on one that holds anything.
    fs::rename(&inside, folder).map_err(io(folder))
}
