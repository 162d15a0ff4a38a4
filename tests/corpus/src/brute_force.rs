//! Images of a chart by brute force: one render for each boolean there is, turned by itself.
//!
//! What the search of the ingestor is compared with, so nothing of it is used here: Helm itself tells which values a chart and its
//! subcharts see, pods are looked for by the names of their lists of containers, and booleans that stand in no values but in a
//! template's `default` are taken from its text.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::stream::{self, StreamExt as _};
use quench_chart::Chart;
use quench_chart::chart::ChartNode;
use quench_chart::render::{Helm, Request};
use quench_model::Digest;
use regex::Regex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Changes with what is done here, so that results remembered from before are not taken for those of today.
const VERSION: u32 = 1;
/// Template that has Helm print the values it renders with.
const PROBE: &str = "templates/quench-values-probe.yaml";
const PROBE_TEXT: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: quench-values-probe}\n\
                          data: {values: {{ .Values | toJson | quote }}}\n";

/// `.Values.a.b | default true`, and `default true .Values.a.b`.
static DEFAULTED: LazyLock<Option<[Regex; 2]>> = LazyLock::new(|| {
    let path = r"\.Values(?P<path>(?:\.\w+)+)";
    let literal = r"default\s+(?P<literal>true|false)\b";
    Some([
        Regex::new(&format!(r"{path}\s*\|\s*{literal}")).ok()?,
        Regex::new(&format!(r"{literal}\s+\(?\s*\$?{path}")).ok()?,
    ])
});

/// What turning every boolean of a chart shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BruteForce {
    /// Images in pods, with the first boolean that brings each in; empty for the chart's own values.
    pub images: BTreeMap<String, String>,
    /// Renders it took.
    pub renders: usize,
    /// Booleans that cannot be turned by themselves: the chart does not render, or to no YAML.
    pub failed: usize,
    /// Milliseconds it took.
    pub milliseconds: u64,
}

/// What the result hangs on: the files of the chart, the helm, and this code.
pub fn key(chart: &Chart, helm: &str) -> String {
    let mut text = format!("brute force {VERSION}\n{helm}\n");
    for (path, content) in chart.files() {
        text.push_str(&format!("{path} {}\n", Digest::of(content)));
    }
    Digest::of(text.as_bytes()).to_string()
}

/// Renders a chart once for each of its booleans.
///
/// # Errors
/// The chart does not render with its own values.
pub async fn measure(helm: &Helm, chart: &Chart) -> Result<BruteForce> {
    let started = Instant::now();
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("chart");
    chart.write_to(&path)?;
    let mut seen = Seen::default();
    let given = template(helm, &path, String::new()).await?;
    let images = seen
        .images(&given)
        .context("the chart's own values render to what is no YAML")?;
    let mut found = BruteForce {
        images: images
            .into_iter()
            .map(|image| (image, String::new()))
            .collect(),
        renders: 1,
        ..BruteForce::default()
    };
    let booleans = booleans(helm, chart).await?;
    let renders = booleans.iter().map(|(keys, on)| {
        let path = &path;
        let values = keys
            .iter()
            .rev()
            .fold(Value::Bool(!on), |value, key| json!({ key: value }));
        async move { (keys, template(helm, path, values.to_string()).await) }
    });
    let parallel = std::thread::available_parallelism().map_or(1, usize::from);
    let mut renders = stream::iter(renders).buffered(parallel);
    while let Some((keys, text)) = renders.next().await {
        found.renders += 1;
        match text.ok().and_then(|text| seen.images(&text)) {
            Some(images) => {
                for image in images {
                    found.images.entry(image).or_insert_with(|| keys.join("."));
                }
            }
            None => found.failed += 1,
        }
    }
    found.milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(found)
}

async fn template(helm: &Helm, chart: &Path, values: String) -> Result<String> {
    let request = Request {
        values: vec![values],
        ..Request::default()
    };
    Ok(helm.template(chart, "chart", &request).await?)
}

/// Documents looked at already: most are the same whatever is turned.
#[derive(Default)]
struct Seen(HashMap<Digest, Option<BTreeSet<String>>>);

impl Seen {
    /// Images in pods; `None` where a document is no YAML, which nothing could install.
    fn images(&mut self, text: &str) -> Option<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        for document in quench_chart::yaml::documents(text) {
            let images = self
                .0
                .entry(Digest::of(document.as_bytes()))
                .or_insert_with(|| {
                    let value = quench_chart::yaml::parse(document).ok()?;
                    let mut images = BTreeSet::new();
                    pod_images(&value, &mut images);
                    Some(images)
                });
            found.extend(images.as_ref()?.iter().cloned());
        }
        Some(found)
    }
}

/// Images in whatever has a list of containers, at any depth.
fn pod_images(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                if let (
                    "containers" | "initContainers" | "ephemeralContainers",
                    Value::Array(items),
                ) = (key.as_str(), value)
                {
                    let images = items.iter().filter_map(|item| item.get("image")?.as_str());
                    found.extend(images.filter(|image| !image.is_empty()).map(str::to_owned));
                }
                pod_images(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| pod_images(item, found)),
        _ => {}
    }
}

/// Every boolean of the values that the chart and those of its subcharts that are enabled see, with what it is; what only stands
/// in a template's `default` too.
async fn booleans(helm: &Helm, chart: &Chart) -> Result<BTreeMap<Vec<String>, bool>> {
    let values = values(helm, chart).await?;
    let mut found = BTreeMap::new();
    listed(&values, &mut Vec::new(), &mut found);
    let mut defaulted = BTreeMap::new();
    read_defaults(chart, chart.root(), &[], &mut defaulted);
    for (keys, value) in defaulted {
        if is_unset(&values, &keys) {
            found.insert(keys, value);
        }
    }
    Ok(found)
}

/// The values Helm renders the chart with, subcharts' under their names.
async fn values(helm: &Helm, chart: &Chart) -> Result<Value> {
    let mut probed = chart.clone();
    probed.insert(PROBE, PROBE_TEXT)?;
    let rendered = helm.render(&probed, &Request::default()).await?;
    let printed = rendered
        .documents
        .iter()
        .find(|document| document.source.ends_with(PROBE))
        .and_then(|document| document.object.as_ref())
        .and_then(|object| object.pointer("/data/values")?.as_str())
        .context("helm did not print the chart's values")?;
    Ok(serde_json::from_str(printed)?)
}

fn listed(value: &Value, path: &mut Vec<String>, found: &mut BTreeMap<Vec<String>, bool>) {
    match value {
        Value::Bool(on) => {
            found.insert(path.clone(), *on);
        }
        Value::Object(map) => {
            for (key, value) in map {
                path.push(key.clone());
                listed(value, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

/// Whether a value can be set at a path, and is not.
fn is_unset(values: &Value, keys: &[String]) -> bool {
    let empty = Value::Object(Map::new());
    let mut value = values;
    for key in keys {
        match value {
            Value::Object(map) => value = map.get(key).unwrap_or(&Value::Null),
            Value::Null => value = &empty,
            _ => return false,
        }
    }
    matches!(value, Value::Null) || std::ptr::eq(value, &empty)
}

fn read_defaults(
    chart: &Chart,
    node: &ChartNode,
    prefix: &[String],
    found: &mut BTreeMap<Vec<String>, bool>,
) {
    for path in chart.files().keys() {
        let Some(inner) = path.strip_prefix(&node.prefix) else {
            continue;
        };
        if !inner.starts_with("templates/") {
            continue;
        }
        let text = chart.text(path).unwrap_or_default();
        for pattern in DEFAULTED.iter().flatten() {
            for read in pattern.captures_iter(text) {
                let (Some(path), Some(literal)) = (read.name("path"), read.name("literal")) else {
                    continue;
                };
                let keys: Vec<String> = path
                    .as_str()
                    .split('.')
                    .skip(1)
                    .map(str::to_owned)
                    .collect();
                let is_global = keys.first().is_some_and(|key| key == "global");
                let start = if is_global { &[] } else { prefix };
                found.insert([start, &keys].concat(), literal.as_str() == "true");
            }
        }
    }
    for child in &node.subcharts {
        let mut names: Vec<&str> = node
            .dependencies
            .iter()
            .filter(|dependency| dependency.name == child.name)
            .map(|dependency| dependency.effective_name())
            .collect();
        if names.is_empty() {
            names.push(&child.name);
        }
        for name in names {
            let prefix = [prefix, &[name.to_owned()]].concat();
            read_defaults(chart, child, &prefix, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_of_subcharts_and_of_defaults_are_listed() {
        let Ok(helm) = Helm::find() else {
            eprintln!("SKIPPED: there is no helm");
            return;
        };
        let files = [
            (
                "Chart.yaml",
                "apiVersion: v2\nname: a\nversion: 1.0.0\ndependencies:\n- {name: b, version: 1.0.0, alias: c, condition: c.used}\n\
                 - {name: d, version: 1.0.0, condition: d.used}\n",
            ),
            (
                "values.yaml",
                "x: {w: true}\nc: {used: true}\nd: {used: false}\n",
            ),
            (
                "templates/x.yaml",
                "a: {{ .Values.x.z | default false }}\nb: {{ default true .Values.new }}\nc: {{ .Values.x.w | default false }}\n",
            ),
            (
                "charts/b/Chart.yaml",
                "apiVersion: v2\nname: b\nversion: 1.0.0\n",
            ),
            ("charts/b/values.yaml", "metrics: {enabled: false}\n"),
            (
                "charts/b/templates/x.yaml",
                "a: {{ .Values.side | default true }}\n",
            ),
            (
                "charts/d/Chart.yaml",
                "apiVersion: v2\nname: d\nversion: 1.0.0\n",
            ),
            ("charts/d/values.yaml", "never: {seen: false}\n"),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.into()));
        let chart = Chart::from_files(BTreeMap::from(files)).unwrap();
        let found = crate::helms::block_on(booleans(&helm, &chart))
            .unwrap()
            .unwrap();
        let found: BTreeMap<String, bool> = found
            .into_iter()
            .map(|(keys, on)| (keys.join("."), on))
            .collect();
        let expected = [
            ("c.metrics.enabled", false),
            ("c.used", true),
            ("c.side", true),
            ("d.used", false),
            ("new", true),
            ("x.w", true),
            ("x.z", false),
        ];
        assert_eq!(
            found,
            BTreeMap::from(expected.map(|(name, on)| (name.to_owned(), on)))
        );
    }
}
