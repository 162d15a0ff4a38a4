//! What `values.schema.json` allows a text to be.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ValuePath;
use super::effective::Effective;
use crate::chart::Chart;

/// Most choices taken of one schema.
const MAX_CHOICES: usize = 200;

/// Every text that schemas of the chart and its subcharts list for a path that templates decide by.
pub(super) fn choices(
    chart: &Chart,
    effective: &Effective<'_>,
    reads: BTreeSet<&ValuePath>,
) -> Vec<(ValuePath, String)> {
    let mut found = Vec::new();
    for instance in &effective.instances {
        let path = format!("{}values.schema.json", instance.node.prefix);
        let schema = chart
            .file(&path)
            .and_then(|bytes| serde_json::from_slice::<Value>(bytes).ok());
        if let Some(schema) = schema {
            let mut budget = MAX_CHOICES;
            listed(
                &schema,
                &instance.prefix,
                &reads,
                &mut budget,
                &mut found,
                0,
            );
        }
    }
    found
}

fn listed(
    schema: &Value,
    path: &ValuePath,
    reads: &BTreeSet<&ValuePath>,
    budget: &mut usize,
    found: &mut Vec<(ValuePath, String)>,
    depth: usize,
) {
    const MAX_DEPTH: usize = 32;
    if depth > MAX_DEPTH {
        return;
    }
    if reads.contains(path) {
        let texts = schema.get("enum").and_then(Value::as_array);
        for text in texts.into_iter().flatten().filter_map(Value::as_str) {
            if *budget > 0 {
                *budget -= 1;
                found.push((path.clone(), text.to_owned()));
            }
        }
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, inner) in properties.into_iter().flatten() {
        listed(inner, &path.child(key), reads, budget, found, depth + 1);
    }
}
