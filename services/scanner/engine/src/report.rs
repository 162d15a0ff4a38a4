//! The scan report: numbers for people, and what was not looked at.

use std::collections::BTreeMap;

use quench_inventory::FileCounts;
use quench_model::{Digest, Finding, FindingKind, Level, Severity};
use quench_package::PackageImage;
use serde::Serialize;

use crate::scan::PlatformScan;

/// What the scanner did and found. Attached to the revision.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Level that reports.
    pub level: Level,
    /// Version of the engine.
    pub engine: &'static str,
    /// Advisory epoch that was asked; none where none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Digest>,
    /// Ecosystems and releases the epoch speaks of.
    pub coverage: Vec<String>,
    /// Every image.
    pub images: Vec<ImageReport>,
    /// What the gate said.
    pub gate: GateReport,
    /// What this version does not look for: nothing is said about it, neither good nor bad.
    pub not_looked_for: Vec<String>,
}

impl Report {
    /// What this version does not look for.
    pub const NOT_LOOKED_FOR: [&str; 4] = [
        "malware",
        "secrets in files",
        "signatures and origin of images",
        "whether vulnerabilities are known to be exploited",
    ];
}

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GateReport {
    /// Whether its answer counts.
    pub enforced: bool,
    /// Why it refuses the package, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refusal: Option<String>,
}

/// One image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageReport {
    /// Reference as the chart renders it.
    pub reference: String,
    /// Digest in this revision.
    pub digest: Digest,
    /// Its platforms.
    pub platforms: Vec<PlatformReport>,
}

/// One platform of an image.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformReport {
    /// Platform.
    pub platform: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Distribution, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distribution: Option<String>,
    /// Number of packages.
    pub packages: usize,
    /// Files, and whose.
    pub files: FileCounts,
    /// Vulnerabilities that are open, by severity; severities with none are left out.
    pub vulnerabilities: BTreeMap<&'static str, usize>,
    /// Those among them that have a fixed version.
    pub fixable: usize,
    /// Vulnerabilities that a waiver accepts.
    pub waived: usize,
    /// What could not be checked, and why.
    pub unchecked: Vec<UncheckedReport>,
}

/// Something that could not be checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UncheckedReport {
    /// Name of the reason.
    pub id: String,
    /// The reason, for people.
    pub reason: String,
}

impl ImageReport {
    pub(crate) fn of(
        image: &PackageImage,
        platforms: &[PlatformScan],
        findings: &[Finding],
    ) -> Self {
        Self {
            reference: image.reference.to_string(),
            digest: image.descriptor.digest.clone(),
            platforms: platforms
                .iter()
                .map(|scan| PlatformReport::of(scan, findings))
                .collect(),
        }
    }
}

impl PlatformReport {
    /// `findings` are those of the package after waivers.
    fn of(scan: &PlatformScan, findings: &[Finding]) -> Self {
        let inventory = &scan.inventory;
        let states: BTreeMap<_, _> = findings
            .iter()
            .map(|finding| (&finding.id, finding.state))
            .collect();
        let mut report = Self {
            platform: inventory.platform.to_string(),
            digest: inventory.image.clone(),
            distribution: inventory.distribution.as_ref().map(|release| {
                if release.pretty_name.is_empty() {
                    release.distribution().to_string()
                } else {
                    release.pretty_name.clone()
                }
            }),
            packages: inventory.packages.len(),
            files: inventory.files,
            vulnerabilities: BTreeMap::new(),
            fixable: 0,
            waived: 0,
            unchecked: Vec::new(),
        };
        for finding in &scan.findings {
            let open = states.get(&finding.id).is_none_or(|state| state.is_open());
            match finding.kind {
                FindingKind::Vulnerability if open => {
                    *report
                        .vulnerabilities
                        .entry(Severity::name(finding.severity))
                        .or_default() += 1;
                    report.fixable += usize::from(finding.fixed_version.is_some());
                }
                FindingKind::Vulnerability => report.waived += 1,
                FindingKind::Completeness => report.unchecked.push(UncheckedReport {
                    id: finding.canonical_id.clone(),
                    reason: finding.message.clone(),
                }),
                _ => {}
            }
        }
        report
    }
}
