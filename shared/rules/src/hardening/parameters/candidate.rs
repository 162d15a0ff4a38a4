//! Which parameters of a chart stand at an unsafe value.

use std::collections::BTreeSet;

use quench_chart::Chart;
use quench_chart::chart::{ChartError, ChartNode};
use quench_chart::render::Rendered;
use quench_chart::values_documentation::{
    Instance, ValuesDocumentation, effective_values, instances, own_values,
};
use serde_json::Value;

use super::at;
use super::defaults::{self, Definition};
use crate::parameters::{Choice, Parameter, matching, split};

/// A parameter at an unsafe value.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) parameter: &'static Parameter,
    /// Keys from the root chart's values.
    pub(super) path: Vec<String>,
    /// What it is, the user's values applied.
    pub(super) current: Value,
    /// Whether the user's values say so themselves.
    pub(super) is_given: bool,
    /// Why the safe value could not be made a default, however good it is.
    pub(super) obstacle: Option<String>,
}

/// Every such parameter that a template reads, of the charts that render something.
pub(super) fn candidates(
    chart: &Chart,
    given: &[Value],
    documentation: &ValuesDocumentation,
    rendered: &Rendered,
) -> Result<Vec<Candidate>, ChartError> {
    let mut effective = effective_values(chart)?;
    for values in given {
        quench_chart::yaml::override_values(&mut effective, values);
    }
    let instances = instances(chart);
    let active: Vec<bool> = instances
        .iter()
        .map(|instance| renders(chart, instance, rendered))
        .collect();
    let conditions = conditions(&instances);
    let mut found = Vec::new();
    for value in &documentation.values {
        let path = split(&value.path);
        let Some(parameter) = matching(&path) else {
            continue;
        };
        let Some(current) = at(&effective, &path) else {
            continue;
        };
        if matches!(parameter.choice, Choice::Rules)
            || !parameter.unsafe_when.holds(current)
            || value.read_by.is_empty()
        {
            continue;
        }
        let owner = instances
            .iter()
            .zip(&active)
            .filter(|(instance, _)| {
                path.len() > instance.key.len() && path.starts_with(&instance.key)
            })
            .max_by_key(|(instance, _)| instance.key.len());
        if owner.is_none_or(|(_, active)| !active) {
            continue;
        }
        let is_given = given.iter().any(|values| at(values, &path).is_some());
        let obstacle = match matches!(parameter.choice, Choice::Search) && !is_given {
            true => obstacle(chart, &instances, &path, &conditions)?,
            false => None,
        };
        found.push(Candidate {
            parameter,
            path,
            current: current.clone(),
            is_given,
            obstacle,
        });
    }
    Ok(found)
}

/// Whether an instance renders objects, by the source that helm names for each.
fn renders(chart: &Chart, instance: &Instance<'_>, rendered: &Rendered) -> bool {
    let mut folder = chart.name().to_owned();
    for name in &instance.key {
        folder.push_str("/charts/");
        folder.push_str(name);
    }
    folder.push_str("/templates/");
    rendered
        .documents
        .iter()
        .any(|document| document.source.starts_with(&folder))
}

/// Paths that decide which subcharts are part of the release.
fn conditions(instances: &[Instance<'_>]) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for instance in instances {
        for dependency in &instance.node.dependencies {
            for condition in dependency.condition.as_deref().unwrap_or("").split(',') {
                let keys = condition.trim().split('.').map(str::to_owned);
                found.insert(instance.key.iter().cloned().chain(keys).collect());
            }
        }
    }
    found
}

fn obstacle(
    chart: &Chart,
    instances: &[Instance<'_>],
    path: &[String],
    conditions: &BTreeSet<Vec<String>>,
) -> Result<Option<String>, ChartError> {
    if conditions.contains(path) {
        return Ok(Some(
            "it decides which subcharts are part of the release, before any template runs"
                .to_owned(),
        ));
    }
    let chain: Vec<&Instance<'_>> = instances
        .iter()
        .filter(|instance| path.len() > instance.key.len() && path.starts_with(&instance.key))
        .collect();
    let below = |instance: &Instance<'_>| path.get(instance.key.len()).map(String::as_str);
    if chain
        .iter()
        .any(|instance| below(instance) == Some("global"))
    {
        return Ok(Some(
            "Helm copies global values to subcharts before any template runs".to_owned(),
        ));
    }
    if chain.iter().any(|instance| imports(instance.node)) {
        return Ok(Some(
            "the chart imports values of subcharts, which Helm does before any template runs"
                .to_owned(),
        ));
    }
    for instance in &chain {
        let rest = path.get(instance.key.len()..).unwrap_or_default();
        if at(&own_values(chart, instance.node)?, rest).is_none() {
            continue;
        }
        if is_required(chart, instance, rest) {
            return Ok(Some(
                "the chart's schema demands that its values file has it".to_owned(),
            ));
        }
        if notes_come_first(chart, instance.node) {
            return Ok(Some(
                "the chart's notes are rendered before the templates that could set it".to_owned(),
            ));
        }
        let definition = Definition {
            prefix: instance.node.prefix.clone(),
            path: rest.to_vec(),
        };
        if let Err(reason) = defaults::taken_out(chart, &[definition]) {
            return Ok(Some(reason));
        }
    }
    Ok(None)
}

fn imports(node: &ChartNode) -> bool {
    let dependencies = node.metadata.get("dependencies").and_then(Value::as_array);
    dependencies
        .into_iter()
        .flatten()
        .any(|dependency| dependency.get("import-values").is_some())
}

/// Whether the schema of a chart says that an entry must be there.
fn is_required(chart: &Chart, instance: &Instance<'_>, path: &[String]) -> bool {
    let schema = chart
        .text(&format!("{}values.schema.json", instance.node.prefix))
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    let (Some(schema), Some((last, parents))) = (schema, path.split_last()) else {
        return false;
    };
    let parent = parents
        .iter()
        .try_fold(&schema, |schema, key| schema.get("properties")?.get(key));
    parent
        .and_then(|parent| parent.get("required"))
        .and_then(Value::as_array)
        .is_some_and(|required| required.iter().any(|name| name == last))
}

/// Helm renders deeper paths first, and those of one depth in descending order. Notes are no shim, so a shim must come
/// before them.
fn notes_come_first(chart: &Chart, node: &ChartNode) -> bool {
    let order = |path: &str| (path.matches('/').count(), path.to_owned());
    let folder = format!("{}templates/", node.prefix);
    let end = format!("{}templates0", node.prefix);
    let notes = chart
        .files()
        .range(folder..end)
        .map(|(path, _)| path.as_str())
        .filter(|path| path.ends_with("NOTES.txt"))
        .map(order)
        .max();
    let first = node.rendered_templates(chart.files()).map(order).max();
    notes.is_some_and(|notes| first.is_none_or(|first| first < notes))
}
