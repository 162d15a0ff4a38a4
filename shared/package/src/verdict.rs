//! Whether what was found is accepted: waivers and the gate.

use std::collections::BTreeMap;

use quench_model::{
    Cause, CauseKind, Finding, FindingKind, FindingState, Policy, Severity, Suppression, Waiver,
};

/// Kind a waiver names when it is for images; its `name` is then a pattern over the image's repository.
pub const IMAGE_KIND: &str = "Image";

/// Most findings that a refusal names; the rest are counted.
const NAMED: usize = 20;

/// Suppresses the open findings about images that a waiver of the policy covers, by the finding's id or any alias. A
/// waiver without `kind` and `name` covers its rule in every image.
///
/// Findings about the chart are left alone: their waivers act in the chart itself.
pub fn apply_waivers(findings: &mut [Finding], policy: &Policy) {
    for finding in findings.iter_mut().filter(|f| f.state.is_open()) {
        let Some(image) = finding.subject.image.as_deref() else {
            continue;
        };
        let covers = |waiver: &&Waiver| {
            std::iter::once(&finding.canonical_id)
                .chain(&finding.aliases)
                .any(|id| waiver.covers(id, IMAGE_KIND, image, None))
        };
        let Some(waiver) = policy.waivers.iter().find(covers) else {
            continue;
        };
        finding.state = FindingState::Suppressed;
        finding.suppression = Some(Suppression {
            reason: waiver.reason.clone(),
            expires: waiver.expires.clone(),
        });
        let epoch = finding.cause.take().and_then(|cause| cause.epoch);
        finding.cause = Some(Cause {
            kind: CauseKind::Waiver,
            detail: format!("waiver for {}", waiver.rule),
            epoch,
        });
    }
}

/// Why the policy's gate refuses a package with these findings; nothing when it does not. A gate that is not enforced
/// is asked all the same, so that its answer can be told.
pub fn refusal(findings: &[Finding], policy: &Policy) -> Option<String> {
    let gate = &policy.gate;
    let mut groups: BTreeMap<u8, (String, Vec<&Finding>)> = BTreeMap::new();
    for finding in findings.iter().filter(|f| f.state.is_open()) {
        let known_exploited = finding
            .cause
            .as_ref()
            .is_some_and(|cause| cause.kind == CauseKind::Kev);
        let (order, what) = if gate.kinds.contains(&finding.kind) {
            (0, finding.kind.name().to_owned())
        } else if finding.kind == FindingKind::Vulnerability && gate.kev && known_exploited {
            (1, "known exploited".to_owned())
        } else if finding.kind == FindingKind::Vulnerability
            && finding.severity >= gate.severity
            && (finding.fixed_version.is_some() || !gate.fixable_only)
        {
            let fix = if gate.fixable_only { " with a fix" } else { "" };
            (2, format!("{} or worse{fix}", gate.severity))
        } else if finding.kind == FindingKind::Completeness
            && gate.unchecked
            && finding.severity >= Severity::Medium
        {
            (3, "not checked".to_owned())
        } else {
            continue;
        };
        groups
            .entry(order)
            .or_insert((what, Vec::new()))
            .1
            .push(finding);
    }
    if groups.is_empty() {
        return None;
    }
    let told: Vec<String> = groups
        .into_values()
        .map(|(what, found)| {
            let named: Vec<&str> = found.iter().take(NAMED).map(|f| f.title.as_str()).collect();
            let more = match found.len().saturating_sub(NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{} {what}: {}{more}", found.len(), named.join(", "))
        })
        .collect();
    Some(format!(
        "the policy's gate refuses {}; fix them, waive them with a reason, or change the gate",
        told.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use quench_model::{Gate, Level, Subject};

    fn finding(kind: FindingKind, id: &str, severity: Severity, fixed: Option<&str>) -> Finding {
        let subject = Subject {
            package: "demo".parse().unwrap(),
            image: Some("registry.example.org/demo/nginx".into()),
            purl: Some("pkg:deb/debian/openssl@3".into()),
            location: None,
        };
        let title = format!("{id} in openssl 3");
        let mut finding = Finding::opened(kind, id, subject, severity, Level::Secured, title);
        finding.fixed_version = fixed.map(Into::into);
        finding.aliases = vec![format!("ALIAS-{id}")];
        finding
    }

    fn waiver(rule: &str, name: Option<&str>) -> Policy {
        Policy {
            waivers: vec![Waiver {
                rule: rule.into(),
                kind: None,
                name: name.map(Into::into),
                container: None,
                reason: "not reachable".into(),
                expires: Some("2027-01-31".into()),
            }],
            ..Policy::default()
        }
    }

    #[test]
    fn the_default_gate_refuses_what_is_critical_and_has_a_fix() {
        let policy = Policy::default();
        let refused = |finding| refusal(&[finding], &policy);
        use FindingKind::{Completeness, Malware, Secret, Vulnerability};
        let reason = refused(finding(
            Vulnerability,
            "CVE-1",
            Severity::Critical,
            Some("4"),
        ));
        assert!(reason.unwrap().contains("CVE-1"));
        assert_eq!(
            refused(finding(Vulnerability, "CVE-1", Severity::Critical, None)),
            None
        );
        assert_eq!(
            refused(finding(Vulnerability, "CVE-1", Severity::High, Some("4"))),
            None
        );
        assert!(refused(finding(Malware, "x", Severity::Unknown, None)).is_some());
        assert!(refused(finding(Secret, "x", Severity::Unknown, None)).is_some());
        assert_eq!(
            refused(finding(Completeness, "x", Severity::Medium, None)),
            None
        );
        let strict = Policy {
            gate: Gate {
                unchecked: true,
                ..Gate::default()
            },
            ..Policy::default()
        };
        assert!(
            refusal(
                &[finding(Completeness, "x", Severity::Medium, None)],
                &strict
            )
            .is_some()
        );
    }

    #[test]
    fn a_waiver_covers_its_vulnerability_by_any_name_and_only_in_its_images() {
        for (policy, waived) in [
            (waiver("CVE-1", None), true),
            (
                waiver("ALIAS-CVE-1", Some("registry.example.org/demo/*")),
                true,
            ),
            (waiver("CVE-1", Some("registry.example.org/other/*")), false),
            (waiver("CVE-2", None), false),
        ] {
            let mut findings = [finding(
                FindingKind::Vulnerability,
                "CVE-1",
                Severity::Critical,
                Some("4"),
            )];
            apply_waivers(&mut findings, &policy);
            assert_eq!(findings[0].state == FindingState::Suppressed, waived);
            assert_eq!(refusal(&findings, &policy).is_none(), waived);
            let reason = findings[0].suppression.as_ref().map(|s| s.reason.as_str());
            assert_eq!(reason, waived.then_some("not reachable"));
        }
    }
}
