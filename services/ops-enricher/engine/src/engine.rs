//! The engine: a package at level 3 in, at level 4 out.

use std::collections::BTreeMap;
use std::time::Duration;

use quench_chart::render::Helm;
use quench_content::Store;
use quench_image::ImageError;
use quench_inventory::{CATALOGUER_VERSION, CatalogueError, Inventory, catalogue};
use quench_model::{Descriptor, Digest, Finding, FindingKind, Level, media_type};
use quench_package::{Context, EngineError, Outcome, Package, PackageImage, attachments, verdict};
use quench_rules::hardening::{self, Completed, HardeningLevel};

use crate::licences::{self, ImageLicences, LicenceInventory};

/// Changes whenever the same input would give another result.
pub const ENGINE_VERSION: &str = "5";

/// Most bytes of an image's package index: a hundred thousand packages with their files stay below.
const INDEX_LIMIT: u64 = 512 << 20;

/// Level 4.
#[derive(Debug, Clone)]
pub struct Engine {
    helm: Helm,
}

impl Engine {
    /// An engine that renders with `helm`.
    pub fn new(helm: Helm) -> Self {
        Self { helm }
    }

    /// Brings a package to [`Level::Operable`].
    ///
    /// # Errors
    /// When the chart or an image cannot be read, the chart cannot be shown to do what the rules say, or the store fails.
    pub async fn run(&self, input: &Package, context: &Context) -> Result<Outcome, EngineError> {
        let level = HardeningLevel {
            level: Level::Operable,
            engine_version: ENGINE_VERSION,
            task: "enrich chart",
            helm: &self.helm,
            carries,
        };
        level
            .run(input, context, async |request, mut hardened| {
                let inventory = LicenceInventory {
                    chart: licences::of_chart(&hardened.chart),
                    images: image_licences(input, &context.store).await?,
                };
                let document = serde_json::to_vec(&inventory.document()).map_err(|error| {
                    EngineError::Input(format!("{}: {error}", media_type::LICENCES))
                })?;
                let found = licences::findings(&inventory, input, &request.policy);
                hardened.findings.extend(found);
                verdict::apply_waivers(&mut hardened.findings, &request.policy);
                Ok(Completed {
                    hardened,
                    documents: vec![(media_type::LICENCES, document)],
                })
            })
            .await
    }
}

/// Findings about the chart's configuration are left out: the rules are all asked again, level 2's among them; but for those
/// about its values, which only level 2 looks at.
fn carries(finding: &Finding) -> bool {
    match finding.level {
        Level::Operable => false,
        Level::Configured => {
            finding.kind != FindingKind::Configuration || hardening::is_of_values(finding)
        }
        _ => true,
    }
}

async fn image_licences(input: &Package, store: &Store) -> Result<Vec<ImageLicences>, EngineError> {
    let kind = Some(media_type::PACKAGE_INDEX);
    let mut indexes: BTreeMap<Digest, Descriptor> = BTreeMap::new();
    for attachment in attachments(store, &input.revision.digest, kind).await? {
        if let Some(image) = attachment.image {
            indexes.insert(image, attachment.document);
        }
    }
    let mut images = Vec::with_capacity(input.images.len());
    for image in &input.images {
        let manifests = quench_image::platforms(store, &image.descriptor)
            .await
            .map_err(|error| unreadable(image, error.into()))?;
        let mut platforms = Vec::with_capacity(manifests.len());
        for manifest in manifests {
            let inventory = inventory(image, &manifest, &indexes, store).await?;
            platforms.push(licences::of_inventory(&inventory));
        }
        images.push(ImageLicences {
            reference: image.reference.clone(),
            digest: image.descriptor.digest.clone(),
            platforms,
        });
    }
    Ok(images)
}

/// What the scanner catalogued; an image it has not seen, or saw with another version, is catalogued here.
async fn inventory(
    image: &PackageImage,
    manifest: &Descriptor,
    indexes: &BTreeMap<Digest, Descriptor>,
    store: &Store,
) -> Result<Inventory, EngineError> {
    if let Some(document) = indexes.get(&manifest.digest) {
        let found: Inventory = store.read_json(document, INDEX_LIMIT).await?;
        if found.cataloguer == CATALOGUER_VERSION && found.image == manifest.digest {
            return Ok(found);
        }
    }
    catalogue(store, manifest)
        .await
        .map_err(|error| unreadable(image, error))
}

/// A failure of the machine passes, one of the image does not.
fn unreadable(image: &PackageImage, error: CatalogueError) -> EngineError {
    match error {
        CatalogueError::Image(ImageError::Store(error)) => EngineError::Store(error),
        error @ (CatalogueError::Image(ImageError::Cache { .. })
        | CatalogueError::Interrupted { .. }) => EngineError::Unavailable {
            reason: format!("image {}: {error}", image.reference),
            retry_after: Duration::from_secs(5),
        },
        error => EngineError::Input(format!("image {}: {error}", image.reference)),
    }
}
