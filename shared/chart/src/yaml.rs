//! YAML as Helm and Kubernetes read it.
//!
//! Helm reads YAML through `sigs.k8s.io/yaml`, which is go-yaml v2 followed by a conversion to JSON. That is
//! YAML 1.1 with deviations, and all of them matter when two programs must agree on what a manifest says:
//! `yes`/`on` are booleans, `0644` is octal, timestamps stay text, keys become text, the last of two equal keys
//! wins, and a merge key (`<<`) overrides what stands *before* it. [`parse`] does the same, into [`serde_json::Value`].
//!
//! The parser beneath is one of YAML 1.2. What is known to be left of that: it takes a tab for indentation where YAML 1.1
//! refuses it, and does not take U+0085, U+2028 and U+2029 for line breaks.

mod compose;
mod outline;
mod repair;
mod resolve;
mod split;
mod write;

use serde_json::{Map, Value};

pub(crate) use compose::{Collector, scan_error, too_deep};
pub use outline::{Entry, outline};
pub use split::documents;
pub use write::to_string;

/// Largest text read, in bytes.
pub const MAX_BYTES: usize = 64 << 20;
/// Deepest nesting read.
pub const MAX_DEPTH: usize = 256;
/// Most nodes that aliases and anchors may copy, in one document.
pub const MAX_COPIED_NODES: usize = 1_000_000;
/// Most text that aliases and anchors may copy, in one document, in bytes.
pub const MAX_COPIED_BYTES: usize = 64 << 20;

/// Why a text is not the YAML asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{reason}", if *line == 0 { String::new() } else { format!("line {line}: ") })]
pub struct YamlError {
    line: usize,
    reason: String,
}

impl YamlError {
    fn new(line: usize, reason: impl Into<String>) -> Self {
        Self {
            line,
            reason: reason.into(),
        }
    }

    /// Line of the text, from 1; 0 where the text as a whole is meant.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// Bytes as text; a byte order mark is dropped, as Helm does on loading a chart.
///
/// # Errors
/// The bytes are not UTF-8.
pub fn text(bytes: &[u8]) -> Result<&str, YamlError> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes
            .get(..error.valid_up_to())
            .map_or(0, |valid| valid.iter().filter(|b| **b == b'\n').count() + 1);
        YamlError::new(line, "is not UTF-8")
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Reads the first document of a text; an empty text is null. Further documents are not looked at, as in `fromYaml`.
///
/// # Errors
/// The text is not YAML, has keys or values that JSON has not (maps as keys, infinite numbers), or passes a limit.
pub fn parse(text: &str) -> Result<Value, YamlError> {
    compose::first_document(text)
}

/// Reads a values file: a map, or several documents whose maps are merged, later over earlier, as Helm does.
///
/// # Errors
/// As [`parse`]; or a document is neither a map nor empty.
pub fn values(text: &str) -> Result<Value, YamlError> {
    let mut merged = Map::new();
    for document in split::stream(text) {
        match parse(document.text).map_err(|e| YamlError {
            line: e.line + document.line * usize::from(e.line > 0),
            reason: e.reason,
        })? {
            Value::Object(map) => merge(&mut merged, map),
            Value::Null => {}
            _ => return Err(YamlError::new(document.line + 1, "values are not a map")),
        }
    }
    Ok(Value::Object(merged))
}

/// Puts values over others as Helm puts a user's values over a chart's: as [`merge`], but null takes away.
pub fn override_values(under: &mut Value, over: &Value) {
    match (under.as_object_mut(), over.as_object()) {
        (Some(under), Some(over)) => {
            for (key, value) in over {
                if value.is_null() {
                    under.shift_remove(key);
                } else {
                    override_values(under.entry(key.clone()).or_insert(Value::Null), value);
                }
            }
        }
        _ => *under = over.clone(),
    }
}

/// Lays `over` over `values`: maps are merged key by key, everything else is replaced.
pub fn merge(values: &mut Map<String, Value>, over: Map<String, Value>) {
    for (key, value) in over {
        match (values.get_mut(&key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => merge(under, over),
            (_, value) => {
                values.insert(key, value);
            }
        }
    }
}
