//! Controls of benchmarks and standards, and how a chart stands to each.
//!
//! A control is judged by the rules that refer to it, the Pod Security Standards by [`crate::pod_security`] itself. Most
//! controls reach beyond a chart, many lie outside it altogether; each says so. Nothing is called met that nobody looked at.
//!
//! Numbers and subjects are those of the CIS Kubernetes Benchmark v1.9 (section 5; sections 1 to 4 are about nodes and
//! the control plane), the Pod Security Standards, the NSA/CISA Kubernetes Hardening Guide v1.2, and BSI IT-Grundschutz
//! 2023 (APP.4.4 Kubernetes, SYS.1.6 Containerisierung). The words are our own.

mod catalogue;

use std::collections::{BTreeMap, BTreeSet};

use quench_model::Level;
use serde::{Deserialize, Serialize};

use crate::pod_security::Violation;
use crate::rule::{Reference, Rule, Source};
use crate::{rule, rules};

use super::report::{Remaining, RuleTally, Waived};

pub use catalogue::FRAMEWORKS;

/// A benchmark or standard.
#[derive(Debug)]
pub struct Framework {
    /// Its name.
    pub name: &'static str,
    /// How rules refer to it.
    pub source: Source,
    /// Its controls, in order.
    pub controls: &'static [Control],
}

/// A control.
#[derive(Debug)]
pub struct Control {
    /// Its number or name.
    pub id: &'static str,
    /// What it asks for, in a line.
    pub title: &'static str,
    /// What it asks for beyond the chart, or why a chart cannot show it; empty when a chart can show all of it.
    pub beyond: &'static str,
    /// Rules that judge it beside those that refer to it.
    pub rules: &'static [&'static str],
}

/// How a chart stands to a control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It was looked at, and was met before anything was done.
    Met,
    /// It was broken, and hardening mended it.
    MetByHardening,
    /// It is broken somewhere.
    Open,
    /// Where it is broken, a waiver covers it.
    Waived,
    /// The chart renders nothing that it is about.
    NotApplicable,
    /// Nothing was looked at: it lies outside the chart, no rule of this level asks for it, or its rules are switched off.
    NotJudged,
}

impl Status {
    /// All of them, worst first.
    pub const ALL: [Self; 6] = [
        Self::Open,
        Self::Waived,
        Self::NotJudged,
        Self::MetByHardening,
        Self::Met,
        Self::NotApplicable,
    ];

    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::MetByHardening => "met by hardening",
            Self::Open => "open",
            Self::Waived => "waived",
            Self::NotApplicable => "not applicable",
            Self::NotJudged => "cannot be judged",
        }
    }
}

/// A control, judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ControlVerdict {
    /// Name of the benchmark or standard.
    pub framework: String,
    /// Number or name of the control.
    pub control: String,
    /// What it asks for.
    pub title: String,
    /// How the chart stands to it.
    pub status: Status,
    /// Rules that judge it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<String>,
    /// Places looked at.
    #[serde(default)]
    pub looked_at: usize,
    /// Places where it is broken, waived ones included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// Why the status is what it is, and what the chart cannot show.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
}

/// What controls are judged by.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    /// Level whose rules were asked.
    pub(super) level: Level,
    /// How each rule did.
    pub(super) tallies: &'a [RuleTally],
    /// Places that are still broken.
    pub(super) remaining: &'a [Remaining],
    /// Places that waivers cover.
    pub(super) waived: &'a [Waived],
    /// Violations of the Pod Security Standards before, by object.
    pub(super) before: &'a [(String, Vec<Violation>)],
    /// And after.
    pub(super) after: &'a [(String, Vec<Violation>)],
}

/// Every control of every framework, judged.
pub(super) fn judge(facts: &Facts<'_>) -> Vec<ControlVerdict> {
    FRAMEWORKS
        .iter()
        .flat_map(|framework| {
            framework
                .controls
                .iter()
                .map(|control| judge_one(framework, control, facts))
        })
        .collect()
}

fn judge_one(framework: &Framework, control: &Control, facts: &Facts<'_>) -> ControlVerdict {
    let reference = Reference {
        source: framework.source,
        id: control.id,
    };
    let asking: Vec<&Rule> = rules()
        .filter(|rule| rule.references.contains(&reference) || control.rules.contains(&rule.id))
        .collect();
    let mut verdict = ControlVerdict {
        framework: framework.name.to_owned(),
        control: control.id.to_owned(),
        title: control.title.to_owned(),
        status: Status::NotJudged,
        rules: asking.iter().map(|rule| rule.id.to_owned()).collect(),
        looked_at: 0,
        places: Vec::new(),
        why: String::new(),
    };
    let mut why = Vec::new();
    match framework.source {
        Source::PodSecurityBaseline | Source::PodSecurityRestricted => {
            by_pods(control, facts, &mut verdict);
        }
        _ => by_rules(&asking, facts, &mut verdict, &mut why),
    }
    if !control.beyond.is_empty() {
        why.push(control.beyond.to_owned());
    }
    verdict.why = why.join("; ");
    verdict
}

fn by_rules(
    asking: &[&Rule],
    facts: &Facts<'_>,
    verdict: &mut ControlVerdict,
    why: &mut Vec<String>,
) {
    if asking.is_empty() {
        return;
    }
    let (now, later): (Vec<&Rule>, Vec<&Rule>) =
        asking.iter().partition(|rule| rule.level <= facts.level);
    if now.is_empty() {
        why.push(format!(
            "looked at from level {} on",
            later
                .iter()
                .map(|rule| rule.level.number())
                .min()
                .unwrap_or_default()
        ));
        return;
    }
    let tallies: Vec<&RuleTally> = facts
        .tallies
        .iter()
        .filter(|tally| now.iter().any(|rule| rule.id == tally.rule))
        .collect();
    let off: Vec<&str> = tallies
        .iter()
        .filter(|tally| tally.off)
        .map(|tally| tally.rule.as_str())
        .collect();
    if !off.is_empty() {
        why.push(format!("switched off: {}", off.join(", ")));
    }
    let on = || tallies.iter().filter(|tally| !tally.off);
    verdict.looked_at = on().map(|tally| tally.looked_at).sum();
    verdict.places = places(facts, |id| now.iter().any(|rule| rule.id == id));
    verdict.status = if on().next().is_none() {
        Status::NotJudged
    } else if on().any(|tally| tally.open > 0) {
        Status::Open
    } else if on().any(|tally| tally.waived > 0) {
        Status::Waived
    } else if !off.is_empty() {
        // What is left of it says nothing of the whole.
        Status::NotJudged
    } else if verdict.looked_at == 0 {
        Status::NotApplicable
    } else if on().any(|tally| tally.fixed > 0) {
        Status::MetByHardening
    } else {
        Status::Met
    };
}

fn places(facts: &Facts<'_>, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let place = |object: &str, container: &Option<String>| match container {
        Some(container) => format!("{object}/{container}"),
        None => object.to_owned(),
    };
    let open = facts
        .remaining
        .iter()
        .filter(|entry| wanted(&entry.rule))
        .map(|entry| place(&entry.object, &entry.container));
    let waived = facts
        .waived
        .iter()
        .filter(|entry| wanted(&entry.rule))
        .map(|entry| place(&entry.object, &entry.container));
    let places: BTreeSet<String> = open.chain(waived).collect();
    places.into_iter().collect()
}

fn by_pods(control: &Control, facts: &Facts<'_>, verdict: &mut ControlVerdict) {
    let breaking = |pods: &[(String, Vec<Violation>)]| -> BTreeMap<String, usize> {
        let mut found = BTreeMap::new();
        for (object, violations) in pods {
            let number = violations
                .iter()
                .filter(|violation| violation.control == control.id)
                .count();
            if number > 0 {
                found.insert(object.clone(), number);
            }
        }
        found
    };
    let (before, after) = (breaking(facts.before), breaking(facts.after));
    verdict.looked_at = facts.after.len();
    verdict.places = after.keys().cloned().collect();
    let waived = |object: &String| {
        facts
            .waived
            .iter()
            .any(|waived| waived.object == *object && verdict.rules.contains(&waived.rule))
            && !facts
                .remaining
                .iter()
                .any(|open| open.object == *object && verdict.rules.contains(&open.rule))
    };
    verdict.status = if facts.after.is_empty() {
        Status::NotApplicable
    } else if after.is_empty() && before.is_empty() {
        Status::Met
    } else if after.is_empty() {
        Status::MetByHardening
    } else if after.keys().all(waived) {
        Status::Waived
    } else {
        Status::Open
    };
}

/// Controls that a rule answers to, of the frameworks judged here.
pub fn of_rule(id: &str) -> Vec<String> {
    let references = rule(id).map_or(&[][..], |rule| rule.references);
    FRAMEWORKS
        .iter()
        .flat_map(|framework| {
            framework.controls.iter().filter_map(move |control| {
                let reference = Reference {
                    source: framework.source,
                    id: control.id,
                };
                (references.contains(&reference) || control.rules.contains(&id))
                    .then(|| reference.to_string())
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reference to a control that is not in the matrix would be judged nowhere.
    #[test]
    fn every_reference_of_a_rule_leads_to_a_control() {
        for rule in rules() {
            for reference in rule.references {
                let Some(framework) = FRAMEWORKS.iter().find(|f| f.source == reference.source)
                else {
                    continue;
                };
                assert!(
                    framework.controls.iter().any(|c| c.id == reference.id),
                    "{}: {reference} is no control of hardening/controls/catalogue.rs",
                    rule.id
                );
            }
        }
    }

    #[test]
    fn rules_that_judge_a_control_are_there() {
        for framework in FRAMEWORKS {
            for control in framework.controls {
                for id in control.rules {
                    assert!(
                        rule(id).is_some(),
                        "{} {}: {id}",
                        framework.name,
                        control.id
                    );
                }
            }
        }
    }

    #[test]
    fn controls_are_listed_once() {
        for framework in FRAMEWORKS {
            let ids: BTreeSet<&str> = framework.controls.iter().map(|c| c.id).collect();
            assert_eq!(ids.len(), framework.controls.len(), "{}", framework.name);
        }
    }

    fn tally(rule: &str, looked_at: usize, fixed: usize, open: usize, waived: usize) -> RuleTally {
        RuleTally {
            rule: rule.to_owned(),
            off: false,
            looked_at,
            fixed,
            open,
            waived,
        }
    }

    fn status(control: &str, tallies: &[RuleTally]) -> Status {
        let facts = Facts {
            level: Level::Configured,
            tallies,
            remaining: &[],
            waived: &[],
            before: &[],
            after: &[],
        };
        judge(&facts)
            .into_iter()
            .find(|v| v.control == control && v.framework.starts_with("CIS"))
            .unwrap()
            .status
    }

    #[test]
    fn nothing_is_met_that_nobody_looked_at() {
        let rule = "seccomp-runtime-default";
        assert_eq!(status("5.7.2", &[tally(rule, 3, 0, 0, 0)]), Status::Met);
        assert_eq!(
            status("5.7.2", &[tally(rule, 3, 2, 0, 0)]),
            Status::MetByHardening
        );
        assert_eq!(status("5.7.2", &[tally(rule, 3, 2, 1, 0)]), Status::Open);
        assert_eq!(status("5.7.2", &[tally(rule, 3, 2, 0, 1)]), Status::Waived);
        assert_eq!(
            status("5.7.2", &[tally(rule, 0, 0, 0, 0)]),
            Status::NotApplicable
        );
        let off = RuleTally {
            off: true,
            ..tally(rule, 0, 0, 0, 0)
        };
        assert_eq!(status("5.7.2", &[off]), Status::NotJudged);
        assert_eq!(status("5.7.2", &[]), Status::NotJudged);
        assert_eq!(
            status("5.3.1", &[tally(rule, 3, 0, 0, 0)]),
            Status::NotJudged
        );
    }
}
