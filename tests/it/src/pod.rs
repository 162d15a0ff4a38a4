//! What a chart asks of a node: helm renders, kubectl reads, so nothing of Quench judges its own output.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::tools::run;

/// The objects of a rendered chart, as Kubernetes itself decodes them.
#[derive(Debug, Clone)]
pub struct Objects(Vec<Value>);

impl Objects {
    /// Renders `chart` as release `release` with helm, then has kubectl decode the text.
    pub fn render(
        helm: &Path,
        kubectl: &Path,
        chart: &Path,
        release: &str,
        options: &[&str],
    ) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let rendered = run(Command::new(helm)
            .env("HOME", home.path())
            .args(["template", release])
            .arg(chart)
            .args(options))?;
        let file = home.path().join("rendered.yaml");
        std::fs::write(&file, rendered)?;
        Self::decode(kubectl, &file)
    }

    /// Has kubectl decode a file of manifests, or all files of a folder.
    pub fn decode(kubectl: &Path, manifests: &Path) -> Result<Self> {
        let home = tempfile::tempdir()?;
        // `patch --local` with nothing to change is kubectl's way to decode files without a cluster.
        let decoded = run(Command::new(kubectl)
            .env("HOME", home.path())
            .env("KUBECONFIG", "/dev/null")
            .args([
                "patch",
                "--local",
                "--type",
                "merge",
                "--patch",
                "{}",
                "--output",
                "json",
                "--filename",
            ])
            .arg(manifests))?;
        let mut objects = Vec::new();
        for value in serde_json::Deserializer::from_slice(&decoded).into_iter::<Value>() {
            let value = value.context("kubectl printed no JSON")?;
            match value.pointer("/items").and_then(Value::as_array) {
                Some(items) => objects.extend(items.iter().cloned()),
                None => objects.push(value),
            }
        }
        Ok(Self(objects))
    }

    /// All objects.
    pub fn all(&self) -> &[Value] {
        &self.0
    }

    /// The only object of `kind` that has a pod template, such as `Deployment`.
    pub fn workload<'a>(&'a self, kind: &'a str) -> Result<&'a Value> {
        let mut found = self
            .of_kind(kind)
            .filter(|object| object.pointer("/spec/template").is_some());
        match (found.next(), found.next()) {
            (Some(object), None) => Ok(object),
            (None, _) => bail!("no {kind} with a pod template was rendered"),
            _ => bail!("more than one {kind} was rendered"),
        }
    }

    /// The pod template of the only object of `kind` that has one.
    pub fn pod(&self, kind: &str) -> Result<Value> {
        Ok(self
            .workload(kind)?
            .pointer("/spec/template")
            .cloned()
            .unwrap_or_default())
    }

    /// What a ConfigMap or Secret holds, by key, decoded.
    pub fn data(&self, kind: &str, name: &str) -> Result<BTreeMap<String, Vec<u8>>> {
        let object = self
            .of_kind(kind)
            .find(|object| string(object, "/metadata/name").as_deref() == Some(name))
            .with_context(|| format!("no {kind} {name} was rendered"))?;
        let mut data = BTreeMap::new();
        for (field, encoded) in [
            ("data", kind == "Secret"),
            ("binaryData", true),
            ("stringData", false),
        ] {
            let entries = object.get(field).and_then(Value::as_object);
            for (key, value) in entries.into_iter().flatten() {
                let text = value.as_str().unwrap_or_default();
                let bytes = if encoded {
                    STANDARD
                        .decode(text)
                        .with_context(|| format!("{kind} {name}, key {key}: no base64"))?
                } else {
                    text.as_bytes().to_vec()
                };
                data.insert(key.clone(), bytes);
            }
        }
        Ok(data)
    }

    /// The variables that an entry of `envFrom` stands for, without its prefix.
    pub(crate) fn keys_of(&self, source: &Value) -> Result<BTreeMap<String, String>> {
        for (kind, field) in [("ConfigMap", "configMapRef"), ("Secret", "secretRef")] {
            let Some(name) = string(source, &format!("/{field}/name")) else {
                continue;
            };
            let optional = source
                .pointer(&format!("/{field}/optional"))
                .and_then(Value::as_bool);
            return match self.data(kind, &name) {
                Ok(data) => data
                    .into_iter()
                    .map(|(key, value)| Ok((key, String::from_utf8(value)?)))
                    .collect(),
                Err(_) if optional == Some(true) => Ok(BTreeMap::new()),
                Err(error) => Err(error),
            };
        }
        bail!("variables come from where this harness cannot look: {source}")
    }

    fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0
            .iter()
            .filter(move |object| object.get("kind").and_then(Value::as_str) == Some(kind))
    }
}

/// The array under `key`, empty when there is none.
pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The string at a JSON pointer, when there is one.
pub fn string(value: &Value, pointer: &str) -> Option<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(str::to_owned)
}
