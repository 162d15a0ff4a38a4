//! What `Chart.yaml` and `requirements.yaml` say of a chart and its subcharts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::Value;

use super::{ChartError, MAX_SUBCHART_DEPTH};

/// Whether a chart renders objects itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChartKind {
    /// Renders objects, and can be installed.
    Application,
    /// Only offers named templates to other charts; Helm renders none of its files.
    Library,
}

/// One chart of a tree: the root, or a subchart.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartNode {
    /// Where its files lie within the root chart: empty for the root, else `charts/<folder>/` and so on, ending in `/`.
    pub prefix: String,
    /// Name in `Chart.yaml`. Parents may know it by an alias; see [`ChartNode::dependencies`] of the parent.
    pub name: String,
    /// Version in `Chart.yaml`.
    pub version: String,
    /// Version of the application.
    pub app_version: Option<String>,
    /// Range of Kubernetes versions.
    pub kube_version: Option<String>,
    /// Application or library.
    pub kind: ChartKind,
    /// All of `Chart.yaml`.
    pub metadata: Value,
    /// Dependencies declared in `Chart.yaml`, or in `requirements.yaml` for charts of `apiVersion: v1`.
    pub dependencies: Vec<Dependency>,
    /// Subcharts under `charts/`, sorted by folder.
    pub subcharts: Vec<ChartNode>,
}

/// A declared dependency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// Name of the chart depended on.
    pub name: String,
    /// Version range.
    pub version: Option<String>,
    /// Repository URL, `@name`, `file://` path; empty where the chart lies under `charts/`.
    pub repository: Option<String>,
    /// Name the dependency goes by instead of its own.
    pub alias: Option<String>,
    /// Paths of values, comma-separated, the first present of which enables it.
    pub condition: Option<String>,
    /// Tags that enable it together with others.
    pub tags: Vec<String>,
}

impl Dependency {
    /// The key its values stand under, and its name in template paths: the alias, else the name.
    pub fn effective_name(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(version) = &self.version {
            write!(f, " {version}")?;
        }
        if let Some(repository) = self.repository.as_deref().filter(|r| !r.is_empty()) {
            write!(f, " ({repository})")?;
        }
        Ok(())
    }
}

impl ChartNode {
    /// Declared dependencies with no chart of that name under `charts/`, as `helm template` checks it.
    pub fn missing_dependencies(&self) -> impl Iterator<Item = &Dependency> {
        self.dependencies.iter().filter(|dependency| {
            !self
                .subcharts
                .iter()
                .any(|subchart| subchart.name == dependency.name)
        })
    }

    /// Paths of the files under `templates/` that Helm renders into objects: all of them, whatever they are
    /// called, but for partials (`_…`) and notes. A library chart has none.
    pub fn rendered_templates<'a>(
        &'a self,
        files: &'a BTreeMap<String, Bytes>,
    ) -> impl Iterator<Item = &'a str> {
        let folder = format!("{}templates/", self.prefix);
        let end = format!("{}templates0", self.prefix);
        let application = self.kind == ChartKind::Application;
        files
            .range(folder..end)
            .map(|(path, _)| path.as_str())
            .filter(move |path| application && is_rendered(path))
    }
}

/// Helm takes every file whose path *ends* in `NOTES.txt` for notes, and every base name with `_` for a partial.
fn is_rendered(path: &str) -> bool {
    let base = path.rsplit('/').next().unwrap_or(path);
    !base.starts_with('_') && !base.ends_with("NOTES.txt")
}

/// Whether a change of this file changes what [`read`] returns.
pub(super) fn is_metadata(path: &str) -> bool {
    matches!(
        path.rsplit('/').next(),
        Some("Chart.yaml" | "requirements.yaml")
    )
}

/// Names of the folders directly under `charts/` that Helm takes for subcharts.
pub(super) fn subchart_folders(files: &BTreeMap<String, Bytes>, prefix: &str) -> BTreeSet<String> {
    let charts = format!("{prefix}charts/");
    let end = format!("{prefix}charts0");
    files
        .range(charts.clone()..end)
        .filter_map(|(path, _)| path.strip_prefix(&charts))
        .filter_map(|rest| rest.split_once('/'))
        .map(|(folder, _)| folder.to_owned())
        .filter(|folder| !folder.starts_with(['_', '.']))
        .collect()
}

pub(super) fn read(
    files: &BTreeMap<String, Bytes>,
    prefix: &str,
    depth: usize,
) -> Result<ChartNode, ChartError> {
    let path = format!("{prefix}Chart.yaml");
    let error = |reason: &str| ChartError::Metadata {
        path: path.clone(),
        reason: reason.to_owned(),
    };
    if depth > MAX_SUBCHART_DEPTH {
        return Err(error(&format!(
            "subcharts are nested deeper than {MAX_SUBCHART_DEPTH}"
        )));
    }
    let metadata =
        parse(files, &path)?.ok_or_else(|| error("is missing, so this is not a chart"))?;
    let text = |key: &str| match metadata.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let name = text("name").ok_or_else(|| error("has no name"))?;
    if name.contains('/') || matches!(name.as_str(), "." | "..") {
        return Err(error("has a name that is a path"));
    }
    let version = text("version").ok_or_else(|| error("has no version"))?;
    if !version
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+' | b'_'))
    {
        return Err(error("has a version that is not a semantic version"));
    }
    let api_version = text("apiVersion").unwrap_or_else(|| "v1".to_owned());
    let kind = match text("type").as_deref() {
        None | Some("application") => ChartKind::Application,
        Some("library") => ChartKind::Library,
        Some(_) => return Err(error("has a type other than application and library")),
    };
    let mut dependencies = dependencies(&metadata, &path)?;
    // Helm reads requirements.yaml into the same field as Chart.yaml, so that it wins where both are there.
    let requirements = format!("{prefix}requirements.yaml");
    if let Some(content) = parse(files, &requirements)?
        && content.get("dependencies").is_some()
    {
        dependencies = self::dependencies(&content, &requirements)?;
    }
    let mut subcharts = Vec::new();
    for folder in subchart_folders(files, prefix) {
        subcharts.push(read(
            files,
            &format!("{prefix}charts/{folder}/"),
            depth + 1,
        )?);
    }
    tracing::trace!(
        chart = name,
        version,
        api_version,
        prefix,
        "read chart metadata"
    );
    Ok(ChartNode {
        prefix: prefix.to_owned(),
        app_version: text("appVersion"),
        kube_version: text("kubeVersion"),
        name,
        version,
        kind,
        metadata,
        dependencies,
        subcharts,
    })
}

fn parse(files: &BTreeMap<String, Bytes>, path: &str) -> Result<Option<Value>, ChartError> {
    let Some(content) = files.get(path) else {
        return Ok(None);
    };
    let wrap = |source| ChartError::Yaml {
        path: path.to_owned(),
        source,
    };
    let text = crate::yaml::text(content).map_err(wrap)?;
    let value = crate::yaml::parse(text).map_err(wrap)?;
    match value {
        Value::Object(_) => Ok(Some(value)),
        Value::Null => Ok(Some(Value::Object(serde_json::Map::new()))),
        _ => Err(ChartError::Metadata {
            path: path.to_owned(),
            reason: "is not a map".to_owned(),
        }),
    }
}

fn dependencies(metadata: &Value, path: &str) -> Result<Vec<Dependency>, ChartError> {
    let error = |reason: String| ChartError::Metadata {
        path: path.to_owned(),
        reason,
    };
    let list = match metadata.get("dependencies") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(error("dependencies is not a list".to_owned())),
    };
    let mut found = Vec::with_capacity(list.len());
    for (index, entry) in list.iter().enumerate() {
        let text = |key: &str| match entry.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let name = text("name")
            .filter(|name| !name.is_empty())
            .ok_or_else(|| error(format!("dependencies[{index}] has no name")))?;
        if name.contains('/') || matches!(name.as_str(), "." | "..") {
            return Err(error(format!(
                "dependencies[{index}] has a name that is a path"
            )));
        }
        found.push(Dependency {
            name,
            version: text("version").filter(|version| !version.is_empty()),
            repository: text("repository"),
            alias: text("alias").filter(|alias| !alias.is_empty()),
            condition: text("condition").filter(|condition| !condition.is_empty()),
            tags: entry
                .get("tags")
                .and_then(Value::as_array)
                .map(|tags| {
                    tags.iter()
                        .filter_map(Value::as_str)
                        .map(str::to_owned)
                        .collect()
                })
                .unwrap_or_default(),
        });
    }
    Ok(found)
}
