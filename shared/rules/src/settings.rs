//! What decides, beside rules and evidence: switches, registry, platform, waivers.

use std::collections::BTreeSet;

use quench_model::{Policy, Target, Waiver};
use serde_json::{Map, Value, json};

use crate::{parameters, rules};

/// Settings in force for one render.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Whether the chart hardens itself at all.
    pub disabled: bool,
    /// Registry (and path prefix) images are pulled from, instead of their own.
    pub registry: Option<String>,
    /// `kubernetes` or `openshift`.
    pub platform: Option<String>,
    /// Rules that are switched off.
    pub off: BTreeSet<String>,
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
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Self {
            disabled: false,
            registry: given(&target.registry),
            platform: given(&target.platform),
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
        for (key, setting) in [
            ("registry", &mut self.registry),
            ("platform", &mut self.platform),
        ] {
            if let Some(text) = hardening.get(key).and_then(Value::as_str) {
                *setting = Some(text.to_owned()).filter(|text| !text.is_empty());
            }
        }
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
        let off: Map<String, Value> = self
            .off
            .iter()
            .map(|id| (id.clone(), Value::Bool(true)))
            .collect();
        json!({
            "registry": self.registry,
            "platform": self.platform,
            "off": off,
            "waivers": self.waivers,
        })
    }

    /// Reads what [`Settings::to_json`] wrote.
    pub(crate) fn from_json(value: &Value) -> Self {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let waivers = value.get("waivers").cloned().unwrap_or_default();
        Self {
            disabled: false,
            registry: text("registry"),
            platform: text("platform"),
            off: value
                .get("off")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(|off| off.keys().cloned())
                .collect(),
            waivers: serde_json::from_value(waivers).unwrap_or_default(),
        }
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
