//! Hardening a chart alone: no store, no package, no images.

use quench_chart::Chart;
use quench_chart::render::Helm;
use quench_model::{Finding, PackageName, Policy, Target};
use quench_package::EngineError;
use quench_rules::Evidence;

use crate::Report;

/// What a chart is hardened for.
#[derive(Debug, Clone, Copy)]
pub struct Demands<'a> {
    /// Package that findings are told of; for a chart alone, its name.
    pub package: &'a PackageName,
    /// Values files of the user, in the order they apply.
    pub values: &'a [Vec<u8>],
    /// The team's policy. Its waivers become defaults of the chart.
    pub policy: &'a Policy,
    /// The environment's facts. Its registry and platform become defaults of the chart.
    pub target: &'a Target,
    /// Image facts and digests; [`Evidence::from_facts_file`] for stand-in facts, [`Evidence::default`] for
    /// none, in which case rules that need evidence report instead of fixing.
    pub evidence: &'a Evidence,
}

/// A chart that hardens itself.
#[derive(Debug, Clone)]
pub struct HardenedChart {
    /// The chart.
    pub chart: Chart,
    /// Findings of the rules: resolved, still open, or suppressed by a waiver.
    pub findings: Vec<Finding>,
    /// What was changed and what was not.
    pub report: Report,
}

/// Why a chart could not be hardened.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// The chart or the values are wrong, or the hardened chart is not what the rules say.
    #[error("{0}")]
    Input(String),
    /// Helm is missing.
    #[error("{0}")]
    Unavailable(String),
}

impl From<HardenError> for EngineError {
    fn from(error: HardenError) -> Self {
        match error {
            HardenError::Input(reason) => Self::Input(reason),
            HardenError::Unavailable(reason) => Self::Unavailable {
                reason,
                retry_after: std::time::Duration::from_secs(30),
            },
        }
    }
}

/// Makes a chart harden itself, and tells what that changes at the values given.
///
/// # Errors
/// The chart does not render, or what it renders after cannot be shown to be what the rules say.
pub async fn harden_chart(
    helm: &Helm,
    chart: &Chart,
    demands: Demands<'_>,
) -> Result<HardenedChart, HardenError> {
    let _ = (helm, chart, demands);
    Err(HardenError::Input("not there yet".to_owned()))
}
