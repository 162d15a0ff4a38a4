//! OSV records as they are published (OSV schema 1.7), reduced to what matching and telling need.
//!
//! Publishers leave fields out, set them to null, and put what they like into the `*_specific` objects; only what
//! makes a record useless is an error.

use serde::{Deserialize, Deserializer};

#[derive(Debug, Deserialize)]
pub(super) struct OsvRecord {
    pub(super) id: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) modified: String,
    #[serde(default)]
    pub(super) withdrawn: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) aliases: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) upstream: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) related: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) summary: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) details: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) severity: Vec<OsvSeverity>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) affected: Vec<OsvAffected>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) references: Vec<OsvReference>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) database_specific: OsvRating,
}

#[derive(Debug, Deserialize)]
pub(super) struct OsvSeverity {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) score: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct OsvAffected {
    #[serde(default)]
    pub(super) package: Option<OsvPackage>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) severity: Vec<OsvSeverity>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) ranges: Vec<OsvRange>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) versions: Vec<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) ecosystem_specific: OsvRating,
    #[serde(default, deserialize_with = "lenient")]
    pub(super) database_specific: OsvRating,
}

#[derive(Debug, Deserialize)]
pub(super) struct OsvPackage {
    #[serde(default)]
    pub(super) ecosystem: String,
    #[serde(default)]
    pub(super) name: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct OsvRange {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) events: Vec<OsvEvent>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct OsvEvent {
    pub(super) introduced: Option<String>,
    pub(super) fixed: Option<String>,
    pub(super) last_affected: Option<String>,
    pub(super) limit: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OsvReference {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) url: String,
}

/// The words in which databases rate severity outside the schema's own field.
#[derive(Debug, Default, Deserialize)]
pub(super) struct OsvRating {
    /// GitHub, Bitnami, openEuler.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) severity: Option<String>,
    /// Debian.
    #[serde(default, deserialize_with = "lenient")]
    pub(super) urgency: Option<String>,
}

/// Reads null as the default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a value of an unexpected type as the default: these fields belong to the databases, not to the schema.
fn lenient<'de, D: Deserializer<'de>, T: Default + serde::de::DeserializeOwned>(
    deserializer: D,
) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}
