//! What there is to know about the images of a package, for people.

use std::collections::BTreeMap;

use anyhow::Result;
use quench_content::Store;
use quench_image::{Image, facts, platforms};
use quench_minimizer_engine::Report as MinimisationReport;
use quench_model::{FactsSource, ImageFacts, Level, Port, media_type};
use quench_package::{ImageOrigin, LockedImage, Package, attachments};

/// What there is to know about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDetail {
    /// Reference as the chart renders it.
    pub reference: String,
    /// Digest in the newest revision.
    pub digest: String,
    /// Digest it had where it came from.
    pub original: String,
    /// Where it came from.
    pub origin: String,
    /// Platforms, as `linux/amd64`.
    pub platforms: Vec<String>,
    /// User it runs as, by itself.
    pub user: String,
    /// Ports it says it listens on.
    pub ports: Vec<String>,
    /// How far it was minimised; empty when it was not.
    pub tier: String,
    /// Why it was not minimised further.
    pub tier_notes: Vec<String>,
    /// Where the chart names it.
    pub why: Vec<String>,
}

/// The images of the newest revision.
///
/// # Errors
/// When an image or attachment cannot be read.
pub async fn of(store: &Store, lineage: &[Package]) -> Result<Vec<ImageDetail>> {
    let Some(now) = lineage.first() else {
        return Ok(Vec::new());
    };
    let lock = now.load_lock(store).await?;
    let tiers = tiers(store, lineage).await?;
    let mut details = Vec::with_capacity(now.images.len());
    for image in &now.images {
        let reference = image.reference.to_string();
        let locked = lock.images.get(&reference);
        let mut names = Vec::new();
        let mut found = ImageFacts::default();
        for (index, platform) in platforms(store, &image.descriptor)
            .await?
            .into_iter()
            .enumerate()
        {
            let opened = Image::open(store, &platform).await?;
            names.extend(platform.platform.as_ref().map(ToString::to_string));
            if index == 0 {
                found = tokio::task::spawn_blocking(move || facts(&opened)).await?;
            }
        }
        if names.is_empty() {
            names.extend(
                locked
                    .into_iter()
                    .flat_map(|l| l.platforms.iter().map(ToString::to_string)),
            );
        }
        let (tier, tier_notes) = tiers.get(&reference).cloned().unwrap_or_default();
        details.push(ImageDetail {
            digest: image.descriptor.digest.to_string(),
            original: image.original.to_string(),
            origin: locked.map(origin).unwrap_or_default(),
            platforms: names,
            user: user(&found),
            ports: found.ports.iter().flatten().map(port).collect(),
            tier,
            tier_notes,
            why: locked.map(why).unwrap_or_default(),
            reference,
        });
    }
    Ok(details)
}

fn port(port: &Port) -> String {
    match port {
        Port::Number(number) => number.to_string(),
        Port::Text(text) => text.clone(),
    }
}

fn origin(locked: &LockedImage) -> String {
    match &locked.origin {
        ImageOrigin::Registry => "from its registry".to_owned(),
        ImageOrigin::Given => "given beside the chart".to_owned(),
        ImageOrigin::Matched(reason) => format!("given beside the chart: {reason}"),
    }
}

fn why(locked: &LockedImage) -> Vec<String> {
    locked
        .evidence
        .iter()
        .map(|place| {
            format!(
                "{}/{}/{} ({})",
                place.kind, place.name, place.container, place.template
            )
        })
        .collect()
}

fn user(facts: &ImageFacts) -> String {
    if facts.source != Some(FactsSource::Image) {
        return "not known".to_owned();
    }
    match (facts.uid, facts.user.as_deref()) {
        (Some(0), _) | (_, Some("")) => "root".to_owned(),
        (Some(uid), Some(name)) if name != uid.to_string() => format!("{uid} ({name})"),
        (Some(uid), _) => uid.to_string(),
        (None, Some(name)) => format!("{name}, which its files do not resolve"),
        (None, None) => "not known".to_owned(),
    }
}

/// How far each image was minimised, and why not further.
async fn tiers(
    store: &Store,
    lineage: &[Package],
) -> Result<BTreeMap<String, (String, Vec<String>)>> {
    const LIMIT: u64 = 512 << 20;
    let mut tiers = BTreeMap::new();
    for revision in lineage.iter().filter(|p| p.level == Level::Minimized) {
        let kind = Some(media_type::REPORT);
        for attachment in attachments(store, &revision.revision.digest, kind).await? {
            let report: MinimisationReport = store.read_json(&attachment.document, LIMIT).await?;
            for image in report.images {
                let tier = format!("{} {}", image.tier, image.tier_name);
                // Of several platforms the worst counts.
                let entry = tiers
                    .entry(image.reference)
                    .or_insert_with(|| (tier.clone(), image.fallbacks.clone()));
                if tier > entry.0 {
                    *entry = (tier, image.fallbacks);
                }
            }
        }
    }
    Ok(tiers)
}
