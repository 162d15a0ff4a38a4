//! What the values of a chart and its subcharts mean.
//!
//! [`values_documentation`] lists every value with type, default, meaning and the templates that read it. Meanings come
//! from where chart authors write them: helm-docs comments (`# -- …`), Bitnami tags (`## @param path …`), plain
//! comments above or behind an entry, `description` in `values.schema.json`. Where none of that is there, the
//! meaning is taken from the map around the value, or inferred from a name that means the same in most charts; and how
//! each was come by is told, so that a number of documented values is a true one. [`generated_schema`] makes a
//! schema for a chart that has none.

mod comments;
mod inferred;
mod schema;
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::chart::{Chart, ChartError, ChartKind, ChartNode, MAX_SUBCHART_DEPTH};
use crate::yaml;

use usage::Usage;

pub use schema::{SCHEMA, generated_schema, is_generated_schema};

/// Most values told of; a chart with more is told of up to here, and [`ValuesDocumentation::truncated`] says so.
pub const MAX_VALUES: usize = 50_000;

/// Every value of a chart and its subcharts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValuesDocumentation {
    /// The values, in the order of the effective defaults: the root chart's own first.
    pub values: Vec<DocumentedValue>,
    /// Whether there are more than [`MAX_VALUES`], so that some are missing.
    pub truncated: bool,
}

/// One value that users can set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DocumentedValue {
    /// Path in the root chart's values: keys with dots between, a dot within a key written `\.`.
    pub path: String,
    /// The chart it is a value of, by the names (or aliases) that lead to it with `/` between: empty for the root chart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub chart: String,
    /// Type of the default.
    #[serde(rename = "type")]
    pub kind: ValueType,
    /// The default in force: the root chart's values lie over those of its subcharts.
    pub default: Value,
    /// What it does, in the chart author's words where there are some.
    pub meaning: String,
    /// Where the meaning comes from.
    pub source: MeaningSource,
    /// What it means for security; filled in by whoever knows (`quench_rules::parameters`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security: Option<String>,
    /// Templates that read it, or a map around it, by their path in the chart; sorted.
    pub read_by: Vec<String>,
}

/// Types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ValueType {
    /// `true` or `false`.
    Boolean,
    /// A whole number.
    Integer,
    /// A number with a fraction.
    Number,
    /// Text.
    String,
    /// A list.
    Array,
    /// A map with nothing in it by default.
    Object,
    /// Nothing by default, so any type may be meant.
    Any,
}

impl ValueType {
    /// Type of a default.
    pub fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Any,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Integer,
            Value::String(_) => Self::String,
            Value::Array(_) => Self::Array,
            Value::Object(_) => Self::Object,
        }
    }

    /// Its name, as serialized and as JSON Schema has it where it has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
            Self::Any => "any",
        }
    }
}

/// Where a meaning comes from, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MeaningSource {
    /// The chart's author wrote it for this value: comment, tag or schema.
    Documented,
    /// The chart's author wrote it for a map around this value.
    Inherited,
    /// Inferred from a name that means the same in most charts.
    Inferred,
    /// Nothing says what it means; the text tells who reads it.
    Unknown,
}

/// How much of a chart's values is documented.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Coverage {
    /// All values.
    pub values: usize,
    /// Those with words of the chart's author.
    pub documented: usize,
    /// Those documented by a map around them.
    pub inherited: usize,
    /// Those whose meaning is inferred from their name.
    pub inferred: usize,
    /// Those of which only the readers are known.
    pub unknown: usize,
}

impl ValuesDocumentation {
    /// How many values are documented, and by what.
    pub fn coverage(&self) -> Coverage {
        let count = |source| {
            self.values
                .iter()
                .filter(|value| value.source == source)
                .count()
        };
        Coverage {
            values: self.values.len(),
            documented: count(MeaningSource::Documented),
            inherited: count(MeaningSource::Inherited),
            inferred: count(MeaningSource::Inferred),
            unknown: count(MeaningSource::Unknown),
        }
    }
}

/// A path as text: keys with dots between, a dot within a key written `\.`.
pub fn path_text(path: &[String]) -> String {
    path.iter()
        .map(|key| key.replace('.', "\\."))
        .collect::<Vec<_>>()
        .join(".")
}

/// One chart of the tree under one name: a subchart with two aliases is there twice.
#[derive(Debug, Clone)]
pub struct Instance<'c> {
    /// The chart.
    pub node: &'c ChartNode,
    /// Names or aliases that lead from the root to it; the keys its values stand under.
    pub key: Vec<String>,
}

/// Every chart of a tree under each of its names, the root first.
pub fn instances(chart: &Chart) -> Vec<Instance<'_>> {
    let mut found = vec![Instance {
        node: chart.root(),
        key: Vec::new(),
    }];
    let mut next = 0;
    while let Some(instance) = found.get(next).cloned() {
        next += 1;
        if instance.key.len() >= MAX_SUBCHART_DEPTH {
            continue;
        }
        for subchart in &instance.node.subcharts {
            let mut names: Vec<&str> = instance
                .node
                .dependencies
                .iter()
                .filter(|dependency| dependency.name == subchart.name)
                .map(|dependency| dependency.effective_name())
                .collect();
            names.dedup();
            if names.is_empty() {
                names.push(&subchart.name);
            }
            for name in names {
                let mut key = instance.key.clone();
                key.push(name.to_owned());
                found.push(Instance {
                    node: subchart,
                    key,
                });
            }
        }
    }
    found
}

/// Values that a chart of the tree brings itself; an empty map where it brings none.
///
/// # Errors
/// Its `values.yaml` is not YAML, or not a map.
pub fn own_values(chart: &Chart, node: &ChartNode) -> Result<Value, ChartError> {
    let path = format!("{}values.yaml", node.prefix);
    let Some(content) = chart.file(&path) else {
        return Ok(Value::Object(Map::new()));
    };
    let wrap = |source| ChartError::Yaml {
        path: path.clone(),
        source,
    };
    let text = yaml::text(content).map_err(wrap)?;
    yaml::values(text).map_err(wrap)
}

/// Defaults in force for the whole tree: each chart's values with those of its subcharts under them.
///
/// # Errors
/// A `values.yaml` is not YAML, or not a map.
pub fn effective_values(chart: &Chart) -> Result<Value, ChartError> {
    let mut effective = Map::new();
    // Deepest first: what a chart says of its subcharts lies over what they say themselves.
    for instance in instances(chart).iter().rev() {
        let Value::Object(own) = own_values(chart, instance.node)? else {
            continue;
        };
        let mut place = &mut effective;
        for key in &instance.key {
            let entry = place
                .entry(key.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if !entry.is_object() {
                *entry = Value::Object(Map::new());
            }
            match entry {
                Value::Object(map) => place = map,
                _ => return Ok(Value::Object(effective)),
            }
        }
        yaml::merge(place, own);
    }
    Ok(Value::Object(effective))
}

/// Documentation of one instance's own values file.
struct Layer<'c> {
    key: Vec<String>,
    own: Value,
    meanings: BTreeMap<String, String>,
    usage: &'c Usage,
    /// Of library charts, whose templates other charts run with values of their own.
    libraries: Vec<&'c Usage>,
}

/// Documents every value of a chart and its subcharts. The chart must not be a rewritten one: see `rewrite::restore`.
///
/// # Errors
/// A `values.yaml` is not YAML, or not a map.
pub fn values_documentation(chart: &Chart) -> Result<ValuesDocumentation, ChartError> {
    let instances = instances(chart);
    let usages: BTreeMap<&str, Usage> = instances
        .iter()
        .map(|instance| instance.node)
        .map(|node| (node.prefix.as_str(), Usage::of(chart, node)))
        .collect();
    let libraries: Vec<&Usage> = instances
        .iter()
        .filter(|instance| instance.node.kind == ChartKind::Library)
        .filter_map(|instance| usages.get(instance.node.prefix.as_str()))
        .collect();
    let mut layers = Vec::new();
    for instance in &instances {
        let Some(usage) = usages.get(instance.node.prefix.as_str()) else {
            continue;
        };
        layers.push(Layer {
            key: instance.key.clone(),
            own: own_values(chart, instance.node)?,
            meanings: comments::meanings(chart, instance.node),
            usage,
            libraries: libraries.clone(),
        });
    }
    let mut documentation = ValuesDocumentation::default();
    let effective = effective_values(chart)?;
    let mut path = Vec::new();
    collect(&effective, &mut path, &layers, &mut documentation);
    Ok(documentation)
}

fn collect(
    value: &Value,
    path: &mut Vec<String>,
    layers: &[Layer<'_>],
    out: &mut ValuesDocumentation,
) {
    if let Value::Object(map) = value
        && (!map.is_empty() || path.is_empty())
    {
        for (key, value) in map {
            path.push(key.clone());
            collect(value, path, layers, out);
            path.pop();
        }
        return;
    }
    if out.values.len() >= MAX_VALUES {
        out.truncated = true;
        return;
    }
    out.values.push(document(value, path, layers));
}

fn document(value: &Value, path: &[String], layers: &[Layer<'_>]) -> DocumentedValue {
    // The charts whose values this can be: the root, and each subchart whose key leads here. Outermost first.
    let around: Vec<(&Layer<'_>, &[String])> = layers
        .iter()
        .filter_map(|layer| Some((layer, path.strip_prefix(layer.key.as_slice())?)))
        .filter(|(layer, rest)| layer.key.is_empty() || !rest.is_empty())
        .collect();
    let chart = around
        .iter()
        .rev()
        .find(|(layer, rest)| has(&layer.own, rest))
        .map(|(layer, _)| layer.key.join("/"))
        .unwrap_or_default();
    let said = |rest: &[String], layer: &Layer<'_>| layer.meanings.get(&path_text(rest)).cloned();
    let documented = around.iter().find_map(|(layer, rest)| said(rest, layer));
    let inherited = || {
        (1..path.len()).rev().find_map(|length| {
            let head = path.get(..length)?;
            around.iter().find_map(|(layer, _)| {
                let rest = head.strip_prefix(layer.key.as_slice())?;
                let meaning = said(rest, layer).filter(|_| !rest.is_empty())?;
                Some(format!("part of {}: {meaning}", path_text(head)))
            })
        })
    };
    let read_by: BTreeSet<String> = around
        .iter()
        .flat_map(|(layer, rest)| {
            let usages = layer.libraries.iter().copied().chain([layer.usage]);
            usages
                .flat_map(|usage| usage.readers(rest))
                .collect::<Vec<_>>()
        })
        .collect();
    let read_by: Vec<String> = read_by.into_iter().collect();
    let (meaning, source) = if let Some(meaning) = documented {
        (meaning, MeaningSource::Documented)
    } else if let Some(meaning) = inherited() {
        (meaning, MeaningSource::Inherited)
    } else if let Some(meaning) = inferred::meaning(path) {
        (meaning, MeaningSource::Inferred)
    } else if read_by.is_empty() {
        let text = "not documented, and no template was found that reads it";
        (text.to_owned(), MeaningSource::Unknown)
    } else {
        let text = "not documented; see the templates that read it";
        (text.to_owned(), MeaningSource::Unknown)
    };
    DocumentedValue {
        path: path_text(path),
        chart,
        kind: ValueType::of(value),
        default: value.clone(),
        meaning,
        source,
        security: None,
        read_by,
    }
}

fn has(value: &Value, path: &[String]) -> bool {
    path.iter()
        .try_fold(value, |value, key| value.as_object()?.get(key))
        .is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(files: &[(&str, &str)]) -> Chart {
        let files = files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec().into()))
            .collect();
        Chart::from_files(files).unwrap()
    }

    fn umbrella() -> Chart {
        chart(&[
            (
                "Chart.yaml",
                "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies:\n- {name: db, version: 1.0.0, alias: store}\n",
            ),
            (
                "values.yaml",
                "# How many run at a time\nreplicas: 2\n\n# -- Image to run\n# with its registry\nimage:\n  repository: a/b # where it lies\n  \
                 tag: \"1\"\nstore:\n  auth: true\nodd: [1]\nnodeSelector: {}\n",
            ),
            (
                "templates/a.yaml",
                "x: {{ .Values.replicas }}\n{{ with .Values.image }}{{ .tag }}{{ end }}{{ index .Values \"store\" \"auth\" }}",
            ),
            (
                "charts/db/Chart.yaml",
                "apiVersion: v2\nname: db\nversion: 1.0.0\n",
            ),
            (
                "charts/db/values.yaml",
                "## @param auth Whether a password is asked for\n##\nauth: false\nport: 1\n",
            ),
            ("charts/db/templates/b.yaml", "y: {{ $.Values.port }}"),
        ])
    }

    #[test]
    fn every_value_is_told_with_its_meaning_and_its_readers() {
        let documentation = values_documentation(&umbrella()).unwrap();
        let value = |path: &str| {
            documentation
                .values
                .iter()
                .find(|value| value.path == path)
                .unwrap()
        };
        assert_eq!(value("replicas").meaning, "How many run at a time");
        assert_eq!(value("replicas").read_by, ["templates/a.yaml"]);
        assert_eq!(value("image.repository").meaning, "where it lies");
        let tag = value("image.tag");
        assert_eq!(tag.meaning, "part of image: Image to run with its registry");
        assert_eq!(tag.source, MeaningSource::Inherited);
        assert_eq!(tag.read_by, ["templates/a.yaml"]);
        let auth = value("store.auth");
        assert_eq!(
            (auth.default.clone(), auth.chart.as_str()),
            (Value::Bool(true), "store")
        );
        assert_eq!(auth.meaning, "Whether a password is asked for");
        assert_eq!(auth.read_by, ["templates/a.yaml"]);
        assert_eq!(value("store.port").read_by, ["charts/db/templates/b.yaml"]);
        assert_eq!(value("nodeSelector").source, MeaningSource::Inferred);
        assert_eq!(value("odd").source, MeaningSource::Unknown);
        assert_eq!(
            documentation.coverage(),
            Coverage {
                values: 7,
                documented: 3,
                inherited: 1,
                inferred: 1,
                unknown: 2
            }
        );
    }
}
