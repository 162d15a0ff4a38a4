//! What a chart needs, without fetching it.

use futures::stream::{self, StreamExt as _};
use quench_chart::Chart;
use quench_content::RegistryClient;
use quench_model::{Digest, Finding, ImageReference, PackageName, Platform};
use quench_package::{Context, ImageClass, ImageEvidence, ValuesTried};
use serde::Serialize;

use crate::discover::Classified;
use crate::fetch::{self, FetchError};

/// Registries asked at the same time.
const PARALLEL: usize = 8;

/// What a chart needs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Survey {
    /// Name of the chart.
    pub name: PackageName,
    /// Its version.
    pub version: String,
    /// Images it may use, by reference.
    pub images: Vec<SurveyedImage>,
    /// At which values it was rendered.
    pub values: ValuesTried,
    /// What could not be looked at or decided.
    pub findings: Vec<Finding>,
}

/// An image that a chart may use.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SurveyedImage {
    /// Canonical reference.
    pub reference: ImageReference,
    /// The reference as the chart has it, in each of its spellings.
    pub rendered: Vec<String>,
    /// How sure it is that the chart uses it.
    pub class: ImageClass,
    /// Why it is not more than possible.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where the chart names it.
    pub evidence: Vec<ImageEvidence>,
    /// What its registry has, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available: Option<Available>,
    /// Why its registry did not tell, where it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unavailable: Option<String>,
}

/// An image as its registry has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Available {
    /// Digest of its manifest or index.
    pub digest: Digest,
    /// Bytes of everything it is made of, each blob counted once.
    pub total_size: u64,
    /// Platforms its index lists; empty for an image without an index.
    pub platforms: Vec<Platform>,
}

impl Survey {
    pub(crate) fn new(
        name: PackageName,
        chart: &Chart,
        classified: Classified,
        values: ValuesTried,
        findings: Vec<Finding>,
    ) -> Self {
        let certain = classified.images.into_iter().map(|(reference, image)| {
            let rendered = image.spelled.into_iter().collect();
            (reference, rendered, image.class, None, image.evidence)
        });
        let possible = classified.possible.into_iter().map(|(reference, what)| {
            let reason = Some(what.reason);
            (reference, what.rendered, what.class, reason, what.evidence)
        });
        let mut images: Vec<SurveyedImage> = certain
            .chain(possible)
            .map(
                |(reference, rendered, class, reason, evidence)| SurveyedImage {
                    reference,
                    rendered,
                    class,
                    reason,
                    evidence,
                    available: None,
                    unavailable: None,
                },
            )
            .collect();
        images.sort_by(|a, b| (a.class, &a.reference).cmp(&(b.class, &b.reference)));
        Self {
            name,
            version: chart.version().to_owned(),
            images,
            values,
            findings,
        }
    }

    /// Asks the registries what they have.
    pub(crate) async fn look_up(
        &mut self,
        client: &RegistryClient,
        platforms: &[Platform],
        context: &Context,
    ) {
        let wanted = self
            .images
            .iter()
            .filter(|i| i.class != ImageClass::Possible);
        context
            .progress
            .start("look up images", wanted.count() as u64);
        let mut asked = Vec::with_capacity(self.images.len());
        for image in &mut self.images {
            if image.class == ImageClass::Possible {
                continue;
            }
            asked.push(async move {
                match fetch::plan(client, &image.reference, platforms, &context.store).await {
                    Ok(plan) => image.available = Some(plan.available()),
                    Err(FetchError::Unavailable(reason, _)) => image.unavailable = Some(reason),
                    Err(FetchError::Engine(error)) => image.unavailable = Some(error.to_string()),
                }
                context.progress.advance(1);
            });
        }
        stream::iter(asked)
            .buffer_unordered(PARALLEL)
            .collect::<()>()
            .await;
        context.progress.finish();
    }
}
