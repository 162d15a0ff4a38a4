//! From answers of an epoch to findings.
//!
//! The scanner and whoever looks again when advisories change must say the same in the same words: the ids of findings
//! depend on it. So the words are here.

use std::collections::{BTreeMap, BTreeSet};

use quench_model::{
    Cause, CauseKind, Digest, Evidence, Finding, FindingKind, FindingState, Level, PackageName,
    Policy, Severity, Subject, Suppression,
};

use crate::{Component, Ecosystem, Match, Matches, UncheckedReason};

/// Canonical id of the finding that no advisories were there to check an image against.
pub const NO_ADVISORIES: &str = "no-advisories";
/// Start of the canonical ids of findings about what advisories could not check; what follows is the ecosystem.
const NOT_COVERED: &str = "advisories-not-covering:";
/// Canonical id of the finding that software is there for which no advisories are known of at all.
const NOT_KNOWN: &str = "advisories-not-known";
/// Canonical id of the finding that a package's version, or an advisory about it, cannot be read.
const NOT_COMPARABLE: &str = "version-not-comparable";

/// The image that findings are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundIn<'a> {
    /// Package whose revisions hold the image.
    pub package: &'a PackageName,
    /// Repository of the image (`registry/repository`), which makes the findings' ids.
    pub repository: &'a str,
    /// The image as the chart names it, told as evidence.
    pub reference: &'a str,
}

impl FoundIn<'_> {
    fn subject(&self, purl: Option<&str>) -> Subject {
        Subject {
            package: self.package.clone(),
            image: Some(self.repository.to_owned()),
            purl: purl.map(str::to_owned),
            location: None,
        }
    }

    fn finding(
        &self,
        kind: FindingKind,
        id: &str,
        purl: Option<&str>,
        severity: Severity,
        title: String,
    ) -> Finding {
        Finding::opened(
            kind,
            id,
            self.subject(purl),
            severity,
            Level::Secured,
            title,
        )
    }
}

/// Findings of one image: what was matched, and what could not be checked.
pub fn of_matches(place: FoundIn<'_>, matches: &Matches, epoch: &Digest) -> Vec<Finding> {
    let mut findings: Vec<Finding> = matches
        .matches
        .iter()
        .map(|found| of_match(place, found, epoch))
        .collect();
    let mut not_covered: BTreeMap<&Ecosystem, usize> = BTreeMap::new();
    let mut not_known: BTreeSet<&Component> = BTreeSet::new();
    for unchecked in &matches.unchecked {
        let component = &unchecked.component;
        match &unchecked.reason {
            UncheckedReason::UnknownEcosystem => {
                not_known.insert(component);
            }
            UncheckedReason::NotCovered(ecosystem) => {
                *not_covered.entry(ecosystem).or_default() += 1;
            }
            UncheckedReason::BadVersion(_)
            | UncheckedReason::UnreadableAdvisory(_)
            | UncheckedReason::UnknownOrder(_) => {
                let mut finding = place.finding(
                    FindingKind::Completeness,
                    NOT_COMPARABLE,
                    Some(&component.purl),
                    Severity::Unknown,
                    format!("{} cannot be checked against advisories", component.name),
                );
                finding.message = format!(
                    "{}; whether {} {} is affected is not known",
                    unchecked.reason, component.name, component.version
                );
                finding.cause = Some(scanned(String::new(), epoch));
                findings.push(finding);
            }
        }
    }
    for (ecosystem, count) in not_covered {
        findings.push(not_covering(place, ecosystem, count, epoch));
    }
    if !not_known.is_empty() {
        findings.push(unknown_kinds(place, not_known.len(), epoch));
    }
    findings
}

/// The finding of one match.
pub fn of_match(place: FoundIn<'_>, found: &Match, epoch: &Digest) -> Finding {
    let component = &found.component;
    let (advised, version) = component.advised();
    let title = if found.summary.is_empty() {
        format!("{} in {}", found.id, component.name)
    } else {
        found.summary.clone()
    };
    let mut finding = place.finding(
        FindingKind::Vulnerability,
        &found.id,
        Some(&component.purl),
        found.severity,
        title,
    );
    let built = if advised == component.name {
        String::new()
    } else {
        format!(" (built from {advised})")
    };
    finding.message = match &found.fixed_version {
        Some(fixed) => format!(
            "{} {version}{built} is affected; fixed in {fixed}",
            component.name
        ),
        None => format!(
            "{} {version}{built} is affected; no fix is known",
            component.name
        ),
    };
    finding.aliases.clone_from(&found.aliases);
    finding.fixed_version.clone_from(&found.fixed_version);
    finding.references.clone_from(&found.references);
    finding.evidence.push(Evidence::new(
        place.reference,
        format!("holds {}", component.purl),
    ));
    if let Some(score) = &found.score {
        finding.evidence.push(Evidence::new(
            "CVSS",
            format!("{:.1} {}", score.score, score.vector),
        ));
    }
    finding.cause = Some(scanned(found.advisories.join(" "), epoch));
    finding
}

/// The finding that an image was not checked at all, because no advisories were given.
pub fn without_advisories(place: FoundIn<'_>) -> Finding {
    let mut finding = place.finding(
        FindingKind::Completeness,
        NO_ADVISORIES,
        None,
        Severity::Unknown,
        "not checked for vulnerabilities".to_owned(),
    );
    finding.message =
        "no advisories were there to check it against; import some and scan again".to_owned();
    finding
}

/// The finding that an image holds software of an ecosystem or release the epoch does not speak of.
pub fn not_covering(
    place: FoundIn<'_>,
    ecosystem: &Ecosystem,
    packages: usize,
    epoch: &Digest,
) -> Finding {
    let mut finding = place.finding(
        FindingKind::Completeness,
        &format!("{NOT_COVERED}{ecosystem}"),
        None,
        Severity::Unknown,
        format!("the advisories in use do not cover {ecosystem}"),
    );
    finding.message = format!(
        "{packages} packages were not checked; import advisories of {ecosystem}, or move to a release that still gets them"
    );
    finding.evidence.push(Evidence::new(
        place.reference,
        format!("holds {packages} packages of {ecosystem}"),
    ));
    finding.cause = Some(scanned(String::new(), epoch));
    finding
}

/// The finding that an image holds software nobody publishes advisories of in a form that can be read.
pub fn unknown_kinds(place: FoundIn<'_>, packages: usize, epoch: &Digest) -> Finding {
    let mut finding = place.finding(
        FindingKind::Completeness,
        NOT_KNOWN,
        None,
        Severity::Unknown,
        "some packages belong to no ecosystem with known advisories".to_owned(),
    );
    finding.message = format!(
        "{packages} packages were not checked: their kind or distribution release has no known advisories"
    );
    finding.cause = Some(scanned(String::new(), epoch));
    finding
}

/// Whether a finding says what an epoch found, or could not check: another epoch may change it, and nothing else does.
pub fn depends_on_epoch(finding: &Finding) -> bool {
    match finding.kind {
        FindingKind::Vulnerability => true,
        FindingKind::Completeness => {
            let id = finding.canonical_id.as_str();
            matches!(id, NO_ADVISORIES | NOT_KNOWN | NOT_COMPARABLE) || id.starts_with(NOT_COVERED)
        }
        _ => false,
    }
}

/// Makes one finding of those with one id (the same software in two versions of an image): the worst counts, the evidence of
/// all is kept. Sorted by id.
pub fn merged(findings: Vec<Finding>) -> Vec<Finding> {
    let mut by_id: BTreeMap<_, Finding> = BTreeMap::new();
    for finding in findings {
        let Some(kept) = by_id.get_mut(&finding.id) else {
            by_id.insert(finding.id.clone(), finding);
            continue;
        };
        // A severity and a fix belong together, so the worse finding lends both; the order of images does not matter.
        let rank = |f: &Finding| (f.severity, f.fixed_version.is_none(), f.message.clone());
        let (worse, other) = if rank(&finding) > rank(kept) {
            let other = std::mem::replace(kept, finding);
            (kept, other)
        } else {
            (kept, finding)
        };
        for evidence in other.evidence {
            if !worse.evidence.contains(&evidence) {
                worse.evidence.push(evidence);
            }
        }
        worse
            .evidence
            .sort_by(|a, b| (&a.source, &a.fact).cmp(&(&b.source, &b.fact)));
    }
    by_id.into_values().collect()
}

/// Suppresses an open vulnerability that the policy accepts by any of its names. Waivers that name an object of the chart do not
/// speak of images and do not count here.
pub fn waived(mut finding: Finding, policy: &Policy) -> Finding {
    if finding.kind != FindingKind::Vulnerability || !finding.state.is_open() {
        return finding;
    }
    let waiver = policy.waivers.iter().find(|waiver| {
        waiver.kind.is_none()
            && waiver.name.is_none()
            && waiver.container.is_none()
            && (waiver.rule == finding.canonical_id || finding.aliases.contains(&waiver.rule))
    });
    if let Some(waiver) = waiver {
        finding.state = FindingState::Suppressed;
        finding.suppression = Some(Suppression {
            reason: waiver.reason.clone(),
            expires: waiver.expires.clone(),
        });
    }
    finding
}

fn scanned(detail: String, epoch: &Digest) -> Cause {
    Cause {
        kind: CauseKind::Scan,
        detail,
        epoch: Some(epoch.clone()),
    }
}
