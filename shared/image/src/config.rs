//! Image configurations.

use std::collections::BTreeMap;

use quench_content::Store;
use quench_model::{Descriptor, Digest, Platform};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ImageError;

/// Most bytes of an image configuration. The largest seen in the wild are a few hundred KiB of history.
const CONFIG_LIMIT: u64 = 16 << 20;

/// An image's configuration: OCI image-spec 1.1 "config.md", which Docker's format is the elder of.
///
/// Absent and `null` fields are the same. Fields Quench does not know stay in [`ImageConfig::raw`], so that
/// a rewritten configuration keeps them.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageConfig {
    /// Platform the image is for.
    pub platform: Platform,
    /// How to run the image.
    pub run: RunConfig,
    /// Digests of the uncompressed layers, in order.
    pub diff_ids: Vec<Digest>,
    /// What made the image, step by step.
    pub history: Vec<History>,
    /// The whole document.
    pub raw: Value,
}

/// How to run an image: the `config` object of its configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// User (and group) as written: name, number, `user:group`; empty is root.
    pub user: String,
    /// Ports it says it listens on: `8080/tcp`.
    pub exposed_ports: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Arguments, or the command when there is no entrypoint.
    pub cmd: Vec<String>,
    /// Folders declared as volumes.
    pub volumes: Vec<String>,
    /// Working folder; empty is `/`.
    pub working_dir: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Signal that stops it.
    pub stop_signal: Option<String>,
}

/// One step of an image's history.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct History {
    /// Command that made the layer.
    #[serde(deserialize_with = "or_default")]
    pub created_by: String,
    /// Whether the step made no layer.
    #[serde(deserialize_with = "or_default")]
    pub empty_layer: bool,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default, deserialize_with = "or_default")]
    architecture: String,
    #[serde(default, deserialize_with = "or_default")]
    os: String,
    #[serde(default)]
    variant: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    config: Run,
    #[serde(default, deserialize_with = "or_default")]
    rootfs: RootFs,
    #[serde(default, deserialize_with = "or_default")]
    history: Vec<History>,
}

#[derive(Default, Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "or_default")]
    diff_ids: Vec<Digest>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Run {
    #[serde(deserialize_with = "or_default")]
    user: String,
    #[serde(deserialize_with = "or_default")]
    exposed_ports: BTreeMap<String, Value>,
    #[serde(deserialize_with = "or_default")]
    env: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    entrypoint: Words,
    #[serde(deserialize_with = "or_default")]
    cmd: Words,
    #[serde(deserialize_with = "or_default")]
    volumes: BTreeMap<String, Value>,
    #[serde(deserialize_with = "or_default")]
    working_dir: String,
    #[serde(deserialize_with = "or_default")]
    labels: BTreeMap<String, String>,
    stop_signal: Option<String>,
}

/// Images of the first Docker years hold a plain text where a list belongs.
#[derive(Deserialize)]
#[serde(untagged)]
enum Words {
    Many(Vec<String>),
    One(String),
}

impl Default for Words {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl From<Words> for Vec<String> {
    fn from(words: Words) -> Self {
        match words {
            Words::Many(words) => words,
            Words::One(text) => vec!["/bin/sh".to_owned(), "-c".to_owned(), text],
        }
    }
}

fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl ImageConfig {
    /// Reads the configuration a manifest names.
    ///
    /// # Errors
    /// Not in the store, or not an image configuration.
    pub async fn read(store: &Store, descriptor: &Descriptor) -> Result<Self, ImageError> {
        let bytes = store.read(descriptor, CONFIG_LIMIT).await?;
        Self::parse(&bytes).map_err(|reason| ImageError::Config {
            digest: descriptor.digest.clone(),
            reason,
        })
    }

    /// Parses a configuration; the error is a reason without place.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let raw: Value =
            serde_json::from_slice(bytes).map_err(|e| format!("is not valid JSON: {e}"))?;
        let document = Document::deserialize(&raw)
            .map_err(|e| format!("is not an image configuration: {e}"))?;
        let Run {
            user,
            exposed_ports,
            env,
            entrypoint,
            cmd,
            volumes,
            working_dir,
            labels,
            stop_signal,
        } = document.config;
        Ok(Self {
            platform: Platform {
                architecture: document.architecture,
                os: document.os,
                variant: document.variant.filter(|v| !v.is_empty()),
            },
            run: RunConfig {
                user,
                exposed_ports: exposed_ports.into_keys().collect(),
                env,
                entrypoint: entrypoint.into(),
                cmd: cmd.into(),
                volumes: volumes.into_keys().collect(),
                working_dir,
                labels,
                stop_signal,
            },
            diff_ids: document.rootfs.diff_ids,
            history: document.history,
            raw,
        })
    }

    /// The configuration document for other layers: the same, with `rootfs` and `history` replaced.
    pub fn with_layers(&self, diff_ids: &[Digest], created_by: &str) -> Value {
        let mut raw = self.raw.clone();
        if let Some(document) = raw.as_object_mut() {
            document.insert(
                "rootfs".to_owned(),
                serde_json::json!({ "type": "layers", "diff_ids": diff_ids }),
            );
            let history: Vec<Value> = diff_ids
                .iter()
                .map(|_| serde_json::json!({ "created_by": created_by }))
                .collect();
            document.insert("history".to_owned(), Value::Array(history));
        }
        raw
    }
}

impl RunConfig {
    /// Value of an environment variable; the last one of a name counts.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().rev().find_map(|entry| {
            entry
                .split_once('=')
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_and_absent_fields_are_the_same() {
        let config = ImageConfig::parse(
            br#"{"architecture":"amd64","os":"linux","config":{"Env":null,"Cmd":["a"],"Entrypoint":null,
            "Volumes":{"/data":{}},"ExposedPorts":{"80/tcp":{},"443/tcp":{}},"User":"www","OnBuild":null},
            "rootfs":{"type":"layers","diff_ids":[]},"history":null}"#,
        )
        .unwrap();
        assert_eq!(config.run.cmd, ["a"]);
        assert_eq!(config.run.exposed_ports, ["443/tcp", "80/tcp"]);
        assert_eq!(config.run.volumes, ["/data"]);
        assert_eq!(config.platform.to_string(), "linux/amd64");
    }

    #[test]
    fn hostile_documents_are_refused_not_followed() {
        assert!(ImageConfig::parse(b"").is_err());
        assert!(ImageConfig::parse(br#"{"config":"x"}"#).is_err());
        assert!(ImageConfig::parse(br#"{"rootfs":{"diff_ids":["sha256:../../x"]}}"#).is_err());
        assert!(ImageConfig::parse("[".repeat(100_000).as_bytes()).is_err());
    }

    #[test]
    fn rewriting_keeps_what_is_not_understood() {
        let config = ImageConfig::parse(
            br#"{"x":1,"config":{"User":"33"},"rootfs":{"type":"layers","diff_ids":[]}}"#,
        )
        .unwrap();
        let text = config.with_layers(&[Digest::of(b"")], "quench").to_string();
        assert!(text.contains(r#""x":1"#) && text.contains(r#""User":"33""#));
        assert!(text.contains(&Digest::of(b"").to_string()));
    }
}
