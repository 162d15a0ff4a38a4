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
            .arg(&file))?;
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

/// Why a pod template would be refused by the Pod Security Standard "restricted" (v1.36), in the words of the
/// standard; empty when it passes. <https://kubernetes.io/docs/concepts/security/pod-security-standards/>
pub fn restricted_violations(template: &Value) -> Vec<String> {
    let mut violations = Vec::new();
    let spec = template.get("spec").unwrap_or(&Value::Null);
    let pod_context = spec.get("securityContext").unwrap_or(&Value::Null);
    for name in ["hostNetwork", "hostPID", "hostIPC"] {
        if spec.get(name).and_then(Value::as_bool) == Some(true) {
            violations.push(format!("{name} is true"));
        }
    }
    const VOLUMES: [&str; 8] = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in list(spec, "volumes") {
        for key in volume
            .as_object()
            .into_iter()
            .flat_map(|volume| volume.keys())
        {
            if key != "name" && !VOLUMES.contains(&key.as_str()) {
                violations.push(format!("volume type {key}"));
            }
        }
    }
    let containers = ["initContainers", "containers", "ephemeralContainers"];
    for container in containers.iter().flat_map(|name| list(spec, name)) {
        let name = container.get("name").and_then(Value::as_str).unwrap_or("?");
        let context = container.get("securityContext").unwrap_or(&Value::Null);
        let own_or_pods = |key: &str| context.get(key).or_else(|| pod_context.get(key));
        let mut refuse = |what: &str| violations.push(format!("container {name}: {what}"));
        if context.get("privileged").and_then(Value::as_bool) == Some(true) {
            refuse("privileged");
        }
        if context
            .get("allowPrivilegeEscalation")
            .and_then(Value::as_bool)
            != Some(false)
        {
            refuse("allowPrivilegeEscalation is not false");
        }
        if own_or_pods("runAsNonRoot").and_then(Value::as_bool) != Some(true) {
            refuse("runAsNonRoot is not true");
        }
        if own_or_pods("runAsUser").and_then(Value::as_u64) == Some(0) {
            refuse("runAsUser is 0");
        }
        let capability = |which: &str| -> Vec<String> {
            let pointer = format!("/capabilities/{which}");
            let names = context.pointer(&pointer).and_then(Value::as_array);
            names
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect()
        };
        if !capability("drop").iter().any(|name| name == "ALL") {
            refuse("capabilities.drop lacks ALL");
        }
        if capability("add")
            .iter()
            .any(|name| name != "NET_BIND_SERVICE")
        {
            refuse("capabilities.add holds more than NET_BIND_SERVICE");
        }
        let seccomp = own_or_pods("seccompProfile").and_then(|profile| profile.get("type"));
        if !matches!(
            seccomp.and_then(Value::as_str),
            Some("RuntimeDefault" | "Localhost")
        ) {
            refuse("seccompProfile.type is neither RuntimeDefault nor Localhost");
        }
        for port in list(container, "ports") {
            if port
                .get("hostPort")
                .and_then(Value::as_u64)
                .is_some_and(|port| port != 0)
            {
                refuse("hostPort");
            }
        }
    }
    violations
}

/// The array under `key`, empty when there is none.
pub fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}
