//! The licence inventory: under what licence everything in a package is, and where that is said.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use quench_chart::Chart;
use quench_inventory::{InstalledPackage, Inventory, Licence};
use quench_model::{
    Cause, CauseKind, Digest, Evidence, Finding, FindingKind, ImageReference, Level, Policy,
    Severity, Subject,
};
use quench_package::Package;
use serde::{Deserialize, Serialize};

/// Rule that asks for every package's licence to be known. A policy can switch it off.
pub const UNKNOWN: &str = "licence-unknown";

/// Where charts declare their licence: the annotation Artifact Hub defines.
const CHART_ANNOTATION: &str = "artifacthub.io/license";

/// Licences of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicenceInventory {
    /// The chart's own.
    pub chart: ChartLicence,
    /// Those of each image.
    pub images: Vec<ImageLicences>,
}

/// The inventory as it is attached to a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LicenceDocument {
    /// The chart's own licence.
    pub chart: ChartLicence,
    /// Licences of each image.
    pub images: Vec<ImageLicences>,
    /// How many packages are under each licence expression.
    pub summary: BTreeMap<String, usize>,
    /// How many packages' licence is not known.
    pub unknown: usize,
    /// Text to hand on with the package.
    pub notice: String,
}

/// The chart's licence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChartLicence {
    /// Name of the chart.
    pub name: String,
    /// Version of the chart.
    pub version: String,
    /// What is known.
    pub licence: Licence,
    /// Whether it is known.
    pub status: LicenceStatus,
}

/// Licences of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLicences {
    /// Reference as the chart renders it.
    pub reference: ImageReference,
    /// Digest in the revision.
    pub digest: Digest,
    /// Its platforms.
    pub platforms: Vec<PlatformLicences>,
}

/// Licences of one platform of an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlatformLicences {
    /// Platform.
    pub platform: String,
    /// Digest of its manifest.
    pub digest: Digest,
    /// Whether the image was catalogued whole: if not, there is software whose licence nobody asked for.
    pub complete: bool,
    /// Every package.
    pub packages: Vec<PackageLicence>,
}

/// Licence of an installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageLicence {
    /// Package URL.
    pub purl: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// What is known, and which file says so.
    pub licence: Licence,
    /// Whether it is known.
    pub status: LicenceStatus,
}

/// How well a licence is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LicenceStatus {
    /// An SPDX expression of licences on the SPDX list.
    Declared,
    /// An SPDX expression some of whose licences are not on the SPDX list; their text is where the source says.
    Unlisted,
    /// Nothing a machine can rely on. Not the same as *none*.
    Unknown,
}

impl LicenceStatus {
    fn of(licence: &Licence) -> Self {
        match &licence.expression {
            Some(expression) if expression.contains("LicenseRef-") => Self::Unlisted,
            Some(_) => Self::Declared,
            None => Self::Unknown,
        }
    }
}

/// The licence a chart declares.
pub fn of_chart(chart: &Chart) -> ChartLicence {
    let annotation = chart
        .metadata()
        .pointer("/annotations")
        .and_then(|annotations| annotations.get(CHART_ANNOTATION))
        .and_then(serde_json::Value::as_str)
        .map(str::trim)
        .filter(|text| !text.is_empty());
    let file = ["LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING"]
        .into_iter()
        .find(|path| chart.file(path).is_some());
    let licence = match (annotation, file) {
        (Some(text), _) => Licence::declared(text, &format!("Chart.yaml ({CHART_ANNOTATION})")),
        (None, Some(path)) => Licence {
            source: Some(path.to_owned()),
            ..Licence::default()
        },
        (None, None) => Licence::default(),
    };
    ChartLicence {
        name: chart.name().to_owned(),
        version: chart.version().to_owned(),
        status: LicenceStatus::of(&licence),
        licence,
    }
}

/// The licences an image's packages declare.
pub fn of_inventory(inventory: &Inventory) -> PlatformLicences {
    PlatformLicences {
        platform: inventory.platform.to_string(),
        digest: inventory.image.clone(),
        complete: inventory.is_complete(),
        packages: inventory.packages.iter().map(of_package).collect(),
    }
}

fn of_package(package: &InstalledPackage) -> PackageLicence {
    PackageLicence {
        purl: package.purl.clone(),
        name: package.name.clone(),
        version: package.version.clone(),
        status: LicenceStatus::of(&package.licence),
        licence: package.licence.clone(),
    }
}

impl LicenceInventory {
    /// Every package of every image.
    fn packages(&self) -> impl Iterator<Item = &PackageLicence> {
        self.images
            .iter()
            .flat_map(|image| &image.platforms)
            .flat_map(|platform| &platform.packages)
    }

    /// The inventory with its summary and notice.
    pub fn document(&self) -> LicenceDocument {
        let mut summary: BTreeMap<String, usize> = BTreeMap::new();
        for expression in self.packages().filter_map(|p| p.licence.expression.clone()) {
            *summary.entry(expression).or_default() += 1;
        }
        LicenceDocument {
            chart: self.chart.clone(),
            images: self.images.clone(),
            summary,
            unknown: self
                .packages()
                .filter(|package| package.status == LicenceStatus::Unknown)
                .count(),
            notice: self.notice(),
        }
    }

    /// What is to be handed on with the package: every piece of software, its licence, and where its text is.
    pub fn notice(&self) -> String {
        let mut text = String::new();
        let unknown = "licence not known";
        let chart = &self.chart;
        let licence = chart.licence.expression.as_deref().unwrap_or(unknown);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "Chart {} {}: {licence}", chart.name, chart.version);
        for image in &self.images {
            for platform in &image.platforms {
                let _ = writeln!(text, "\nImage {} ({})", image.reference, platform.platform);
                if !platform.complete {
                    text.push_str("  holds software that could not be catalogued\n");
                }
                for package in &platform.packages {
                    let licence = package.licence.expression.as_deref().unwrap_or(unknown);
                    let _ = write!(text, "  {} {}: {licence}", package.name, package.version);
                    if let Some(source) = &package.licence.source {
                        let _ = write!(text, " [{source}]");
                    }
                    text.push('\n');
                }
            }
        }
        text
    }
}

/// Findings about licences that are not known, one for each package and image, unless the policy switches the rule
/// [`UNKNOWN`] off.
pub fn findings(inventory: &LicenceInventory, package: &Package, policy: &Policy) -> Vec<Finding> {
    if !policy.rule_enabled(UNKNOWN) {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    let chart = &inventory.chart;
    if chart.status == LicenceStatus::Unknown {
        let subject = Subject {
            package: package.name.clone(),
            image: None,
            purl: None,
            location: Some("Chart.yaml".to_owned()),
        };
        let title = format!("licence of chart {} is not known", chart.name);
        let message = format!("declare it in Chart.yaml with the annotation {CHART_ANNOTATION}");
        found.push(unknown(subject, &chart.licence, title, message));
    }
    for image in &inventory.images {
        let repository = image.reference.name();
        let packages = image.platforms.iter().flat_map(|p| &p.packages);
        for one in packages.filter(|one| one.status == LicenceStatus::Unknown) {
            let subject = Subject {
                package: package.name.clone(),
                image: Some(repository.clone()),
                purl: Some(one.purl.clone()),
                location: None,
            };
            let title = format!("licence of {} {} is not known", one.name, one.version);
            let message = match (&one.licence.source, one.licence.declared.as_slice()) {
                (None, _) => "the image holds no statement about it".to_owned(),
                (Some(source), []) => format!("{source} states it in prose; read it there"),
                (Some(source), declared) => format!(
                    "{source} says {:?}, which is no SPDX expression",
                    declared.join(", ")
                ),
            };
            let finding = unknown(subject, &one.licence, title, message);
            if seen.insert(finding.id.clone()) {
                found.push(finding);
            }
        }
    }
    found
}

/// Low where nothing is said at all, information where people can read it up.
fn unknown(subject: Subject, licence: &Licence, title: String, message: String) -> Finding {
    let severity = if licence.source.is_some() {
        Severity::Info
    } else {
        Severity::Low
    };
    let mut finding = Finding::opened(
        FindingKind::Licence,
        UNKNOWN,
        subject,
        severity,
        Level::Operable,
        title,
    );
    finding.message = message;
    finding.cause = Some(Cause {
        kind: CauseKind::Scan,
        detail: String::new(),
        epoch: None,
    });
    if let Some(source) = &licence.source {
        let fact = match licence.mentions.as_slice() {
            [] => "no machine-readable licence".to_owned(),
            mentions => format!("mentions {}", mentions.join(", ")),
        };
        finding.evidence.push(Evidence::new(source, fact));
    }
    finding
}
