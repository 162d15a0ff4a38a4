//! Dependencies that a chart folder declares but does not hold: those with a `file://` repository are read
//! from beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Chart, ChartError, MAX_SUBCHART_DEPTH, archive, folder, node};

/// Files of a chart folder, with its `file://` dependencies, and theirs, under `charts/`.
///
/// `trail` holds the folders on the way here, to find circles.
pub(super) fn read_with_dependencies(
    source: &Path,
    trail: &mut Vec<PathBuf>,
) -> Result<BTreeMap<String, Bytes>, ChartError> {
    let root = std::fs::canonicalize(source).map_err(|error| ChartError::Io {
        path: source.to_owned(),
        source: error,
    })?;
    let mut files = archive::unpack_subcharts(folder::read(source)?)?;
    let metadata = node::read(&files, "", 0)?;
    trail.push(root.clone());
    for dependency in metadata.missing_dependencies() {
        let Some(path) = dependency
            .repository
            .as_deref()
            .and_then(|repository| repository.strip_prefix("file://"))
        else {
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
        if trail.contains(&resolved) || trail.len() > MAX_SUBCHART_DEPTH {
            return Err(ChartError::CircularDependency {
                chart: metadata.name.clone(),
                dependency: dependency.name.clone(),
                path: resolved,
            });
        }
        let vendored = read_dependency(&resolved, trail)?;
        let found = node::read(&vendored, "", 0)?;
        if found.name != dependency.name {
            return Err(ChartError::NotAChart {
                path: resolved,
                reason: format!(
                    "chart {} depends on {:?} there, but its name is {:?}",
                    metadata.name, dependency.name, found.name
                ),
            });
        }
        // The version keeps apart two versions of one chart.
        let folder = format!("charts/{}-{}", found.name, found.version);
        for (path, content) in vendored {
            files.insert(format!("{folder}/{path}"), content);
        }
    }
    trail.pop();
    Ok(files)
}

fn read_dependency(
    path: &Path,
    trail: &mut Vec<PathBuf>,
) -> Result<BTreeMap<String, Bytes>, ChartError> {
    if path.is_dir() {
        return read_with_dependencies(path, trail);
    }
    Ok(Chart::load(path)?.files)
}
