//! What a team demands: gates, rules, waivers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::Date;
use time::format_description::well_known::Iso8601;

use crate::{Digest, FindingKind, Severity, Stage, StageError, Trust};

/// A team's demands. Written as YAML; everything has a default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Policy {
    /// What refuses a package.
    pub gate: Gate,
    /// Rules switched on or off for the whole package, by rule id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rules: BTreeMap<String, RuleSetting>,
    /// What is done with the chart's own security parameters.
    #[serde(skip_serializing_if = "ParameterPolicy::is_default")]
    pub parameters: ParameterPolicy,
    /// Accepted deviations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub waivers: Vec<Waiver>,
    /// Whose signatures count.
    #[serde(skip_serializing_if = "Trust::is_empty")]
    pub trust: Trust,
    /// Stages on the way to production, in order; [`Stage::defaults`] when empty.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stages: Vec<Stage>,
    /// Which of the images a chart may use go into the package.
    #[serde(skip_serializing_if = "ImageSelection::is_all")]
    pub images: ImageSelection,
}

/// Which of the images a chart may use go into its package.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageSelection {
    /// Those it needs at the given values, and those it needs when its values are changed. One that cannot be had refuses the package.
    #[default]
    All,
    /// Only those it needs at the given values. Each one left out is a completeness finding.
    Required,
}

impl ImageSelection {
    /// Whether nothing is left out.
    #[expect(
        clippy::trivially_copy_pass_by_ref,
        reason = "serde hands skip_serializing_if a reference"
    )]
    fn is_all(&self) -> bool {
        *self == Self::All
    }
}

/// What is done with the chart's own security parameters (authentication, network policies, debug modes, …).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ParameterPolicy {
    /// Nobody looks at them.
    Off,
    /// Safer values are told of.
    Recommend,
    /// Safer values that are shown to do no harm become the chart's defaults; the others are told of.
    #[default]
    Apply,
}

impl ParameterPolicy {
    /// Whether it is what a policy says that says nothing: it is left out then, so that digests stay.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether a rule applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RuleSetting {
    /// Whether the rule is evaluated and fixed.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Whether what the rule would only report is fixed: the decision that a rule reported without knowing it to be
    /// safe asks for.
    #[serde(default, skip_serializing_if = "is_no")]
    pub fix: bool,
}

fn yes() -> bool {
    true
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_no(value: &bool) -> bool {
    !value
}

impl Default for RuleSetting {
    /// In force, and fixing what is safe to fix.
    fn default() -> Self {
        Self {
            enabled: true,
            fix: false,
        }
    }
}

/// What refuses a package. The default refuses what has a fix and is critical, everything known to be exploited,
/// malware, and private keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Gate {
    /// Whether a failing gate stops the package; when false it is recorded only.
    pub enforce: bool,
    /// Vulnerabilities of this severity or worse refuse the package.
    pub severity: Severity,
    /// Whether only vulnerabilities that have a fixed version count.
    pub fixable_only: bool,
    /// Whether a vulnerability known to be exploited refuses the package whatever its severity.
    pub kev: bool,
    /// Kinds of findings that refuse the package whatever their severity.
    pub kinds: Vec<FindingKind>,
    /// Whether a package that could not be checked (no advisories for an image, no package database) is refused.
    pub unchecked: bool,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            enforce: true,
            severity: Severity::Critical,
            fixable_only: true,
            kev: true,
            kinds: vec![FindingKind::Malware, FindingKind::Secret],
            unchecked: false,
        }
    }
}

/// An accepted deviation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Waiver {
    /// Rule id, or vulnerability id (CVE, GHSA, …).
    pub rule: String,
    /// Kind of Kubernetes object; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Name of the object; any when absent. `*` stands for any run of characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Container; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// Why the deviation is accepted. Mandatory.
    #[serde(default)]
    pub reason: String,
    /// Last day on which it holds, `YYYY-MM-DD`. Without one it holds until it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// Why a policy is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A waiver without a reason.
    #[error("waiver {index} for rule {rule:?} gives no reason; add `reason:`")]
    NoReason {
        /// Position in the policy, from 1.
        index: usize,
        /// Rule waived.
        rule: String,
    },
    /// A waiver whose `expires` is no date.
    #[error("waiver {index} for rule {rule:?}: expires {text:?} is not a date; write YYYY-MM-DD")]
    BadDate {
        /// Position in the policy, from 1.
        index: usize,
        /// Rule waived.
        rule: String,
        /// What was written.
        text: String,
    },
    /// A waiver that has run out.
    #[error(
        "waiver {index} for rule {rule:?} expired on {expires}; renew it with a new date or remove it"
    )]
    Expired {
        /// Position in the policy, from 1.
        index: usize,
        /// Rule waived.
        rule: String,
        /// Last day it held.
        expires: String,
    },
    /// A list of stages that makes no sense.
    #[error(transparent)]
    Stage(#[from] StageError),
    /// A waiver that names no rule.
    #[error("waiver {index} names no rule; add `rule:` with a rule id or vulnerability id")]
    NoRule {
        /// Position in the policy, from 1.
        index: usize,
    },
}

impl Policy {
    /// Checks every waiver: it must name a rule, give a reason, and still hold on `today`. Checks the stages too.
    ///
    /// # Errors
    /// The first waiver that does not, or stage that is wrong.
    pub fn check(&self, today: Date) -> Result<(), PolicyError> {
        Stage::check(&self.stages)?;
        for (position, waiver) in self.waivers.iter().enumerate() {
            let index = position + 1;
            let rule = waiver.rule.clone();
            if rule.trim().is_empty() {
                return Err(PolicyError::NoRule { index });
            }
            if waiver.reason.trim().is_empty() {
                return Err(PolicyError::NoReason { index, rule });
            }
            let Some(text) = &waiver.expires else {
                continue;
            };
            let Ok(expires) = Date::parse(text, &Iso8601::DATE) else {
                let text = text.clone();
                return Err(PolicyError::BadDate { index, rule, text });
            };
            if expires < today {
                let expires = text.clone();
                return Err(PolicyError::Expired {
                    index,
                    rule,
                    expires,
                });
            }
        }
        Ok(())
    }

    /// The stages in force.
    pub fn stages(&self) -> Vec<Stage> {
        if self.stages.is_empty() {
            Stage::defaults()
        } else {
            self.stages.clone()
        }
    }

    /// Whether a rule applies at all.
    pub fn rule_enabled(&self, rule: &str) -> bool {
        self.rules.get(rule).is_none_or(|setting| setting.enabled)
    }

    /// Digest over the whole policy, part of every level's idempotency key.
    pub fn digest(&self) -> Digest {
        // Serializing plain maps, lists and strings cannot fail; an empty text would only make a
        // key that nothing was ever stored under.
        Digest::of(serde_json::to_vec(self).unwrap_or_default())
    }
}

impl Waiver {
    /// Whether the waiver is for this rule at this place.
    pub fn covers(&self, rule: &str, kind: &str, name: &str, container: Option<&str>) -> bool {
        let fits = |pattern: &Option<String>, text: &str| {
            pattern
                .as_deref()
                .is_none_or(|pattern| matches_glob(pattern, text))
        };
        self.rule == rule
            && self
                .kind
                .as_deref()
                .is_none_or(|k| k.eq_ignore_ascii_case(kind))
            && fits(&self.name, name)
            && match (&self.container, container) {
                (None, _) => true,
                (Some(pattern), Some(container)) => matches_glob(pattern, container),
                (Some(_), None) => false,
            }
    }
}

/// Matches a pattern in which `*` stands for any run of characters.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(first) = parts.next() else {
        return text.is_empty();
    };
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    if !pattern.contains('*') {
        return rest.is_empty();
    }
    let mut tail = "";
    for part in parts {
        match rest.find(part) {
            Some(at) => {
                rest = rest.get(at + part.len()..).unwrap_or_default();
                tail = part;
            }
            None => return false,
        }
    }
    tail.is_empty() || text.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    fn waiver(reason: &str, expires: Option<&str>) -> Policy {
        Policy {
            waivers: vec![Waiver {
                rule: "read-only-root".into(),
                kind: None,
                name: Some("web-*".into()),
                container: None,
                reason: reason.into(),
                expires: expires.map(Into::into),
            }],
            ..Policy::default()
        }
    }

    #[test]
    fn waivers_need_a_reason_and_a_day_that_has_not_passed() {
        let today = date!(2026 - 11 - 23);
        assert_eq!(waiver("legacy", None).check(today), Ok(()));
        assert_eq!(waiver("legacy", Some("2026-11-23")).check(today), Ok(()));
        assert!(matches!(
            waiver(" ", None).check(today),
            Err(PolicyError::NoReason { .. })
        ));
        assert!(matches!(
            waiver("legacy", Some("2026-11-22")).check(today),
            Err(PolicyError::Expired { .. })
        ));
        assert!(matches!(
            waiver("legacy", Some("soon")).check(today),
            Err(PolicyError::BadDate { .. })
        ));
    }

    #[test]
    fn waivers_cover_only_what_they_name() {
        let policy = waiver("legacy", None);
        let waiver = policy.waivers.first().unwrap();
        assert!(waiver.covers("read-only-root", "Deployment", "web-a", Some("app")));
        assert!(!waiver.covers("read-only-root", "Deployment", "db", Some("app")));
        assert!(!waiver.covers("run-as-non-root", "Deployment", "web-a", Some("app")));
    }

    #[test]
    fn globs_match_whole_texts() {
        assert!(matches_glob("a*c", "abc"));
        assert!(matches_glob("*", ""));
        assert!(!matches_glob("a*c", "abcd"));
        assert!(!matches_glob("ab", "abc"));
        assert!(!matches_glob("a*bc*bc", "abc"));
        assert!(matches_glob("a*b*b", "aXbYbZb"));
    }
}
