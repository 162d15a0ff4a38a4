//! Which fields of custom resources hold images, by what their schemas say.

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::workload::ObjectId;
use quench_chart::{Chart, yaml};
use serde_json::Value;

use super::text;

/// Deepest nesting of a schema looked into.
const MAX_DEPTH: usize = 40;
/// Fields noted of one kind.
const MAX_FIELDS: usize = 1000;

/// Fields that are described as images without being called so, by group and kind.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    kinds: BTreeMap<(String, String), BTreeSet<String>>,
}

impl Schemas {
    /// Reads the definitions under `crds/` of a chart and its subcharts.
    pub(crate) fn of(chart: &Chart) -> Self {
        let mut schemas = Self::default();
        for node in chart.nodes() {
            let folder = format!("{}crds/", node.prefix);
            let end = format!("{}crds0", node.prefix);
            for (_, content) in chart.files().range(folder..end) {
                let Ok(text) = std::str::from_utf8(content) else {
                    continue;
                };
                for document in yaml::documents(text) {
                    // Definitions without such a description need not be parsed: they are large.
                    if document.contains("image")
                        && let Ok(object) = yaml::parse(document)
                    {
                        schemas.add(&object);
                    }
                }
            }
        }
        schemas
    }

    /// Notes the fields of a definition; other objects are passed over.
    pub(crate) fn add(&mut self, object: &Value) {
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        if text("/kind") != Some("CustomResourceDefinition") {
            return;
        }
        let (Some(group), Some(kind)) = (text("/spec/group"), text("/spec/names/kind")) else {
            return;
        };
        let mut fields = BTreeSet::new();
        let versions = object.pointer("/spec/versions").and_then(Value::as_array);
        for version in versions.into_iter().flatten() {
            if let Some(schema) = version.pointer("/schema/openAPIV3Schema") {
                fields_of(schema, "", 0, &mut fields);
            }
        }
        self.kinds
            .entry((group.to_owned(), kind.to_owned()))
            .or_default()
            .append(&mut fields);
    }

    /// Whether the schema describes the field at this path as an image. Indexes of lists do not matter.
    pub(crate) fn says_image(&self, id: &ObjectId, path: &str) -> bool {
        let group = id
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group);
        let Some(fields) = self.kinds.get(&(group.to_owned(), id.kind.clone())) else {
            return false;
        };
        let mut plain = String::with_capacity(path.len());
        let mut inside = false;
        for c in path.chars() {
            match c {
                '[' => inside = true,
                ']' => inside = false,
                c if !inside => plain.push(c),
                _ => {}
            }
        }
        fields.contains(&plain)
    }
}

fn fields_of(schema: &Value, path: &str, depth: usize, fields: &mut BTreeSet<String>) {
    if depth > MAX_DEPTH || fields.len() >= MAX_FIELDS {
        return;
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, property) in properties.into_iter().flatten() {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let is_text = property.get("type").and_then(Value::as_str) == Some("string");
        let description = property.get("description").and_then(Value::as_str);
        if is_text && !text::is_image_key(name) && description.is_some_and(describes_image) {
            fields.insert(path.clone());
        }
        fields_of(property, &path, depth + 1, fields);
    }
    if let Some(items) = schema.get("items") {
        fields_of(items, path, depth + 1, fields);
    }
}

/// Whether a description's first sentence says that the field is an image, and not how one is pulled or started.
fn describes_image(description: &str) -> bool {
    let first = description.split(". ").next().unwrap_or_default();
    let lower = first.to_ascii_lowercase();
    let words: Vec<&str> = lower
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let has = |word: &str| words.contains(&word);
    has("image")
        && ![
            "pull",
            "pulling",
            "policy",
            "entrypoint",
            "tag",
            "sha",
            "digest",
            "registry",
            "secret",
            "command",
            "directory",
        ]
        .iter()
        .any(|word| has(word))
}
