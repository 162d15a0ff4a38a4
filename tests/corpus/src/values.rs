//! Sets of values to try a chart at.
//!
//! A chart's own tests know best which values it can take (`ci/*.yaml`). Beside these come sets of its value space, which
//! reach what its templates decide by, evenly over the whole of it; then single numbers and names of its `values.yaml`, turned to
//! others. Which of the candidates can be used shows when the original is rendered with them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use quench_chart::Chart;
use quench_chart::value_space::{Limits, ValueSpace};
use serde_json::{Map, Value};

/// Deepest value turned.
const MAX_DEPTH: usize = 8;
/// Most candidates of each sort: enough to find some that render, few enough to try them all.
const MAX_CANDIDATES: usize = 16;
/// Value files of the chart's own tests that come before everything else.
const OWN_FIRST: usize = 2;

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
    let mut own = own(folder)?;
    let rest = own.split_off(own.len().min(OWN_FIRST));
    sets.extend(own);
    let space = ValueSpace::of(chart, &[], Limits::default())?;
    let planned: Vec<_> = space.sets.iter().skip(1).collect();
    sets.extend(
        spread(&planned, MAX_CANDIDATES)
            .into_iter()
            .map(|set| ValueSet {
                name: set.to_string(),
                text: set.values_file(),
            }),
    );
    sets.extend(rest);
    let values = chart.values()?;
    let mut leaves = Vec::new();
    collect(&values, &mut Vec::new(), &mut leaves);
    let turned: Vec<ValueSet> = leaves
        .iter()
        .filter_map(|(path, value)| turned(path, value))
        .collect();
    let turned: Vec<&ValueSet> = turned.iter().collect();
    sets.extend(spread(&turned, MAX_CANDIDATES).into_iter().cloned());
    // Every chart sees globals, also one without values of its own.
    sets.extend((1..=5).map(|number| ValueSet {
        name: format!("global.corpus={number}"),
        text: format!("{{\"global\": {{\"corpus\": {number}}}}}"),
    }));
    let mut seen = BTreeSet::new();
    sets.retain(|set| seen.insert(set.text.clone()));
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
        Value::Number(_) | Value::String(_) => leaves.push((path.clone(), value)),
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

/// All of these values at once, later over earlier; `None` for fewer than two, or where one is no map.
pub fn together(sets: &[ValueSet]) -> Option<ValueSet> {
    if sets.len() < 2 {
        return None;
    }
    let mut all = Map::new();
    for set in sets {
        let Value::Object(values) = quench_chart::yaml::values(&set.text).ok()? else {
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
        let template = "{{ if .Values.a.enabled }}kind: A{{ end }}\n";
        Chart::from_files(BTreeMap::from([
            (
                "Chart.yaml".to_owned(),
                "apiVersion: v2\nname: a\nversion: 1.0.0\n".into(),
            ),
            ("values.yaml".to_owned(), values.to_owned().into()),
            ("templates/a.yaml".to_owned(), template.into()),
        ]))
        .unwrap()
    }

    #[test]
    fn switches_come_first_then_counts_and_names() {
        let chart = sample("a: {enabled: true, name: x}\nreplicas: 2\nnameOverride: ''\n");
        let sets = candidates(&chart, Path::new("/nowhere")).unwrap();
        let names: Vec<_> = sets.iter().map(|set| set.name.as_str()).collect();
        assert_eq!(
            names[..4],
            [
                "defaults",
                "a.enabled=false",
                "replicas=3",
                "nameOverride=\"renamed\"",
            ]
        );
        assert_eq!(names.len(), 9, "{names:?}");
        assert_eq!(sets[1].text, r#"{"a":{"enabled":false}}"#);
    }

    #[test]
    fn candidates_come_from_everywhere() {
        let items: Vec<usize> = (0..64).collect();
        let chosen = spread(&items, 8);
        assert_eq!(chosen, [0, 16, 32, 48, 8, 24, 40, 56]);
        assert_eq!(spread(&items, 100).len(), 64);
        assert_eq!(spread(&items[..0], 8), Vec::<usize>::new());
    }

    #[test]
    fn sets_join() {
        let set = |text: &str| ValueSet {
            name: String::new(),
            text: text.to_owned(),
        };
        let joined = together(&[set(r#"{"a":{"b":1}}"#), set(r#"{"a":{"c":2}}"#)]).unwrap();
        assert_eq!(joined.text, r#"{"a":{"b":1,"c":2}}"#);
        let joined = together(&[set("a: {b: 1}"), set("a: {b: 2}")]).unwrap();
        assert_eq!(joined.text, r#"{"a":{"b":2}}"#);
        assert_eq!(together(&[set("[1]"), set("{}")]), None);
        assert_eq!(together(&[set("{}")]), None);
    }
}
