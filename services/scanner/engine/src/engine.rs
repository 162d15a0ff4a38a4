//! The engine: one package revision in, one out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use quench_advisories::Epoch;
use quench_image::ImageError;
use quench_inventory::CatalogueError;
use quench_model::{Finding, FindingId, Level, media_type};
use quench_package::{
    Attachment, Context, EngineError, Outcome, Package, PackageImage, Work, current_findings,
    verdict,
};

use crate::report::{GateReport, ImageReport, Report};
use crate::scan::{PlatformScan, scan};

/// Changes whenever the same input would give another result.
pub const ENGINE_VERSION: &str = "2";

/// Images looked at at once: unpacking is bound by one processor each, and every open image holds its file tree.
const CONCURRENT_IMAGES: usize = 2;

/// The scanner's engine. Cheap to clone and to make anew for another epoch.
#[derive(Debug, Clone)]
pub struct Engine {
    epoch: Option<Arc<Epoch>>,
}

/// One image with what its platforms hold.
struct ScannedImage {
    image: PackageImage,
    platforms: Vec<PlatformScan>,
}

impl Engine {
    /// An engine that matches against `epoch`. Without one every image is catalogued and a finding says that nothing was
    /// checked.
    pub fn new(epoch: Option<Arc<Epoch>>) -> Self {
        Self { epoch }
    }

    /// Brings a package to [`Level::Secured`].
    ///
    /// # Errors
    /// When an image cannot be read or the store fails. What is merely wrong with an image is a finding, and a gate
    /// that says no is [`Outcome::refusal`].
    pub async fn run(&self, input: &Package, context: &Context) -> Result<Outcome, EngineError> {
        let request = input.request(&context.store).await?;
        let policy = request.policy.digest();
        let work = Work {
            level: Level::Secured,
            engine_version: ENGINE_VERSION,
            input: &input.revision.digest,
            policy: &policy,
            epoch: self.epoch.as_ref().map(|epoch| epoch.digest()),
        };
        work.replay_or_run(context, async || {
            let images = self.scan_images(input, context).await?;
            context.check_cancelled()?;
            let mut findings = carried(current_findings(&context.store, input).await?);
            for scan in images.iter().flat_map(|image| &image.platforms) {
                for finding in &scan.findings {
                    merge(&mut findings, finding);
                }
            }
            let mut findings: Vec<Finding> = findings.into_values().collect();
            verdict::apply_waivers(&mut findings, &request.policy);
            let refusal = verdict::refusal(&findings, &request.policy);
            let parts = input.advance(&context.store, Level::Secured).await?;
            let package = Package::store(&context.store, parts).await?;
            let enforced = request.policy.gate.enforce;
            let report = Report {
                level: Level::Secured,
                engine: ENGINE_VERSION,
                epoch: self.epoch.as_ref().map(|epoch| epoch.digest().clone()),
                coverage: self
                    .epoch
                    .iter()
                    .flat_map(|epoch| epoch.coverage().ecosystems().map(|e| e.to_string()))
                    .collect(),
                images: images
                    .iter()
                    .map(|image| ImageReport::of(&image.image, &image.platforms, &findings))
                    .collect(),
                gate: GateReport {
                    enforced,
                    refusal: refusal.clone(),
                },
                not_looked_for: Report::NOT_LOOKED_FOR.map(str::to_owned).to_vec(),
            };
            self.attach(context, &package, &images, &report).await?;
            let mut outcome = Outcome::new(package, findings);
            outcome.refusal = refusal.filter(|_| enforced);
            Ok(outcome)
        })
        .await
    }

    async fn scan_images(
        &self,
        input: &Package,
        context: &Context,
    ) -> Result<Vec<ScannedImage>, EngineError> {
        context
            .progress
            .start("scan images", input.images.len() as u64);
        let scanned = stream::iter(&input.images)
            .map(|image| async {
                context.check_cancelled()?;
                let manifests = quench_image::platforms(&context.store, &image.descriptor)
                    .await
                    .map_err(|error| unreadable(image, error))?;
                let mut platforms = Vec::with_capacity(manifests.len());
                for manifest in manifests {
                    context.check_cancelled()?;
                    platforms.push(
                        scan(input, image, &manifest, self.epoch.clone(), &context.store).await?,
                    );
                }
                context.progress.advance(1);
                Ok::<_, EngineError>(ScannedImage {
                    image: image.clone(),
                    platforms,
                })
            })
            .buffered(CONCURRENT_IMAGES)
            .try_collect()
            .await?;
        context.progress.finish();
        Ok(scanned)
    }

    /// Attaches what was written about the images. SBOMs and package indexes name the manifest of the platform they
    /// speak of.
    async fn attach(
        &self,
        context: &Context,
        package: &Package,
        images: &[ScannedImage],
        report: &Report,
    ) -> Result<(), EngineError> {
        let store = &context.store;
        for scan in images.iter().flat_map(|image| &image.platforms) {
            for (kind, bytes) in [
                (media_type::PACKAGE_INDEX, &scan.documents.index),
                (media_type::CYCLONEDX, &scan.documents.cyclonedx),
                (media_type::SPDX, &scan.documents.spdx),
            ] {
                Attachment::attach(
                    store,
                    &package.revision,
                    kind,
                    Level::Secured,
                    Some(&scan.inventory.image),
                    bytes,
                )
                .await?;
            }
        }
        let report = serde_json::to_vec(report)
            .map_err(|error| EngineError::Input(format!("the scan report: {error}")))?;
        Attachment::attach(
            store,
            &package.revision,
            media_type::REPORT,
            Level::Secured,
            None,
            &report,
        )
        .await?;
        Ok(())
    }
}

/// Findings of the levels before; what this level found earlier is found again or gone.
fn carried(findings: Vec<Finding>) -> BTreeMap<FindingId, Finding> {
    findings
        .into_iter()
        .filter(|finding| finding.level != Level::Secured)
        .map(|finding| (finding.id.clone(), finding))
        .collect()
}

/// Adds a finding. The same thing in two tags or platforms of an image is one finding with the evidence of both.
fn merge(findings: &mut BTreeMap<FindingId, Finding>, finding: &Finding) {
    let Some(known) = findings.get_mut(&finding.id) else {
        findings.insert(finding.id.clone(), finding.clone());
        return;
    };
    for evidence in &finding.evidence {
        if !known.evidence.contains(evidence) {
            known.evidence.push(evidence.clone());
        }
    }
    if !known.message.contains(&finding.message) {
        known.message = format!("{}; {}", known.message, finding.message);
    }
    known.severity = known.severity.max(finding.severity);
}

/// The engine's error for an image that cannot be read: a failure of the machine passes, one of the image does not.
pub(crate) fn unreadable(image: &PackageImage, error: impl Into<CatalogueError>) -> EngineError {
    match error.into() {
        CatalogueError::Image(ImageError::Store(error)) => EngineError::Store(error),
        error @ (CatalogueError::Image(ImageError::Cache { .. })
        | CatalogueError::Interrupted { .. }) => EngineError::Unavailable {
            reason: format!("image {}: {error}", image.reference),
            retry_after: Duration::from_secs(5),
        },
        error => EngineError::Input(format!("image {}: {error}", image.reference)),
    }
}
