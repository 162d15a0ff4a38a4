//! From the findings a revision has to those it should have.

use std::collections::{BTreeMap, BTreeSet};

use quench_model::{Cause, Digest, Finding, FindingId, FindingKind, FindingState, Severity};
use serde::Serialize;

/// A finding whose state changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingChange {
    /// Revision whose finding it is.
    pub revision: Digest,
    /// State before; nothing for a finding that was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<FindingState>,
    /// The finding in its new state, with the cause.
    pub finding: Finding,
}

/// Canonical id of the finding that a package could not be looked at again.
pub(crate) const NOT_LOOKED_AT_AGAIN: &str = "not-looked-at-again";

/// Whether a finding says what an epoch tells or cannot tell about an image: another epoch may change it. Everything else in a
/// revision's findings is left alone.
pub(crate) fn depends_on_epoch(finding: &Finding) -> bool {
    if finding.subject.image.is_none() {
        return finding.canonical_id == NOT_LOOKED_AT_AGAIN;
    }
    match finding.kind {
        FindingKind::Vulnerability => true,
        FindingKind::Completeness => matches!(
            finding.canonical_id.as_str(),
            "no-advisories"
                | "advisories-not-covering"
                | "unreadable-version"
                | "unreadable-advisory"
                | "unknown-ecosystem"
                | "unknown-version-order"
        ),
        _ => false,
    }
}

/// Findings by id; the same thing in two tags or platforms of an image is one finding with the evidence of both.
pub(crate) fn merged(findings: impl IntoIterator<Item = Finding>) -> BTreeMap<FindingId, Finding> {
    let mut by_id: BTreeMap<FindingId, Finding> = BTreeMap::new();
    for finding in findings {
        let Some(known) = by_id.get_mut(&finding.id) else {
            by_id.insert(finding.id.clone(), finding);
            continue;
        };
        for evidence in finding.evidence {
            if !known.evidence.contains(&evidence) {
                known.evidence.push(evidence);
            }
        }
        if !known.message.contains(&finding.message) {
            known.message = format!("{}; {}", known.message, finding.message);
        }
        known.severity = known.severity.max(finding.severity);
    }
    by_id
}

/// What decides whether a finding that stays is told as updated. Better words alone are no news.
fn facts(finding: &Finding) -> (Severity, Option<&str>, BTreeSet<&str>) {
    (
        finding.severity,
        finding.fixed_version.as_deref(),
        finding.aliases.iter().map(String::as_str).collect(),
    )
}

/// The findings a revision has from now on, and those whose state changes.
pub(crate) struct Transition {
    pub(crate) findings: Vec<Finding>,
    pub(crate) changes: Vec<FindingChange>,
    /// Whether the findings are others than before, be it only in facts of suppressed ones.
    pub(crate) differs: bool,
}

/// Goes from what is stored to what is found now. `cause` gives the cause of a finding's change, from its old and new form.
pub(crate) fn transition(
    revision: &Digest,
    stored: Vec<Finding>,
    mut found: BTreeMap<FindingId, Finding>,
    cause: impl Fn(Option<&Finding>, Option<&Finding>) -> Cause,
) -> Transition {
    let mut result = Transition {
        findings: Vec::new(),
        changes: Vec::new(),
        differs: false,
    };
    for old in stored {
        if !depends_on_epoch(&old) {
            result.findings.push(old);
            continue;
        }
        let previous = Some(old.state);
        let new = match found.remove(&old.id) {
            None if old.state == FindingState::Resolved => {
                result.findings.push(old);
                continue;
            }
            None => {
                let why = cause(Some(&old), None);
                old.into_state(FindingState::Resolved, why)
            }
            Some(new) if old.state == FindingState::Resolved => {
                let why = cause(Some(&old), Some(&new));
                if new.state == FindingState::Suppressed {
                    new
                } else {
                    new.into_state(FindingState::Reopened, why)
                }
            }
            Some(mut new) if old.state == FindingState::Suppressed => {
                // It stays accepted: what was accepted is the vulnerability, whatever is learned of it.
                new.state = old.state;
                new.suppression.clone_from(&old.suppression);
                new.cause.clone_from(&old.cause);
                result.differs |= facts(&old) != facts(&new);
                result
                    .findings
                    .push(if facts(&old) == facts(&new) { old } else { new });
                continue;
            }
            Some(new) if new.state == FindingState::Suppressed => new,
            Some(new) if facts(&old) == facts(&new) => {
                result.findings.push(old);
                continue;
            }
            Some(new) => {
                let why = cause(Some(&old), Some(&new));
                new.into_state(FindingState::Updated, why)
            }
        };
        result.tell(revision, previous, new);
    }
    for new in found.into_values() {
        let new = if new.state == FindingState::Suppressed {
            new
        } else {
            let why = cause(None, Some(&new));
            new.into_state(FindingState::Opened, why)
        };
        result.tell(revision, None, new);
    }
    result
}

impl Transition {
    fn tell(&mut self, revision: &Digest, previous: Option<FindingState>, finding: Finding) {
        self.differs = true;
        self.changes.push(FindingChange {
            revision: revision.clone(),
            previous,
            finding: finding.clone(),
        });
        self.findings.push(finding);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quench_model::{CauseKind, Level, Subject, Suppression};

    fn finding(id: &str, severity: Severity, state: FindingState) -> Finding {
        let subject = Subject {
            package: "demo".parse().unwrap(),
            image: Some("docker.io/library/nginx".into()),
            purl: Some("pkg:deb/debian/openssl@3?distro=debian-12".into()),
            location: None,
        };
        let kind = FindingKind::Vulnerability;
        let mut finding = Finding::opened(kind, id, subject, severity, Level::Secured, id);
        finding.state = state;
        finding
    }

    fn run(stored: Vec<Finding>, found: Vec<Finding>) -> Transition {
        transition(&Digest::of("revision"), stored, merged(found), |_, _| {
            Cause {
                kind: CauseKind::Advisory,
                detail: "why".into(),
                epoch: None,
            }
        })
    }

    #[test]
    fn every_pair_of_states_has_its_transition() {
        use FindingState::{Opened, Reopened, Resolved, Suppressed, Updated};
        let high = |state| finding("CVE-1", Severity::High, state);
        let low = |state| finding("CVE-1", Severity::Low, state);
        for (stored, found, expected) in [
            (None, Some(high(Opened)), Some((None, Opened))),
            (None, Some(high(Suppressed)), Some((None, Suppressed))),
            (Some(high(Opened)), None, Some((Some(Opened), Resolved))),
            (
                Some(high(Suppressed)),
                None,
                Some((Some(Suppressed), Resolved)),
            ),
            (Some(high(Resolved)), None, None),
            (
                Some(high(Resolved)),
                Some(high(Opened)),
                Some((Some(Resolved), Reopened)),
            ),
            (Some(high(Opened)), Some(high(Opened)), None),
            (
                Some(high(Updated)),
                Some(low(Opened)),
                Some((Some(Updated), Updated)),
            ),
            (Some(high(Suppressed)), Some(low(Opened)), None),
            (
                Some(high(Opened)),
                Some(high(Suppressed)),
                Some((Some(Opened), Suppressed)),
            ),
        ] {
            let told = format!("{stored:?} {found:?}");
            let result = run(stored.into_iter().collect(), found.into_iter().collect());
            let change = result.changes.first();
            let got = change.map(|change| (change.previous, change.finding.state));
            assert_eq!(got, expected, "{told}");
            assert_eq!(result.findings.len(), 1, "nothing is forgotten");
        }
    }

    #[test]
    fn what_no_epoch_decides_is_left_alone() {
        let mut other = finding("run-as-root", Severity::High, FindingState::Opened);
        other.kind = FindingKind::Configuration;
        let result = run(vec![other.clone()], Vec::new());
        assert_eq!(result.findings, [other]);
        assert!(!result.differs);
    }

    #[test]
    fn a_suppressed_finding_keeps_its_reason_and_learns_the_facts() {
        let mut old = finding("CVE-1", Severity::Low, FindingState::Suppressed);
        old.suppression = Some(Suppression {
            reason: "not reachable".into(),
            expires: None,
        });
        let new = finding("CVE-1", Severity::High, FindingState::Opened);
        let result = run(vec![old], vec![new]);
        let kept = &result.findings[0];
        assert_eq!(
            (kept.state, kept.severity),
            (FindingState::Suppressed, Severity::High)
        );
        assert_eq!(kept.suppression.as_ref().unwrap().reason, "not reachable");
        assert!(result.differs && result.changes.is_empty());
    }
}
