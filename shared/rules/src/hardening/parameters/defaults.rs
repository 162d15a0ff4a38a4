//! Values that were chosen, as defaults of the chart.
//!
//! See `quench_chart::rewrite::defaults` for why a default cannot simply be changed in `values.yaml`: the entries are taken out
//! there, and a definition of the template library puts values in where there are none.

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::Chart;
use quench_chart::chart::ChartError;
use quench_chart::rewrite::defaults::{self as entries, Entry};
use quench_chart::values_documentation::{Instance, instances, own_values, path_text};
use serde_json::{Map, Value, json};

use super::{Kept, Override, as_values, at};
use crate::template;

/// Name of the file with the values that were chosen.
pub(in super::super) const HARDENED_VALUES: &str = "values-hardened.yaml";

/// First line of that file. What does not begin so is a file of the chart's author.
const HEADER: &str = "# Values that hardening chose; the chart has them as defaults already.";

const LIBRARY: &str = include_str!("defaults.tpl");

/// An entry of a chart's own values file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Definition {
    /// The chart's folder, as `ChartNode::prefix`.
    pub(super) prefix: String,
    /// Keys in its values file.
    pub(super) path: Vec<String>,
}

/// Values chosen for a chart, ready to be put into it.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Defaults {
    chosen: Vec<Override>,
    /// Values files without the entries.
    files: Vec<(String, String)>,
    /// What the library puts in, by the names that lead to a chart.
    fills: BTreeMap<String, Vec<Value>>,
}

impl Defaults {
    /// Makes values the defaults of a chart.
    ///
    /// # Errors
    /// Says which values file an entry cannot be taken out of, and why.
    pub(in super::super) fn new(chart: &Chart, chosen: &[Override]) -> Result<Self, String> {
        if chosen.is_empty() {
            return Ok(Self::default());
        }
        let instances = instances(chart);
        let own = |instance: &Instance<'_>| {
            own_values(chart, instance.node).map_err(|error: ChartError| error.to_string())
        };
        let values: Vec<Value> = instances.iter().map(own).collect::<Result<_, _>>()?;
        let all: Vec<(&Instance<'_>, &Value)> = instances.iter().zip(&values).collect();
        let rest = |instance: &Instance<'_>, path: &[String]| -> Option<Vec<String>> {
            let rest = path.strip_prefix(instance.key.as_slice())?;
            (!rest.is_empty()).then(|| rest.to_vec())
        };

        let mut removed = BTreeSet::new();
        for choice in chosen {
            for (instance, own) in &all {
                let Some(path) = rest(instance, &choice.path) else {
                    continue;
                };
                if at(own, &path).is_some() {
                    removed.insert(Definition {
                        prefix: instance.node.prefix.clone(),
                        path,
                    });
                }
            }
        }
        let removed: Vec<Definition> = removed.into_iter().collect();
        let notes: BTreeMap<Definition, String> = removed
            .iter()
            .map(|definition| (definition.clone(), note(definition, &instances, chosen)))
            .collect();
        let files = taken_out_with(chart, &removed, |definition| {
            notes.get(definition).cloned().unwrap_or_default()
        })?;

        // A chart that goes by several names has one values file: what is taken out of it is missing under each.
        let mut concerned: BTreeSet<Vec<String>> = BTreeSet::new();
        for definition in &removed {
            for instance in &instances {
                if instance.node.prefix == definition.prefix {
                    let path = instance.key.iter().chain(&definition.path);
                    concerned.insert(path.cloned().collect());
                }
            }
        }
        let mut fills: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for path in concerned {
            let hardened = chosen.iter().find(|choice| choice.path == path);
            let mut original: Option<&Value> = None;
            for (instance, own) in &all {
                let Some(below) = rest(instance, &path) else {
                    continue;
                };
                // The outermost chart that says something wins.
                original = original.or_else(|| at(own, &below));
                let Some(original) = original else { continue };
                let entry = json!({
                    "path": below,
                    "name": path_text(&path),
                    "own": original,
                    "hardened": hardened.map_or(original, |choice| &choice.value),
                });
                fills.entry(instance.key.join("/")).or_default().push(entry);
            }
        }
        Ok(Self {
            chosen: chosen.to_vec(),
            files,
            fills,
        })
    }

    /// The values.
    pub(in super::super) fn chosen(&self) -> &[Override] {
        &self.chosen
    }

    /// Definition of the template library that puts the values in; nothing where there are none.
    pub(in super::super) fn definition(&self) -> String {
        if self.fills.is_empty() {
            return String::new();
        }
        let table: Map<String, Value> = self
            .fills
            .iter()
            .map(|(key, entries)| (key.clone(), Value::Array(entries.clone())))
            .collect();
        template::with_table(LIBRARY, &Value::Object(table))
    }

    /// Takes the entries out of a chart's values files.
    pub(in super::super) fn put_into(&self, chart: &mut Chart) -> Result<(), ChartError> {
        for (path, text) in &self.files {
            chart.insert(path, text.clone())?;
        }
        Ok(())
    }
}

/// What readers of a values file are told of an entry.
fn note(definition: &Definition, instances: &[Instance<'_>], chosen: &[Override]) -> String {
    let value = instances
        .iter()
        .filter(|instance| instance.node.prefix == definition.prefix)
        .find_map(|instance| {
            let path: Vec<&String> = instance.key.iter().chain(&definition.path).collect();
            chosen
                .iter()
                .find(|choice| choice.path.iter().collect::<Vec<_>>() == path)
        })
        .map(|choice| choice.value.to_string())
        .unwrap_or_default();
    format!(
        "hardened default: {value}; a value given here or by you wins, and the line above holds with hardening off"
    )
}

/// Values files of a chart, by path, without the entries.
pub(super) fn taken_out(
    chart: &Chart,
    removed: &[Definition],
) -> Result<Vec<(String, String)>, String> {
    taken_out_with(chart, removed, |_| String::new())
}

fn taken_out_with(
    chart: &Chart,
    removed: &[Definition],
    note: impl Fn(&Definition) -> String,
) -> Result<Vec<(String, String)>, String> {
    let mut by_file: BTreeMap<&str, Vec<Entry>> = BTreeMap::new();
    for definition in removed {
        by_file.entry(&definition.prefix).or_default().push(Entry {
            path: definition.path.clone(),
            note: note(definition),
        });
    }
    by_file
        .into_iter()
        .map(|(prefix, removed)| {
            let path = format!("{prefix}values.yaml");
            let text = chart
                .text(&path)
                .ok_or_else(|| format!("{path} is not UTF-8"))?;
            let text = entries::take_out(text, &removed).map_err(|why| format!("{path}: {why}"))?;
            Ok((path, text))
        })
        .collect()
}

/// Text of the file with the values that were chosen.
pub(in super::super) fn hardened_values<'k>(
    kept: impl IntoIterator<Item = &'k Kept>,
    chosen: &[Override],
) -> String {
    let mut text = format!(
        "{HEADER}\n# What you give wins over them; `global.hardening.rules.parameters.enabled=false` leaves them out.\n#\n"
    );
    for choice in kept {
        let line = format!("# {} (was {}): {}", choice.path, choice.before, choice.why);
        text.push_str(&line.replace(['\n', '\r'], " "));
        text.push('\n');
    }
    text.push_str(&quench_chart::yaml::to_string(&as_values(chosen)));
    text
}

/// The values that were chosen for a chart that is hardened already.
pub(in super::super) fn carried(chart: &Chart) -> Vec<Override> {
    let Some(text) = chart
        .text(HARDENED_VALUES)
        .filter(|text| text.starts_with(HEADER))
    else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if let Ok(values) = quench_chart::yaml::values(text) {
        leaves(&values, &mut Vec::new(), &mut found);
    }
    found
}

/// Takes the file with the values that were chosen out of a chart.
pub(in super::super) fn remove_file(chart: &mut Chart) -> Result<(), ChartError> {
    let ours = chart
        .text(HARDENED_VALUES)
        .is_some_and(|text| text.starts_with(HEADER));
    if ours {
        chart.remove(HARDENED_VALUES)?;
    }
    Ok(())
}

fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<Override>) {
    match value.as_object() {
        Some(map) => {
            for (key, value) in map {
                path.push(key.clone());
                leaves(value, path, found);
                path.pop();
            }
        }
        None => found.push(Override {
            path: path.clone(),
            value: value.clone(),
        }),
    }
}
