//! What a chart asks of a node: helm renders, kubectl reads, so nothing of Quench judges its own output.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
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

    /// The pod template of the only object of `kind` that has one, such as `Deployment`.
    pub fn pod(&self, kind: &str) -> Result<Value> {
        let mut found = self
            .of_kind(kind)
            .filter_map(|object| object.pointer("/spec/template"));
        match (found.next(), found.next()) {
            (Some(template), None) => Ok(template.clone()),
            (None, _) => bail!("no {kind} with a pod template was rendered"),
            _ => bail!("more than one {kind} was rendered"),
        }
    }

    /// The `data` of a ConfigMap.
    pub fn config_map(&self, name: &str) -> Result<BTreeMap<String, String>> {
        let object = self
            .of_kind("ConfigMap")
            .find(|object| object.pointer("/metadata/name").and_then(Value::as_str) == Some(name))
            .with_context(|| format!("no ConfigMap {name} was rendered"))?;
        Ok(serde_json::from_value(
            object.get("data").cloned().unwrap_or_default(),
        )?)
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
