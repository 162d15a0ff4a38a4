//! What decides, beside rules and evidence: switches, facts of the target, decisions, waivers.

use std::collections::BTreeSet;

use quench_model::{Policy, Target, Waiver};
use serde_json::{Map, Value, json};

use crate::{parameters, rules};

/// Facts of the target that a chart reads at each render, by their names in `global.hardening`, with the kind of value
/// each has: as templates name kinds.
pub(crate) const FACTS: [(&str, &str); 12] = [
    ("egress", "map"),
    ("emptyDirSize", "string"),
    ("nodeSysctls", "bool"),
    ("platform", "string"),
    ("podSecurity", "string"),
    ("pullPolicy", "string"),
    ("registry", "string"),
    ("resources", "map"),
    ("runtimeClass", "string"),
    ("serviceType", "string"),
    ("tlsSecret", "string"),
    ("userNamespaces", "bool"),
];

/// Settings in force for one render.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Whether the chart hardens itself at all.
    pub disabled: bool,
    /// Facts of the target by the names they go by in `global.hardening`; an object, or null where there are none.
    pub facts: Value,
    /// Rules that are switched off.
    pub off: BTreeSet<String>,
    /// Rules that fix what they would only report.
    pub decided: BTreeSet<String>,
    /// Accepted deviations.
    pub waivers: Vec<Waiver>,
}

/// Why `global.hardening` is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// A waiver without a reason, or one that is no map.
    #[error("global.hardening.waivers: the waiver for rule {rule:?} gives no reason; add `reason`")]
    NoReason {
        /// Rule waived.
        rule: String,
    },
}

impl Settings {
    /// The defaults a policy and a target make.
    pub fn new(policy: &Policy, target: &Target) -> Self {
        // Serializing plain maps, lists and strings cannot fail.
        let all = serde_json::to_value(target).unwrap_or_default();
        let mut facts = Map::new();
        for (name, kind) in FACTS {
            put_fact(&mut facts, name, kind, all.get(name));
        }
        Self {
            disabled: false,
            facts: Value::Object(facts),
            decided: policy
                .rules
                .iter()
                .filter(|(_, setting)| setting.fix)
                .map(|(id, _)| id.clone())
                .collect(),
            off: policy
                .rules
                .iter()
                .filter(|(_, setting)| !setting.enabled)
                .map(|(id, _)| id.clone())
                .collect(),
            // Policies hold waivers for vulnerabilities too; those mean nothing to a chart.
            waivers: policy
                .waivers
                .iter()
                .filter(|waiver| {
                    waiver.rule == parameters::RULE || rules().any(|rule| rule.id == waiver.rule)
                })
                .cloned()
                .collect(),
        }
    }

    /// The same with what `.Values.global.hardening` says over it, as the template library reads it.
    ///
    /// # Errors
    /// A waiver gives no reason. Whether it has run out is left to render time, which knows the day.
    pub fn with_values(mut self, hardening: &Value) -> Result<Self, SettingsError> {
        let Some(hardening) = hardening.as_object() else {
            return Ok(self);
        };
        let is = |value: Option<&Value>, word: &str| value.is_some_and(|v| printed(v) == word);
        self.disabled |= is(hardening.get("enabled"), "false");
        let mut facts = match self.facts {
            Value::Object(facts) => facts,
            _ => Map::new(),
        };
        for (name, kind) in FACTS {
            put_fact(&mut facts, name, kind, hardening.get(name));
        }
        self.facts = Value::Object(facts);
        for (id, rule) in hardening
            .get("rules")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if is(rule.get("enabled"), "false") {
                self.off.insert(id.clone());
            } else if is(rule.get("enabled"), "true") {
                self.off.remove(id);
            }
            if is(rule.get("fix"), "true") {
                self.decided.insert(id.clone());
            } else if is(rule.get("fix"), "false") {
                self.decided.remove(id);
            }
        }
        for waiver in hardening
            .get("waivers")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            self.waivers.push(read_waiver(waiver)?);
        }
        Ok(self)
    }

    /// The form in which templates read the defaults.
    pub(crate) fn to_json(&self) -> Value {
        let set = |ids: &BTreeSet<String>| -> Map<String, Value> {
            ids.iter()
                .map(|id| (id.clone(), Value::Bool(true)))
                .collect()
        };
        json!({
            "facts": self.facts.as_object().cloned().unwrap_or_default(),
            "off": set(&self.off),
            "decided": set(&self.decided),
            "waivers": self.waivers,
        })
    }

    /// Reads what [`Settings::to_json`] wrote.
    pub(crate) fn from_json(value: &Value) -> Self {
        let set = |key: &str| {
            value
                .get(key)
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|set| set.keys().cloned())
                .collect()
        };
        let waivers = value.get("waivers").cloned().unwrap_or_default();
        Self {
            disabled: false,
            facts: value.get("facts").cloned().unwrap_or_default(),
            off: set("off"),
            decided: set("decided"),
            waivers: serde_json::from_value(waivers).unwrap_or_default(),
        }
    }

    /// A fact that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.facts.get(name).and_then(Value::as_str)
    }

    pub(crate) fn waiver(
        &self,
        rule: &str,
        kind: &str,
        name: &str,
        container: Option<&str>,
    ) -> Option<&Waiver> {
        self.waivers
            .iter()
            .find(|waiver| waiver.covers(rule, kind, name, container))
    }
}

/// Puts a fact over the one that is there, if it is of its kind; an empty text takes that away.
fn put_fact(facts: &mut Map<String, Value>, name: &str, kind: &str, given: Option<&Value>) {
    let Some(given) = given else { return };
    match (kind, given) {
        ("string", Value::String(text)) if text.is_empty() => {
            facts.shift_remove(name);
        }
        ("string", Value::String(_)) | ("bool", Value::Bool(_)) | ("map", Value::Object(_)) => {
            facts.insert(name.to_owned(), given.clone());
        }
        _ => {}
    }
}

fn read_waiver(value: &Value) -> Result<Waiver, SettingsError> {
    let text = |key: &str| {
        value
            .get(key)
            .filter(|value| !value.is_null())
            .map(printed)
            .filter(|text| !text.is_empty())
    };
    let rule = text("rule").unwrap_or_default();
    let Some(reason) = text("reason").filter(|reason| !reason.trim().is_empty()) else {
        return Err(SettingsError::NoReason { rule });
    };
    Ok(Waiver {
        rule,
        kind: text("kind"),
        name: text("name"),
        container: text("container"),
        reason,
        expires: text("expires"),
    })
}

/// A value as `toString` of templates prints it.
pub(crate) fn printed(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}
