//! The engine: a package at level 3 in, at level 4 out.

use std::collections::BTreeMap;
use std::time::Duration;

use quench_chart::Chart;
use quench_chart::render::Helm;
use quench_content::Store;
use quench_image::ImageError;
use quench_inventory::{CATALOGUER_VERSION, CatalogueError, Inventory, catalogue};
use quench_model::{Descriptor, Digest, Finding, FindingKind, Level, media_type};
use quench_package::{
    Attachment, Context, EngineError, Outcome, Package, PackageImage, Request, Work, attachments,
    current_findings, verdict,
};
use quench_rules::hardening::{self, Demands, evidence_of};

use crate::licences::{self, ImageLicences, LicenceInventory};

/// Changes whenever the same input would give another result.
pub const ENGINE_VERSION: &str = "3";

/// Largest chart archive read.
const CHART_LIMIT: u64 = 512 << 20;

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
        let request = input.request(&context.store).await?;
        let policy = request.policy.digest();
        // Rules that changed give another chart.
        let version = format!("{ENGINE_VERSION}+{}", quench_rules::version());
        let work = Work {
            level: Level::Operable,
            engine_version: &version,
            input: &input.revision.digest,
            policy: &policy,
            epoch: None,
        };
        work.replay_or_run(context, async || self.work(input, &request, context).await)
            .await
    }

    async fn work(
        &self,
        input: &Package,
        request: &Request,
        context: &Context,
    ) -> Result<Outcome, EngineError> {
        let store = &context.store;
        context.progress.start("enrich chart", 2);
        let archive = input.chart_archive(store).await?;
        let bytes = store.read(&archive, CHART_LIMIT).await?;
        let chart = read_chart(&archive, bytes).await?;
        let evidence = evidence_of(store, input, request.facts.as_ref()).await?;
        let demands = Demands {
            package: &input.name,
            values: &request.values,
            policy: &request.policy,
            target: &request.target,
            evidence: &evidence,
        };
        let hardened =
            hardening::harden_chart(&self.helm, &chart, Level::Operable, demands).await?;
        context.progress.advance(1);
        context.check_cancelled()?;

        let inventory = LicenceInventory {
            chart: licences::of_chart(&hardened.chart),
            images: image_licences(input, store).await?,
        };
        context.progress.advance(1);
        context.check_cancelled()?;

        let packed = hardened
            .chart
            .to_tgz()
            .map_err(|error| EngineError::Input(error.to_string()))?;
        let archive = store.put(media_type::HELM_CHART, &packed).await?;
        let mut parts = input.advance(Level::Operable);
        parts.chart = Package::store_chart(store, hardened.chart.metadata(), &archive).await?;
        let package = Package::store(store, parts).await?;
        for (kind, document) in [
            (media_type::REPORT, serde_json::to_vec(&hardened.report)),
            (
                media_type::LICENCES,
                serde_json::to_vec(&inventory.document()),
            ),
        ] {
            let bytes = document.map_err(|error| EngineError::Input(format!("{kind}: {error}")))?;
            Attachment::attach(
                store,
                &package.revision,
                kind,
                Level::Operable,
                None,
                &bytes,
            )
            .await?;
        }

        let mut findings = carried(current_findings(store, input).await?);
        let mut own = hardened.findings;
        own.extend(licences::findings(&inventory, input, &request.policy));
        verdict::apply_waivers(&mut own, &request.policy);
        findings.extend(own);
        context.progress.finish();
        Ok(Outcome::new(package, findings))
    }
}

async fn read_chart(archive: &Descriptor, bytes: Vec<u8>) -> Result<Chart, EngineError> {
    let name = archive.digest.to_string();
    tokio::task::spawn_blocking(move || Chart::from_tgz(bytes.as_slice(), &name))
        .await
        .map_err(|error| EngineError::Input(format!("chart {}: {error}", archive.digest)))?
        .map_err(|error| EngineError::Input(error.to_string()))
}

/// Findings of the levels before. Those about the chart's configuration are left out: the rules are all asked again,
/// level 2's among them; but for those about its values, which only level 2 looks at.
fn carried(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.retain(|finding| match finding.level {
        Level::Operable => false,
        Level::Configured => {
            finding.kind != FindingKind::Configuration || hardening::is_of_values(finding)
        }
        _ => true,
    });
    findings
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
