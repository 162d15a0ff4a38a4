//! What was changed, what was not, and why.

use std::collections::BTreeMap;

use quench_chart::values_documentation::Coverage;
use quench_model::{Evidence, Level, Severity};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Parameters;
use super::controls::ControlVerdict;
use super::overview::Overview;

/// The hardening report of a chart at the values given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Name of the chart.
    pub chart: String,
    /// Version of the chart.
    pub version: String,
    /// Level the report is of.
    pub level: Level,
    /// What was wrong before.
    pub before: Numbers,
    /// What is still wrong after, waived places not counted.
    pub after: Numbers,
    /// Every field that a rule changed.
    pub changes: Vec<Change>,
    /// Every place that breaks a rule and was not fixed, with the reason.
    pub remaining: Vec<Remaining>,
    /// Every place that a waiver covers.
    pub waived: Vec<Waived>,
    /// Pod Security Standard of each workload.
    pub pods: Vec<PodVerdict>,
    /// What the reader must know besides, such as objects that are out of the chart's reach.
    pub notes: Vec<String>,
    /// How each rule of the level did.
    #[serde(default)]
    pub rules: Vec<RuleTally>,
    /// How the chart stands to the controls of benchmarks and standards.
    #[serde(default)]
    pub controls: Vec<ControlVerdict>,
    /// What the hardened chart runs, and who may reach what.
    #[serde(default)]
    pub overview: Overview,
    /// The chart's own parameters: what was chosen, and what is recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Parameters>,
    /// How many of the chart's values are documented.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Coverage>,
}

/// How a rule did over all places it looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleTally {
    /// The rule.
    pub rule: String,
    /// Whether policy or values switch it off: it looked at nothing then.
    pub off: bool,
    /// Places it is about, broken or not.
    pub looked_at: usize,
    /// Places that were broken and were fixed.
    pub fixed: usize,
    /// Places that are broken still.
    pub open: usize,
    /// Places that are broken, and a waiver covers them.
    pub waived: usize,
}

/// Counts over all rendered objects.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Numbers {
    /// Rendered objects.
    pub objects: usize,
    /// Objects with a pod specification.
    pub workloads: usize,
    /// Places that break a rule.
    pub findings: usize,
    /// The same by severity.
    pub by_severity: BTreeMap<Severity, usize>,
    /// The same by rule.
    pub by_rule: BTreeMap<String, usize>,
    /// Workloads whose pods pass the Pod Security Standard "restricted".
    pub restricted: usize,
}

/// A field that a rule changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Rule that changed it.
    pub rule: String,
    /// `Kind/name`.
    pub object: String,
    /// Container, when the field is one of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The field, as a dotted path within the container, pod specification or object.
    pub field: String,
    /// The field, as a dotted path from the object; items of lists by their name.
    #[serde(default)]
    pub path: String,
    /// What it was; none when it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it is now; none when it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Facts that decided.
    pub evidence: Vec<Evidence>,
}

/// A place that breaks a rule and was not fixed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Remaining {
    /// The rule.
    pub rule: String,
    /// How bad it is.
    pub severity: Severity,
    /// `Kind/name`.
    pub object: String,
    /// Container, when it is one of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Why it was not fixed, and what to do.
    pub reason: String,
}

/// A place that breaks a rule and that a waiver covers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Waived {
    /// The rule.
    pub rule: String,
    /// `Kind/name`.
    pub object: String,
    /// Container, when it is one of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Reason the waiver gives.
    pub reason: String,
    /// Last day the waiver holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// How a workload's pods stand to the Pod Security Standards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodVerdict {
    /// `Kind/name`.
    pub object: String,
    /// Strictest standard they met before: `privileged`, `baseline` or `restricted`.
    pub before: String,
    /// Strictest standard they meet now.
    pub after: String,
    /// What still keeps them from "restricted".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub violations: Vec<String>,
}
