//! Choosing the chart's own parameters, and making the choice its default.
//!
//! [`search`] tries every security parameter of a chart that stands at an unsafe value: it renders the chart with the safe
//! one and looks at what became of it ([`effect`]). What makes the chart safer and harms nothing is kept, alone and together with
//! the rest; everything else becomes a recommendation that says what it would take. [`Defaults`] then makes what was
//! kept the chart's default, in such a way that what users give wins and hardening can be switched off.

mod candidate;
mod defaults;
mod effect;
mod findings;
mod search;

use quench_chart::values_documentation::path_text;
use quench_model::Severity;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(super) use defaults::{Defaults, HARDENED_VALUES, carried, hardened_values, remove_file};
pub use findings::is_of_values;
pub(super) use findings::{of_parameters, of_places, tell_parameters, undocumented};
pub(super) use search::{Input, search, unsafe_now};

/// What the search through a chart's own parameters came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parameters {
    /// Values that were chosen, in the order of their paths. They are the chart's defaults now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<Kept>,
    /// Values that would be safer and were not chosen, with the reason.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recommended: Vec<Recommended>,
    /// How many value sets were rendered to find out.
    #[serde(default)]
    pub renders: usize,
}

/// A parameter whose safe value became the chart's default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Its path in the chart's values.
    pub path: String,
    /// What it does.
    pub meaning: String,
    /// The chart's own default.
    pub before: Value,
    /// The default now.
    pub after: Value,
    /// Why the new one is safer.
    pub why: String,
    /// Controls that ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
    /// Places of the whole chart that break a rule and that the rules do not mend, without and with it, the parameter itself
    /// counted as one; none where the choice was made by an earlier level.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub findings: Option<(usize, usize)>,
}

/// A parameter whose safe value was not chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Recommended {
    /// Its path in the chart's values.
    pub path: String,
    /// What it does.
    pub meaning: String,
    /// What it is. A password is not repeated.
    pub current: Value,
    /// What it should be; none where only the user can name that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended: Option<Value>,
    /// Why that is safer.
    pub why: String,
    /// Why it was not chosen, and what it would take.
    pub reason: String,
    /// How bad it is.
    pub severity: Severity,
    /// The rule that is not met.
    pub rule: String,
    /// Controls that ask for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

impl Parameters {
    /// Those that an earlier level chose, with what the chart had by default before.
    pub(super) fn carried(own: &Value, chosen: &[Override]) -> Self {
        let kept = chosen
            .iter()
            .map(|chosen| {
                let parameter = crate::parameters::matching(&chosen.path);
                Kept {
                    path: path_text(&chosen.path),
                    meaning: parameter.map_or("", |found| found.meaning).to_owned(),
                    before: at(own, &chosen.path).cloned().unwrap_or_default(),
                    after: chosen.value.clone(),
                    why: parameter.map_or("", |found| found.why).to_owned(),
                    references: parameter
                        .into_iter()
                        .flat_map(|found| found.references)
                        .map(ToString::to_string)
                        .collect(),
                    findings: None,
                }
            })
            .collect();
        Self {
            kept,
            ..Self::default()
        }
    }

    /// Turns what was kept into recommendations, since the chart cannot be shipped with it.
    pub(super) fn give_up(&mut self, reason: &str) {
        for kept in std::mem::take(&mut self.kept) {
            let parameter = crate::parameters::matching(&crate::parameters::split(&kept.path));
            self.recommended.push(Recommended {
                path: kept.path,
                meaning: kept.meaning,
                current: kept.before,
                recommended: Some(kept.after),
                why: kept.why,
                reason: format!("it cannot be made a default of this chart: {reason}"),
                severity: parameter.map_or(Severity::Unknown, |found| found.severity),
                rule: parameter
                    .map_or(crate::parameters::RULE, |found| found.rule)
                    .to_owned(),
                references: kept.references,
            });
        }
    }
}

/// A value for a path of the root chart's values.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Override {
    pub(super) path: Vec<String>,
    pub(super) value: Value,
}

/// Overrides as values.
pub(super) fn as_values(overrides: &[Override]) -> Value {
    let mut values = Map::new();
    for chosen in overrides {
        put(&mut values, &chosen.path, &chosen.value);
    }
    Value::Object(values)
}

fn put(values: &mut Map<String, Value>, path: &[String], value: &Value) {
    match path {
        [] => {}
        [key] => {
            values.insert(key.clone(), value.clone());
        }
        [key, rest @ ..] => {
            let below = values
                .entry(key.clone())
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(below) = below.as_object_mut() {
                put(below, rest, value);
            }
        }
    }
}

/// Overrides as the text of a values file; nothing where there are none.
pub(super) fn as_text(overrides: &[Override]) -> Option<String> {
    (!overrides.is_empty()).then(|| quench_chart::yaml::to_string(&as_values(overrides)))
}

/// Those that settings leave in force: rule `parameters` can be switched off, and waived for single parameters.
pub(super) fn in_force(overrides: &[Override], settings: &crate::Settings) -> Vec<Override> {
    if settings.disabled || settings.off.contains(crate::parameters::RULE) {
        return Vec::new();
    }
    overrides
        .iter()
        .filter(|chosen| !is_waived(settings, &chosen.path))
        .cloned()
        .collect()
}

pub(super) fn is_waived(settings: &crate::Settings, path: &[String]) -> bool {
    settings
        .waiver(
            crate::parameters::RULE,
            crate::parameters::KIND,
            &path_text(path),
            None,
        )
        .is_some()
}

fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter()
        .try_fold(value, |value, key| value.as_object()?.get(key))
}
