//! A container's environment and arguments, as the kubelet puts them together.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::pod::{Objects, list, string};

/// Variables in order, later over earlier of the same name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(Vec<(String, String)>);

impl Environment {
    /// The image's variables, with those of the container over them.
    pub(crate) fn of(image: &Value, container: &Value, objects: &Objects) -> Result<Self> {
        let mut all = Self::default();
        for line in list(image, "Env").iter().filter_map(Value::as_str) {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            all.set(name, value.to_owned());
        }
        for source in list(container, "envFrom") {
            let prefix = string(source, "/prefix").unwrap_or_default();
            for (key, value) in objects.keys_of(source)? {
                all.set(&format!("{prefix}{key}"), value);
            }
        }
        for variable in list(container, "env") {
            let name = string(variable, "/name").context("a variable has no name")?;
            let value = match string(variable, "/value") {
                Some(value) => all.expand(&value),
                None => match variable.get("valueFrom") {
                    Some(from) => match referred(from, objects)? {
                        Some(value) => value,
                        None => continue,
                    },
                    None => String::new(),
                },
            };
            all.set(&name, value);
        }
        Ok(all)
    }

    fn set(&mut self, name: &str, value: String) {
        self.0.retain(|(other, _)| other != name);
        self.0.push((name.to_owned(), value));
    }

    /// `NAME=value` lines.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }

    /// Puts values in the place of `$(NAME)`; `$$` stands for `$`, and names nobody set stay as they are.
    pub(crate) fn expand(&self, text: &str) -> String {
        let known: BTreeMap<&str, &str> = self
            .0
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, after) = rest.split_at(at);
            out.push_str(before);
            let named = after
                .strip_prefix("$(")
                .and_then(|inner| inner.split_once(')'));
            if let Some(escaped) = after.strip_prefix("$$") {
                out.push('$');
                rest = escaped;
            } else if let Some((name, behind)) = named
                && let Some(value) = known.get(name)
            {
                out.push_str(value);
                rest = behind;
            } else {
                out.push('$');
                rest = after.strip_prefix('$').unwrap_or_default();
            }
        }
        out.push_str(rest);
        out
    }
}

/// The value a `valueFrom` refers to; none where the reference is optional and leads nowhere.
fn referred(from: &Value, objects: &Objects) -> Result<Option<String>> {
    for (kind, field) in [("Secret", "secretKeyRef"), ("ConfigMap", "configMapKeyRef")] {
        let Some(reference) = from.get(field) else {
            continue;
        };
        let name = string(reference, "/name").context("a reference has no name")?;
        let key = string(reference, "/key").context("a reference has no key")?;
        let optional = reference.get("optional").and_then(Value::as_bool) == Some(true);
        let data = match objects.data(kind, &name) {
            Ok(data) => data,
            Err(_) if optional => return Ok(None),
            Err(error) => return Err(error),
        };
        return match data.get(&key) {
            Some(value) => Ok(Some(String::from_utf8(value.clone())?)),
            None if optional => Ok(None),
            None => bail!("{kind} {name} has no key {key}"),
        };
    }
    match string(from, "/fieldRef/fieldPath").as_deref() {
        Some("metadata.name") => Ok(Some("quench-test-0".to_owned())),
        Some("metadata.namespace") => Ok(Some("default".to_owned())),
        Some("status.podIP" | "status.hostIP") => Ok(Some("127.0.0.1".to_owned())),
        _ => bail!("a variable comes from where this harness cannot look: {from}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_expanded_as_kubernetes_does() {
        let mut environment = Environment::default();
        environment.set("A", "1".to_owned());
        environment.set("A", "2".to_owned());
        assert_eq!(environment.lines(), ["A=2"]);
        for (text, expanded) in [
            ("x$(A)y", "x2y"),
            ("$$(A)", "$(A)"),
            ("$(B) $(A", "$(B) $(A"),
            ("ä$", "ä$"),
        ] {
            assert_eq!(environment.expand(text), expanded);
        }
    }
}
