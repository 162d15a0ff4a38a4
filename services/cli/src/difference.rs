//! What two packages differ in.

mod chart;
mod findings;
mod images;

pub use chart::{ChartDifference, ValueChange};
pub use findings::FindingsDifference;
pub use images::{FileChange, ImageDifference};

use anyhow::Result;
use quench_package::{Context, Package};
use serde::Serialize;

/// What two packages differ in.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Digest of the revision before.
    pub before: String,
    /// Digest of the revision after.
    pub after: String,
    /// Chart, values, rendered objects.
    pub chart: ChartDifference,
    /// Images that differ.
    pub images: Vec<ImageDifference>,
    /// Findings that came and went.
    pub findings: FindingsDifference,
}

impl Difference {
    /// Compares two packages, the charts at the values given or at those each was hardened with.
    ///
    /// # Errors
    /// When content cannot be read, or a chart does not render.
    pub async fn between(
        context: &Context,
        before: &Package,
        after: &Package,
        values: Option<&[Vec<u8>]>,
    ) -> Result<Self> {
        Ok(Self {
            before: before.revision.digest.to_string(),
            after: after.revision.digest.to_string(),
            chart: chart::compare(context, before, after, values).await?,
            images: images::compare(context, before, after).await?,
            findings: findings::compare(&context.store, before, after).await?,
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chart.is_empty() && self.images.is_empty() && self.findings.is_empty()
    }
}
