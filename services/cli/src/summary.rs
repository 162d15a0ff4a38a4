//! The numbers of a package, before and after.

use std::collections::BTreeMap;

use anyhow::Result;
use quench_content::Store;
use quench_image::{Image, platforms};
use quench_model::{
    Descriptor, Digest, Finding, FindingKind, FindingState, Level, Severity, media_type,
};
use quench_package::{Outcome, Package, attachments, current_findings};
use serde::Serialize;

use crate::style;

/// The numbers of a package, before and after.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// A row per image.
    pub images: Vec<ImageRow>,
    /// Configuration findings.
    pub configuration: Change,
    /// Whether vulnerabilities were looked for in every image; what was not is among `unchecked`.
    pub checked: bool,
    /// What nobody could look at, and why.
    pub unchecked: Vec<String>,
    /// What this version of the scanner does not look for at all.
    pub not_looked_for: Vec<String>,
    /// Open findings by severity, worst first.
    pub open: BTreeMap<String, usize>,
    /// Findings accepted by waivers.
    pub suppressed: usize,
}

/// A number before and after.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Change {
    /// In the original.
    pub before: usize,
    /// In this revision.
    pub after: usize,
}

/// Numbers of one image, over all its platforms.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRow {
    /// Reference as the chart has it.
    pub reference: String,
    /// Before.
    pub before: ImageNumbers,
    /// After.
    pub after: ImageNumbers,
    /// Vulnerabilities, when they were looked for.
    pub vulnerabilities: Option<Change>,
}

/// Numbers of one state of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageNumbers {
    /// Bytes of its layers as they are stored.
    pub packed_bytes: u64,
    /// Bytes of its files.
    pub bytes: u64,
    /// Files and links.
    pub files: u64,
    /// Installed packages, when it was catalogued.
    pub packages: Option<usize>,
}

impl Summary {
    /// The summary of a revision, from it and the revisions it was made from (newest first).
    ///
    /// # Errors
    /// When an image or attachment cannot be read.
    pub async fn of(store: &Store, lineage: &[Package]) -> Result<Self> {
        let (Some(now), Some(first)) = (lineage.first(), lineage.last()) else {
            anyhow::bail!("a package without revisions has no summary");
        };
        let findings = current_findings(store, now).await?;
        let packages = package_counts(store, lineage).await?;
        let scanned = now.level >= Level::Secured;
        let mut images = Vec::new();
        for image in &now.images {
            let original = first
                .images
                .iter()
                .find(|i| i.reference == image.reference)
                .unwrap_or(image);
            images.push(ImageRow {
                reference: image.reference.to_string(),
                before: numbers(store, &original.descriptor, &packages).await?,
                after: numbers(store, &image.descriptor, &packages).await?,
                vulnerabilities: scanned.then(|| {
                    let name = image.reference.name();
                    count(&findings, |f| {
                        f.kind == FindingKind::Vulnerability
                            && f.subject.image.as_deref() == Some(&name)
                    })
                }),
            });
        }
        let unchecked: Vec<String> = findings
            .iter()
            .filter(|f| f.kind == FindingKind::Completeness && f.state.is_open())
            .map(|f| f.title.clone())
            .collect();
        let mut open = BTreeMap::new();
        for severity in Severity::ALL.into_iter().rev() {
            let number = findings
                .iter()
                .filter(|f| f.state.is_open() && f.severity == severity)
                .count();
            if number > 0 {
                open.insert(severity.to_string(), number);
            }
        }
        Ok(Self {
            images,
            configuration: count(&findings, |f| f.kind == FindingKind::Configuration),
            checked: scanned && unchecked.is_empty(),
            unchecked,
            not_looked_for: not_looked_for(store, lineage).await?,
            open,
            suppressed: findings
                .iter()
                .filter(|f| f.state == FindingState::Suppressed)
                .count(),
        })
    }

    /// Prints the summary for people.
    pub fn print(&self) {
        if !self.images.is_empty() {
            let mut table =
                style::table(&["image", "size", "files", "packages", "vulnerabilities"]);
            for row in &self.images {
                table.add_row([
                    row.reference.clone(),
                    arrow(
                        &style::bytes(row.before.bytes),
                        &style::bytes(row.after.bytes),
                    ),
                    arrow(&row.before.files, &row.after.files),
                    arrow(&packages(&row.before), &packages(&row.after)),
                    match row.vulnerabilities {
                        Some(change) if self.checked => arrow(&change.before, &change.after),
                        // A number that does not cover everything must not look like one that does.
                        Some(change) => style::paint(
                            style::UNSURE,
                            format!("{} (not all checked)", arrow(&change.before, &change.after)),
                        ),
                        None => style::paint(style::UNSURE, "not checked"),
                    },
                ]);
            }
            anstream::println!("{}\n", style::lines(&table));
        }
        anstream::println!(
            "{}  {}",
            style::paint(style::BOLD, "configuration findings"),
            arrow(&self.configuration.before, &self.configuration.after)
        );
        let open: Vec<String> = Severity::ALL
            .into_iter()
            .rev()
            .filter_map(|severity| {
                let number = self.open.get(severity.name())?;
                Some(style::paint(
                    style::severity(severity),
                    format!("{number} {severity}"),
                ))
            })
            .collect();
        let open = if open.is_empty() {
            "none".to_owned()
        } else {
            open.join(", ")
        };
        anstream::println!(
            "{}           {open}{}",
            style::paint(style::BOLD, "open findings"),
            match self.suppressed {
                0 => String::new(),
                number => format!(", {number} waived"),
            }
        );
        if !self.not_looked_for.is_empty() {
            anstream::println!(
                "{}          {}",
                style::paint(style::UNSURE, "not looked for"),
                self.not_looked_for.join(", ")
            );
        }
        for reason in &self.unchecked {
            anstream::println!(
                "{}             {reason}",
                style::paint(style::UNSURE, "not checked")
            );
        }
    }

    /// One line about what a level found.
    ///
    /// # Errors
    /// When an image or attachment cannot be read.
    pub async fn headline(store: &Store, outcome: &Outcome) -> Result<String> {
        let package = &outcome.package;
        let findings = &outcome.findings;
        let here = |kind: FindingKind| count(findings, |f| f.kind == kind);
        Ok(match package.level {
            Level::Integrated => {
                let mut packed = 0;
                for image in &package.images {
                    packed += packed_bytes(store, &image.descriptor).await?;
                }
                format!(
                    "chart {} {}, {} by digest, {}",
                    package.name,
                    package.version,
                    style::count(package.images.len(), "image", "images"),
                    style::bytes(packed)
                )
            }
            Level::Configured => {
                let change = here(FindingKind::Configuration);
                format!(
                    "configuration findings {}",
                    arrow(&change.before, &change.after)
                )
            }
            Level::Secured => {
                let unchecked = here(FindingKind::Completeness).after;
                let note = match unchecked {
                    0 => String::new(),
                    _ => format!(
                        ", {}",
                        style::paint(
                            style::UNSURE,
                            style::count(unchecked, "thing not checked", "things not checked")
                        )
                    ),
                };
                let open = here(FindingKind::Vulnerability).after;
                format!(
                    "{}{note}",
                    style::count(open, "vulnerability", "vulnerabilities")
                )
            }
            Level::Operable => format!(
                "{} about licences",
                style::count(here(FindingKind::Licence).after, "finding", "findings")
            ),
            Level::Minimized => {
                let (mut before, mut after) = (0, 0);
                let lineage = package.lineage(store).await?;
                let first = lineage.last().unwrap_or(package);
                for (sum, revision) in [(&mut before, first), (&mut after, package)] {
                    for image in &revision.images {
                        *sum += numbers(store, &image.descriptor, &BTreeMap::new())
                            .await?
                            .bytes;
                    }
                }
                let vulnerabilities = here(FindingKind::Vulnerability);
                format!(
                    "{}, vulnerabilities {}",
                    arrow(&style::bytes(before), &style::bytes(after)),
                    arrow(&vulnerabilities.before, &vulnerabilities.after)
                )
            }
        })
    }
}

fn packages(numbers: &ImageNumbers) -> String {
    numbers
        .packages
        .map_or_else(|| "unknown".to_owned(), |number| number.to_string())
}

/// `a → b`, or just `a` where nothing changed.
pub fn arrow(before: &impl ToString, after: &impl ToString) -> String {
    let (before, after) = (before.to_string(), after.to_string());
    if before == after {
        after
    } else {
        format!("{before} → {after}")
    }
}

/// How many findings there were of what `wanted` picks, and how many are open now.
fn count(findings: &[Finding], wanted: impl Fn(&Finding) -> bool) -> Change {
    let picked = || findings.iter().filter(|f| wanted(f));
    Change {
        before: picked().count(),
        after: picked().filter(|f| f.state.is_open()).count(),
    }
}

async fn numbers(
    store: &Store,
    image: &Descriptor,
    packages: &BTreeMap<Digest, usize>,
) -> Result<ImageNumbers> {
    let mut numbers = ImageNumbers {
        packed_bytes: packed_bytes(store, image).await?,
        packages: packages.get(&image.digest).copied(),
        ..ImageNumbers::default()
    };
    for platform in platforms(store, image).await? {
        let contents = Image::open(store, &platform).await?.contents();
        numbers.bytes += contents.bytes;
        numbers.files += contents.files;
        if let Some(count) = packages.get(&platform.digest) {
            let sum = numbers.packages.unwrap_or_default();
            if platform.digest != image.digest {
                numbers.packages = Some(sum + count);
            }
        }
    }
    Ok(numbers)
}

async fn packed_bytes(store: &Store, image: &Descriptor) -> Result<u64> {
    let mut sum = 0;
    for platform in platforms(store, image).await? {
        let manifest = store.manifest(&platform).await?;
        sum += manifest.layers.iter().map(|layer| layer.size).sum::<u64>();
    }
    Ok(sum)
}

/// What the scanner's report says it does not look for.
async fn not_looked_for(store: &Store, lineage: &[Package]) -> Result<Vec<String>> {
    /// The one field of a scan report that is needed here.
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct ScanReport {
        not_looked_for: Vec<String>,
    }
    const LIMIT: u64 = 64 << 20;
    for revision in lineage.iter().filter(|p| p.level == Level::Secured) {
        let kind = Some(media_type::REPORT);
        let reports = attachments(store, &revision.revision.digest, kind).await?;
        if let Some(report) = reports.first() {
            let report: ScanReport = store.read_json(&report.document, LIMIT).await?;
            return Ok(report.not_looked_for);
        }
    }
    Ok(Vec::new())
}

/// Installed packages by image digest, from the package indexes attached to the revisions.
async fn package_counts(store: &Store, lineage: &[Package]) -> Result<BTreeMap<Digest, usize>> {
    /// The one field of a package index that is needed here.
    #[derive(serde::Deserialize)]
    struct PackageIndex {
        packages: Vec<serde::de::IgnoredAny>,
    }
    const LIMIT: u64 = 512 << 20;
    let mut counts = BTreeMap::new();
    for revision in lineage {
        let kind = Some(media_type::PACKAGE_INDEX);
        for attachment in attachments(store, &revision.revision.digest, kind).await? {
            if let Some(image) = attachment.image {
                let index: PackageIndex = store.read_json(&attachment.document, LIMIT).await?;
                counts.insert(image, index.packages.len());
            }
        }
    }
    Ok(counts)
}
