//! What changed between two states of a package's findings.

use std::collections::BTreeMap;

use quench_model::{Cause, CauseKind, Finding, FindingId, FindingState, Level};
use quench_proto::v1::{AffectedPackage, FindingEvent};

/// The events that tell subscribers how the findings changed at `level`.
///
/// `before` are the findings the level was given, `last_time` those it gave in the package's run before (so that a second run
/// does not open everything again, and what it no longer finds is resolved), `now` those it gives.
pub fn changes(
    level: Level,
    before: &[Finding],
    last_time: &[Finding],
    now: &[Finding],
    affected: &AffectedPackage,
) -> Vec<FindingEvent> {
    // What the level was given is nearer than what it said some time ago.
    let mut known: BTreeMap<&FindingId, &Finding> = last_time
        .iter()
        .filter(|finding| finding.level == level)
        .map(|finding| (&finding.id, finding))
        .collect();
    known.extend(before.iter().map(|finding| (&finding.id, finding)));
    let mut events = Vec::new();
    for finding in now {
        let previous = known.remove(&finding.id);
        if let Some(event) = change(finding, previous, affected) {
            events.push(event);
        }
    }
    for gone in known.into_values() {
        if gone.level == level && is_present(gone.state) {
            let resolved = gone.clone().into_state(
                FindingState::Resolved,
                Cause {
                    kind: CauseKind::Rescan,
                    detail: "no longer found".to_owned(),
                    epoch: None,
                },
            );
            events.push(FindingEvent::of(
                &resolved,
                Some(gone.state),
                vec![affected.clone()],
            ));
        }
    }
    events
}

fn change(
    finding: &Finding,
    previous: Option<&Finding>,
    affected: &AffectedPackage,
) -> Option<FindingEvent> {
    let Some(previous) = previous else {
        // What was put right before anybody heard of it is no news.
        return is_present(finding.state)
            .then(|| FindingEvent::of(finding, None, vec![affected.clone()]));
    };
    let same_state =
        finding.state == previous.state || (finding.state.is_open() && previous.state.is_open());
    if same_state
        && finding.severity == previous.severity
        && finding.fixed_version == previous.fixed_version
    {
        return None;
    }
    let mut told = finding.clone();
    if finding.state.is_open() {
        told.state = if previous.state.is_open() {
            FindingState::Updated
        } else {
            FindingState::Reopened
        };
    }
    let mut event = FindingEvent::of(&told, Some(previous.state), vec![affected.clone()]);
    if finding.severity != previous.severity {
        event.previous_severity = quench_proto::v1::Severity::from(previous.severity).into();
    }
    Some(event)
}

fn is_present(state: FindingState) -> bool {
    state != FindingState::Resolved
}

#[cfg(test)]
mod tests {
    use quench_model::{FindingKind, Severity, Subject};
    use quench_proto::v1;

    use super::*;

    fn finding(id: &str, level: Level, severity: Severity) -> Finding {
        let subject = Subject {
            package: "demo".parse().unwrap(),
            image: None,
            purl: None,
            location: None,
        };
        Finding::opened(FindingKind::Configuration, id, subject, severity, level, id)
    }

    fn states(events: &[FindingEvent]) -> Vec<(&str, v1::FindingState, v1::FindingState)> {
        events
            .iter()
            .map(|e| (e.canonical_id.as_str(), e.previous_state(), e.state()))
            .collect()
    }

    #[test]
    fn only_changes_are_told() {
        let affected = AffectedPackage::default();
        let level = Level::Secured;
        let old = finding("old", Level::Configured, Severity::Low);
        let new = finding("new", level, Severity::High);
        let fixed = old.clone().into_state(
            FindingState::Resolved,
            Cause {
                kind: CauseKind::Patched,
                detail: String::new(),
                epoch: None,
            },
        );
        let now = [fixed.clone(), new.clone()];
        let events = changes(level, std::slice::from_ref(&old), &[], &now, &affected);
        use v1::FindingState::{Opened, Resolved, Unspecified, Updated};
        assert_eq!(
            states(&events),
            [("old", Opened, Resolved), ("new", Unspecified, Opened)]
        );
        // The same run again, with what it said the first time known: nothing is news.
        assert!(changes(level, &now, &now, &now, &affected).is_empty());
        // A later run: `new` got worse, `gone` is no longer found, findings of other levels are not this one's to end.
        let gone = finding("gone", level, Severity::Low);
        let other = finding("other", Level::Operable, Severity::Low);
        let worse = Finding {
            severity: Severity::Critical,
            ..new.clone()
        };
        let events = changes(level, &[], &[new, gone, other], &[worse], &affected);
        assert_eq!(
            states(&events),
            [("new", Opened, Updated), ("gone", Opened, Resolved)]
        );
        assert_eq!(events[0].previous_severity(), v1::Severity::High);
    }
}
