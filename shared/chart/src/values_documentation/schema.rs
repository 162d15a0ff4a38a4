//! A schema for charts that have none.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{MeaningSource, ValuesDocumentation, own_values, path_text};
use crate::chart::{Chart, ChartError};

/// Name of a chart's schema.
pub const SCHEMA: &str = "values.schema.json";

/// Largest schema with descriptions. A schema is part of each release's Secret, which may have 1 MiB in all.
const MAX_DESCRIBED: usize = 96 << 10;
/// Largest schema at all.
const MAX_BYTES: usize = 256 << 10;

/// Tells a schema made here from one of the chart's author.
const COMMENT: &str = "made from the chart's defaults";

/// Whether a schema is one that [`generated_schema`] made.
pub fn is_generated_schema(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|schema| {
        schema
            .get("$comment")
            .is_some_and(|comment| comment == COMMENT)
    })
}

/// A schema of the root chart's own values, made from their defaults and meanings; none where the chart has one.
///
/// It is lenient, since values that were good before must stay good: nothing is required, further keys are accepted
/// everywhere, nothing is said of what is empty by default, and types of scalars are held apart from maps and lists only.
///
/// # Errors
/// `values.yaml` is not YAML, or not a map.
pub fn generated_schema(
    chart: &Chart,
    documentation: &ValuesDocumentation,
) -> Result<Option<String>, ChartError> {
    if chart.file(SCHEMA).is_some() {
        return Ok(None);
    }
    let values = own_values(chart, chart.root())?;
    let meanings = documentation
        .values
        .iter()
        .filter(|value| value.source == MeaningSource::Documented)
        .map(|value| (value.path.as_str(), value.meaning.as_str()))
        .collect();
    let described = text(&values, &meanings);
    if described.len() <= MAX_DESCRIBED {
        return Ok(Some(described));
    }
    let bare = text(&values, &BTreeMap::new());
    Ok((bare.len() <= MAX_BYTES).then_some(bare))
}

/// Meanings by path.
type Meanings<'a> = BTreeMap<&'a str, &'a str>;

fn text(values: &Value, meanings: &Meanings<'_>) -> String {
    let mut schema = Map::new();
    schema.insert(
        "$schema".to_owned(),
        "http://json-schema.org/draft-07/schema#".into(),
    );
    schema.insert("$comment".to_owned(), COMMENT.into());
    if let Value::Object(rest) = describe(values, &mut Vec::new(), meanings) {
        schema.extend(rest);
    }
    format!("{:#}\n", Value::Object(schema))
}

fn describe(value: &Value, path: &mut Vec<String>, meanings: &Meanings<'_>) -> Value {
    let types: &[&str] = match value {
        Value::Bool(_) => &["boolean", "string", "null"],
        Value::Number(_) => &["number", "string", "null"],
        Value::String(text) if !text.is_empty() => &["string", "number", "boolean", "null"],
        Value::Array(items) if !items.is_empty() => &["array", "string", "null"],
        Value::Object(map) if !map.is_empty() => &["object", "null"],
        _ => &[],
    };
    let mut schema = Map::new();
    if !types.is_empty() {
        schema.insert("type".to_owned(), json!(types));
    }
    if let Value::Object(map) = value
        && !map.is_empty()
    {
        let mut properties = Map::new();
        for (key, value) in map {
            path.push(key.clone());
            properties.insert(key.clone(), describe(value, path, meanings));
            path.pop();
        }
        schema.insert("properties".to_owned(), Value::Object(properties));
    } else if let Some(meaning) = meanings.get(path_text(path).as_str()) {
        schema.insert("description".to_owned(), (*meaning).into());
    }
    Value::Object(schema)
}
