//! `Chart.lock`: which versions the dependencies of a chart were resolved to.

use std::collections::BTreeMap;

use bytes::Bytes;
use quench_model::Digest;
use serde_json::{Map, Value};

use super::{ChartError, Dependency};

/// Files of a lock and of the declarations it belongs to, in charts of `apiVersion: v2` and `v1`.
const FILES: [(&str, &str); 2] = [
    ("Chart.lock", "Chart.yaml"),
    ("requirements.lock", "requirements.yaml"),
];

/// The fields of a dependency that go into a lock's digest, in their order.
const FIELDS: [&str; 8] = [
    "name",
    "version",
    "repository",
    "condition",
    "tags",
    "enabled",
    "import-values",
    "alias",
];

pub(super) struct Lock {
    path: &'static str,
    declared_in: &'static str,
    digest: String,
    dependencies: Vec<Value>,
}

impl Lock {
    /// Reads the root chart's lock, if it has one.
    pub(super) fn read(files: &BTreeMap<String, Bytes>) -> Result<Option<Self>, ChartError> {
        for (path, declared_in) in FILES {
            let Some(lock) = document(files, path)? else {
                continue;
            };
            return Ok(Some(Self {
                path,
                declared_in,
                digest: text(&lock, "digest"),
                dependencies: list(&lock),
            }));
        }
        Ok(None)
    }

    /// Whether the lock was made from the chart's declarations: what `helm dependency build` asks first.
    pub(super) fn check(
        &self,
        files: &BTreeMap<String, Bytes>,
        aliases: &BTreeMap<String, String>,
    ) -> Result<(), ChartError> {
        let declared = match document(files, self.declared_in)? {
            Some(declared) => list(&declared),
            None => Vec::new(),
        };
        let resolved: Vec<Value> = declared
            .iter()
            .map(|dependency| with_address(dependency, aliases))
            .collect();
        let both = |declared: &[Value]| {
            Value::Array(vec![canonical(declared), canonical(&self.dependencies)])
        };
        // Helm 2 hashed the declarations alone.
        let first = Value::Object(Map::from_iter([(
            "dependencies".to_owned(),
            canonical(&declared),
        )]));
        let fits = [both(&resolved), both(&declared), first]
            .iter()
            .any(|value| digest(value) == self.digest);
        if fits {
            return Ok(());
        }
        Err(ChartError::Metadata {
            path: self.path.to_owned(),
            reason: format!(
                "is out of sync with the dependencies in {}; run `helm dependency update` in the chart's folder",
                self.declared_in
            ),
        })
    }

    /// The version a dependency is locked to. A chart may depend on another one twice, so its place counts first.
    pub(super) fn version(&self, at: usize, dependency: &Dependency) -> Option<String> {
        let named = |entry: &&Value| text(entry, "name") == dependency.name;
        let entry = self
            .dependencies
            .get(at)
            .filter(named)
            .or_else(|| self.dependencies.iter().find(named))?;
        Some(text(entry, "version")).filter(|version| !version.is_empty())
    }
}

fn document(files: &BTreeMap<String, Bytes>, path: &str) -> Result<Option<Value>, ChartError> {
    let Some(content) = files.get(path) else {
        return Ok(None);
    };
    let wrap = |source| ChartError::Yaml {
        path: path.to_owned(),
        source,
    };
    let text = crate::yaml::text(content).map_err(wrap)?;
    crate::yaml::parse(text).map(Some).map_err(wrap)
}

fn list(document: &Value) -> Vec<Value> {
    document
        .get("dependencies")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn text(entry: &Value, key: &str) -> String {
    match entry.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

fn with_address(dependency: &Value, aliases: &BTreeMap<String, String>) -> Value {
    let mut dependency = dependency.clone();
    let repository = text(&dependency, "repository");
    let name = repository
        .strip_prefix('@')
        .or_else(|| repository.strip_prefix("alias:"));
    if let (Some(address), Some(fields)) = (
        name.and_then(|name| aliases.get(name)),
        dependency.as_object_mut(),
    ) {
        fields.insert("repository".to_owned(), Value::String(address.clone()));
    }
    dependency
}

/// Dependencies as helm writes them into what it hashes: known fields in their order, empty ones left out but for name
/// and repository.
fn canonical(dependencies: &[Value]) -> Value {
    let one = |dependency: &Value| {
        let mut fields = Map::new();
        for field in FIELDS {
            let always = matches!(field, "name" | "repository");
            let value = match (field, dependency.get(field)) {
                ("name" | "version" | "repository" | "condition" | "alias", _) => {
                    Value::String(text(dependency, field))
                }
                (_, Some(value)) => sorted(value),
                (_, None) => continue,
            };
            let empty = match &value {
                Value::String(text) => text.is_empty(),
                Value::Array(items) => items.is_empty(),
                Value::Bool(value) => !value,
                Value::Null => true,
                _ => false,
            };
            if always || !empty {
                fields.insert(field.to_owned(), value);
            }
        }
        Value::Object(fields)
    };
    Value::Array(dependencies.iter().map(one).collect())
}

/// Go writes maps sorted by key.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(map) => {
            let sorted: BTreeMap<&String, &Value> = map.iter().collect();
            let entries = sorted.into_iter();
            Value::Object(
                entries
                    .map(|(key, value)| (key.clone(), self::sorted(value)))
                    .collect(),
            )
        }
        other => other.clone(),
    }
}

fn digest(value: &Value) -> String {
    // Go escapes what could end a script in HTML.
    let text = value
        .to_string()
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026");
    format!("sha256:{}", Digest::of(text).hex())
}
