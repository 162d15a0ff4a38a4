//! What rules found, as findings and as a report.

use std::collections::{BTreeMap, BTreeSet};

use quench_model::{
    Cause, CauseKind, Evidence as Fact, Finding, FindingKind, FindingState, Level, PackageName,
    Subject, Suppression,
};
use serde_json::Value;

use crate::evaluate::{Outcome, Verdict};
use crate::{rule, rules};

use super::report::{Change, Numbers, Remaining, Report, RuleTally, Waived};

/// The findings of verdicts, one for each rule and place.
pub(super) fn findings(package: &PackageName, verdicts: &[Verdict]) -> Vec<Finding> {
    let mut found: BTreeMap<(String, &str), Finding> = BTreeMap::new();
    for verdict in verdicts {
        let Some(finding) = finding(package, verdict) else {
            continue;
        };
        // Two checks of a rule can look at one place. The worse outcome is the rule's.
        let worse = |state: FindingState| match state {
            FindingState::Resolved => 0,
            FindingState::Suppressed => 1,
            FindingState::Opened | FindingState::Updated | FindingState::Reopened => 2,
        };
        let key = (verdict.location(), verdict.rule);
        match found.get(&key) {
            Some(other) if worse(other.state) >= worse(finding.state) => {}
            _ => {
                found.insert(key, finding);
            }
        }
    }
    found.into_values().collect()
}

fn finding(package: &PackageName, verdict: &Verdict) -> Option<Finding> {
    let rule = rule(verdict.rule)?;
    let subject = Subject {
        package: package.clone(),
        image: None,
        purl: None,
        location: Some(verdict.location()),
    };
    let mut finding = Finding::opened(
        FindingKind::Configuration,
        rule.id,
        subject,
        rule.severity,
        rule.level,
        rule.title,
    );
    finding.references = rule.references.iter().map(ToString::to_string).collect();
    let cause = |kind| cause(kind, rule.id);
    match &verdict.outcome {
        Outcome::Fixed { changes, evidence } => {
            finding.message = changes.iter().map(say).collect::<Vec<_>>().join("; ");
            finding.evidence = evidence.clone();
            finding = finding.into_state(FindingState::Resolved, cause(CauseKind::Hardened));
        }
        Outcome::Unfixed { reason } => {
            finding.message = reason.clone();
            finding.cause = Some(cause(CauseKind::Scan));
        }
        Outcome::Waived(waiver) => {
            finding.suppression = Some(Suppression {
                reason: waiver.reason.clone(),
                expires: waiver.expires.clone(),
            });
            finding = finding.into_state(FindingState::Suppressed, cause(CauseKind::Waiver));
        }
    }
    if let Some(image) = &verdict.image {
        finding
            .evidence
            .push(Fact::new("chart", format!("image: {image}")));
    }
    Some(finding)
}

pub(super) fn cause(kind: CauseKind, detail: &str) -> Cause {
    Cause {
        kind,
        detail: detail.to_owned(),
        epoch: None,
    }
}

fn say(change: &crate::evaluate::Change) -> String {
    let show = |value: &Option<Value>| match value {
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    format!(
        "{}: {} → {}",
        change.field,
        show(&change.before),
        show(&change.after)
    )
}

/// Puts verdicts into a report.
pub(super) fn tell(report: &mut Report, verdicts: &[Verdict]) {
    for verdict in verdicts {
        let object = format!("{}/{}", verdict.kind, verdict.name);
        let container = verdict.container.clone();
        match &verdict.outcome {
            Outcome::Fixed { changes, evidence } => {
                report.changes.extend(changes.iter().map(|change| Change {
                    rule: verdict.rule.to_owned(),
                    object: object.clone(),
                    container: container.clone(),
                    field: change.field.clone(),
                    path: change.path.clone(),
                    before: change.before.clone(),
                    after: change.after.clone(),
                    evidence: evidence.clone(),
                }));
            }
            Outcome::Unfixed { reason } => report.remaining.push(Remaining {
                rule: verdict.rule.to_owned(),
                severity: rule(verdict.rule)
                    .map(|rule| rule.severity)
                    .unwrap_or_default(),
                object,
                container,
                reason: reason.clone(),
            }),
            Outcome::Waived(waiver) => report.waived.push(Waived {
                rule: verdict.rule.to_owned(),
                object,
                container,
                reason: waiver.reason.clone(),
                expires: waiver.expires.clone(),
            }),
        }
    }
    report
        .remaining
        .sort_by(|a, b| (b.severity, &a.rule, &a.object).cmp(&(a.severity, &b.rule, &b.object)));
}

/// How each rule did: `looked_at` has the places each was about.
pub(super) fn tallies(
    verdicts: &[Verdict],
    looked_at: &BTreeMap<&'static str, usize>,
    level: Level,
    off: &BTreeSet<String>,
) -> Vec<RuleTally> {
    // Two checks of a rule can look at one place. The worse outcome is the rule's.
    let mut places: BTreeMap<(&str, String), u8> = BTreeMap::new();
    for verdict in verdicts {
        let badness = match verdict.outcome {
            Outcome::Fixed { .. } => 0,
            Outcome::Waived(_) => 1,
            Outcome::Unfixed { .. } => 2,
        };
        let worst = places
            .entry((verdict.rule, verdict.location()))
            .or_default();
        *worst = badness.max(*worst);
    }
    let count = |id: &str, badness: u8| {
        places
            .iter()
            .filter(|((rule, _), worst)| *rule == id && **worst == badness)
            .count()
    };
    rules()
        .filter(|rule| rule.level <= level)
        .map(|rule| RuleTally {
            rule: rule.id.to_owned(),
            off: off.contains(rule.id),
            looked_at: looked_at.get(rule.id).copied().unwrap_or_default(),
            fixed: count(rule.id, 0),
            open: count(rule.id, 2),
            waived: count(rule.id, 1),
        })
        .collect()
}

/// Counts places that break a rule; waived ones do not count.
pub(super) fn count(numbers: &mut Numbers, broken: &[Verdict]) {
    let mut places: Vec<(String, &str)> = broken
        .iter()
        .filter(|verdict| !matches!(verdict.outcome, Outcome::Waived(_)))
        .map(|verdict| (verdict.location(), verdict.rule))
        .collect();
    places.sort();
    places.dedup();
    for (_, id) in places {
        let severity = rule(id).map(|rule| rule.severity).unwrap_or_default();
        numbers.findings += 1;
        *numbers.by_severity.entry(severity).or_default() += 1;
        *numbers.by_rule.entry(id.to_owned()).or_default() += 1;
    }
}
