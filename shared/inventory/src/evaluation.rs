//! What is known to be wrong with an image's software: its inventory seen under an advisory epoch.

use std::collections::{BTreeMap, HashMap};

use quench_advisories::{Epoch, Match, Unchecked, UncheckedReason};
use quench_model::{
    Cause, CauseKind, Digest, Evidence, Finding, FindingKind, Level, PackageName, Severity, Subject,
};

use crate::{InstalledPackage, Inventory, ProblemKind};

/// What an evaluation is made for: these go into the findings, not into what is found.
#[derive(Debug, Clone, Copy)]
pub struct Evaluation<'a> {
    /// Package the image belongs to.
    pub package: &'a PackageName,
    /// The image's repository (`registry/repository`), without tag: [`quench_model::ImageReference::name`].
    pub image: &'a str,
    /// Level that evaluates.
    pub level: Level,
    /// Why it is evaluated: scanned, scanned again, new advisories.
    pub cause: CauseKind,
}

/// Findings of one inventory: its vulnerabilities under `epoch`, and everything that could not be looked at. Sorted by id,
/// each id once. Without an epoch nothing is checked, and that is a finding as well.
///
/// Reads the epoch's files: call it from a blocking thread.
///
/// # Errors
/// When the epoch cannot be read.
pub fn evaluate(
    inventory: &Inventory,
    epoch: Option<&Epoch>,
    evaluation: &Evaluation<'_>,
) -> Result<Vec<Finding>, quench_advisories::Error> {
    let digest = epoch.map(|epoch| epoch.digest().clone());
    let mut findings = Vec::new();
    match epoch {
        Some(epoch) => {
            let matches = epoch.matches(&inventory.components())?;
            let packages: HashMap<&str, &InstalledPackage> = inventory
                .packages
                .iter()
                .map(|package| (package.purl.as_str(), package))
                .collect();
            for found in &matches.matches {
                let package = packages.get(found.component.purl.as_str()).copied();
                findings.push(evaluation.vulnerability(package, found, digest.as_ref()));
            }
            findings.extend(evaluation.unchecked(&matches.unchecked, digest.as_ref()));
        }
        None if !inventory.packages.is_empty() => findings.push(evaluation.completeness(
            "no-advisories",
            None,
            Severity::Medium,
            "no advisories given",
            format!(
                "{} packages were not checked for vulnerabilities; give advisories",
                inventory.packages.len()
            ),
            None,
        )),
        None => {}
    }
    for problem in &inventory.problems {
        let (severity, title) = described(problem.kind);
        findings.push(evaluation.completeness(
            problem.kind.name(),
            problem.path.as_deref(),
            severity,
            title,
            problem.reason.clone(),
            digest.as_ref(),
        ));
    }
    let by_id: BTreeMap<_, _> = findings.into_iter().map(|f| (f.id.clone(), f)).collect();
    Ok(by_id.into_values().collect())
}

fn described(kind: ProblemKind) -> (Severity, &'static str) {
    match kind {
        ProblemKind::NoPackageDatabase => (Severity::Medium, "software could not be catalogued"),
        ProblemKind::BrokenPackageDatabase => (Severity::Medium, "package database is damaged"),
        ProblemKind::UnsupportedPackageDatabase => {
            (Severity::Medium, "package database cannot be read")
        }
        ProblemKind::UnknownDistribution => (Severity::Medium, "distribution is not known"),
        ProblemKind::UncataloguedLanguagePackages => {
            (Severity::Medium, "language packages are not catalogued")
        }
        ProblemKind::MissingFileList => (Severity::Low, "files of packages are not recorded"),
        ProblemKind::UnownedPrograms => (Severity::Low, "programs belong to no package"),
    }
}

impl Evaluation<'_> {
    fn subject(&self, purl: Option<&str>, location: Option<&str>) -> Subject {
        Subject {
            package: self.package.clone(),
            image: Some(self.image.to_owned()),
            purl: purl.map(str::to_owned),
            location: location.map(str::to_owned),
        }
    }

    fn cause(&self, detail: String, epoch: Option<&Digest>) -> Cause {
        Cause {
            kind: self.cause,
            detail,
            epoch: epoch.cloned(),
        }
    }

    fn vulnerability(
        &self,
        package: Option<&InstalledPackage>,
        found: &Match,
        epoch: Option<&Digest>,
    ) -> Finding {
        let component = &found.component;
        let mut finding = Finding::opened(
            FindingKind::Vulnerability,
            &found.id,
            self.subject(Some(&component.purl), None),
            found.severity,
            self.level,
            format!("{} in {} {}", found.id, component.name, component.version),
        );
        let (name, version) = component.advised();
        let advice = match &found.fixed_version {
            Some(fixed) => format!("fixed in {name} {fixed}"),
            None => format!("no fixed version of {name} is known"),
        };
        finding.message = match found.summary.as_str() {
            "" => advice,
            summary => format!("{summary}; {advice}"),
        };
        finding.aliases.clone_from(&found.aliases);
        finding.fixed_version.clone_from(&found.fixed_version);
        finding.references.clone_from(&found.references);
        finding.cause = Some(self.cause(found.advisories.join(", "), epoch));
        if let Some(package) = package {
            finding.evidence.push(Evidence::new(
                &package.database,
                format!("{} {} is installed", package.name, package.version),
            ));
        }
        if (name, version) != (component.name.as_str(), component.version.as_str()) {
            finding.evidence.push(Evidence::new(
                &component.purl,
                format!("built from {name} {version}"),
            ));
        }
        for advisory in &found.advisories {
            finding.evidence.push(Evidence::new(
                advisory,
                format!("names {name} {version} as affected"),
            ));
        }
        if let Some(score) = &found.score {
            finding.evidence.push(Evidence::new(
                &score.vector,
                format!("CVSS base score {:.1}", score.score),
            ));
        }
        finding
    }

    /// One finding for each reason that several packages share, one for each package otherwise.
    fn unchecked(&self, unchecked: &[Unchecked], epoch: Option<&Digest>) -> Vec<Finding> {
        let mut shared: BTreeMap<&UncheckedReason, Vec<&str>> = BTreeMap::new();
        let mut findings = Vec::new();
        for one in unchecked {
            let component = &one.component;
            if let UncheckedReason::BadVersion(reason) = &one.reason {
                let mut finding = self.completeness(
                    "unreadable-version",
                    None,
                    Severity::Medium,
                    &format!("{} {} was not checked", component.name, component.version),
                    reason.clone(),
                    epoch,
                );
                finding.subject.purl = Some(component.purl.clone());
                finding.id = Finding::id_of(finding.kind, &finding.canonical_id, &finding.subject);
                findings.push(finding);
            } else {
                shared.entry(&one.reason).or_default().push(&component.name);
            }
        }
        for (reason, names) in shared {
            let (id, location) = match reason {
                UncheckedReason::NotCovered(ecosystem) => {
                    ("advisories-not-covering", Some(ecosystem.to_string()))
                }
                UncheckedReason::UnknownOrder(ecosystem) => {
                    ("unknown-version-order", Some(ecosystem.to_string()))
                }
                UncheckedReason::UnreadableAdvisory(id) => {
                    ("unreadable-advisory", Some(id.clone()))
                }
                UncheckedReason::UnknownEcosystem | UncheckedReason::BadVersion(_) => {
                    ("unknown-ecosystem", None)
                }
            };
            let examples: Vec<&str> = names.iter().take(5).copied().collect();
            findings.push(self.completeness(
                id,
                location.as_deref(),
                Severity::Medium,
                "packages were not checked for vulnerabilities",
                format!(
                    "{reason}: {} packages, such as {}",
                    names.len(),
                    examples.join(", ")
                ),
                epoch,
            ));
        }
        findings
    }

    fn completeness(
        &self,
        id: &str,
        location: Option<&str>,
        severity: Severity,
        title: &str,
        message: String,
        epoch: Option<&Digest>,
    ) -> Finding {
        let mut finding = Finding::opened(
            FindingKind::Completeness,
            id,
            self.subject(None, location),
            severity,
            self.level,
            format!("{title} in {}", self.image),
        );
        finding.message = message;
        finding.cause = Some(self.cause(String::new(), epoch));
        finding
    }
}
