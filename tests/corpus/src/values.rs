//! Sets of values to try a chart at.
//!
//! A chart's own tests know best which values it can take (`ci/*.yaml`). Beside these, single values of its `values.yaml` are
//! turned to the other side: switches first, evenly over the whole file, then numbers and names. Which of the
//! candidates can be used shows when the original is rendered with them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use quench_chart::Chart;
use serde_json::{Map, Value};

/// Deepest switch turned.
const MAX_DEPTH: usize = 8;
/// Most candidates of each sort: enough to find some that render, few enough to try them all.
const MAX_CANDIDATES: usize = 16;

/// Values to render with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueSet {
    /// What it is called in reports.
    pub name: String,
    /// Text of a values file.
    pub text: String,
}

/// Candidates for a chart whose sources lie in `folder`: its defaults first, then the likeliest.
///
/// # Errors
/// The chart's values or a file of its tests cannot be read.
pub fn candidates(chart: &Chart, folder: &Path) -> Result<Vec<ValueSet>> {
    let mut sets = vec![ValueSet {
        name: "defaults".to_owned(),
        text: String::new(),
    }];
    sets.extend(own(folder)?);
    let values = chart.values()?;
    let mut leaves = Vec::new();
    collect(&values, &mut Vec::new(), &mut leaves);
    let of_sort = |wanted: fn(&Value) -> bool| {
        let chosen: Vec<_> = leaves.iter().filter(|(_, value)| wanted(value)).collect();
        spread(&chosen, MAX_CANDIDATES)
            .into_iter()
            .filter_map(|(path, value)| turned(path, value))
            .collect::<Vec<_>>()
    };
    let switches = of_sort(Value::is_boolean);
    let others = of_sort(|value| value.is_u64() || value.is_string());
    sets.extend(switches);
    sets.extend(others);
    // Every chart sees globals, also one without values of its own.
    sets.extend(["one", "two"].map(|name| ValueSet {
        name: format!("global.corpus={name}"),
        text: format!("{{\"global\": {{\"corpus\": \"{name}\"}}}}"),
    }));
    Ok(sets)
}

/// Values files the chart's own tests use.
pub(crate) fn own(folder: &Path) -> Result<Vec<ValueSet>> {
    let ci = folder.join("ci");
    if !ci.is_dir() {
        return Ok(Vec::new());
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(&ci)
        .with_context(|| format!("{} cannot be read", ci.display()))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    files
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == "yaml" || e == "yml"))
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("{} cannot be read", path.display()))?;
            Ok(ValueSet {
                name: format!("ci/{name}"),
                text,
            })
        })
        .collect()
}

fn collect<'v>(
    value: &'v Value,
    path: &mut Vec<&'v str>,
    leaves: &mut Vec<(Vec<&'v str>, &'v Value)>,
) {
    match value {
        Value::Object(map) if path.len() < MAX_DEPTH => {
            for (key, value) in map {
                path.push(key);
                collect(value, path, leaves);
                path.pop();
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => leaves.push((path.clone(), value)),
        _ => {}
    }
}

/// At most `most` of the items, evenly from the whole list, in an order that takes the far ends first.
fn spread<T: Copy>(items: &[T], most: usize) -> Vec<T> {
    let count = items.len().min(most);
    let mut chosen: Vec<T> = (0..count)
        .filter_map(|index| items.get(index * items.len() / count.max(1)).copied())
        .collect();
    // Every second one first: if only few of them are used, these still come from everywhere.
    let (even, odd): (Vec<_>, Vec<_>) = chosen
        .drain(..)
        .enumerate()
        .partition(|(index, _)| index % 2 == 0);
    even.into_iter().chain(odd).map(|(_, item)| item).collect()
}

/// Values in which the one at a path is another than it was.
fn turned(path: &[&str], value: &Value) -> Option<ValueSet> {
    let name = path.last()?.to_lowercase();
    let other: Value = match value {
        Value::Bool(on) => (!on).into(),
        Value::Number(number) => {
            let number = number.as_u64()?;
            // Counts may grow; a port or an id that moves shows in many objects.
            number.checked_add(1)?.into()
        }
        Value::String(_) if name.contains("override") => "renamed".into(),
        Value::String(_) if name == "type" || name.ends_with("class") => return None,
        Value::String(text) if !text.is_empty() && name == "tag" => "other".into(),
        _ => return None,
    };
    let shown = format!("{}={other}", path.join("."));
    let nested = path.iter().rev().fold(other, |inner, key| {
        let mut map = Map::new();
        map.insert((*key).to_owned(), inner);
        map.into()
    });
    Some(ValueSet {
        name: shown,
        text: nested.to_string(),
    })
}

/// All of these values at once, later over earlier; `None` for fewer than two, or where one is no JSON map.
pub fn together(sets: &[ValueSet]) -> Option<ValueSet> {
    if sets.len() < 2 {
        return None;
    }
    let mut all = Map::new();
    for set in sets {
        let Value::Object(values) = serde_json::from_str(&set.text).ok()? else {
            return None;
        };
        quench_chart::yaml::merge(&mut all, values);
    }
    Some(ValueSet {
        name: format!("{} of them together", sets.len()),
        text: Value::Object(all).to_string(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn sample(values: &str) -> Chart {
        Chart::from_files(BTreeMap::from([
            (
                "Chart.yaml".to_owned(),
                "apiVersion: v2\nname: a\nversion: 1.0.0\n".into(),
            ),
            ("values.yaml".to_owned(), values.to_owned().into()),
        ]))
        .unwrap()
    }

    #[test]
    fn switches_and_counts_are_turned() {
        let chart = sample("a: {on: true, name: x}\nreplicas: 2\nnameOverride: ''\n");
        let sets = candidates(&chart, Path::new("/nowhere")).unwrap();
        let names: Vec<_> = sets.iter().map(|set| set.name.as_str()).collect();
        assert_eq!(
            names,
            [
                "defaults",
                "a.on=false",
                "replicas=3",
                "nameOverride=\"renamed\"",
                "global.corpus=one",
                "global.corpus=two"
            ]
        );
        assert_eq!(sets[1].text, r#"{"a":{"on":false}}"#);
    }

    #[test]
    fn candidates_come_from_the_whole_file() {
        let values: String = (0..64).map(|n| format!("s{n:02}: true\n")).collect();
        let sets = candidates(&sample(&values), Path::new("/nowhere")).unwrap();
        let switches: Vec<_> = sets.iter().filter(|s| s.name.starts_with('s')).collect();
        assert_eq!(switches.len(), MAX_CANDIDATES);
        assert_eq!(switches[0].name, "s00=false");
        assert_eq!(switches[7].name, "s56=false");
    }

    #[test]
    fn sets_join() {
        let set = |text: &str| ValueSet {
            name: String::new(),
            text: text.to_owned(),
        };
        let joined = together(&[set(r#"{"a":{"b":1}}"#), set(r#"{"a":{"c":2}}"#)]).unwrap();
        assert_eq!(joined.text, r#"{"a":{"b":1,"c":2}}"#);
        assert_eq!(together(&[set("a: 1"), set("{}")]), None);
        assert_eq!(together(&[set("{}")]), None);
    }
}
