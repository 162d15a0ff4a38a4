//! The engine: a package at level 1 in, at level 2 out.

use quench_chart::Chart;
use quench_chart::render::Helm;
use quench_model::{Finding, FindingKind, Level};
use quench_package::{Context, EngineError, Outcome, Package};
use quench_rules::hardening::{
    self, Completed, Demands, HardenError, HardenedChart, HardeningLevel,
};

/// Changes whenever the same input would give another result by the same rules; rules have a version of their own.
pub const ENGINE_VERSION: &str = "5";

/// Level 2.
#[derive(Debug, Clone)]
pub struct Engine {
    helm: Helm,
}

impl Engine {
    /// An engine that renders with `helm`.
    pub fn new(helm: Helm) -> Self {
        Self { helm }
    }

    /// Makes the package's chart harden itself.
    ///
    /// # Errors
    /// [`EngineError::Input`] names the chart, object or field that is wrong.
    pub async fn run(&self, input: &Package, context: &Context) -> Result<Outcome, EngineError> {
        let level = HardeningLevel {
            level: Level::Configured,
            engine_version: ENGINE_VERSION,
            task: "harden chart",
            helm: &self.helm,
            carries,
        };
        level
            .run(input, context, async |_, hardened| {
                Ok(Completed {
                    hardened,
                    documents: Vec::new(),
                })
            })
            .await
    }
}

fn carries(finding: &Finding) -> bool {
    finding.kind != FindingKind::Configuration || finding.level != Level::Configured
}

/// Makes a chart harden itself by the rules of level 2: see [`hardening::harden_chart`].
///
/// # Errors
/// As [`hardening::harden_chart`].
pub async fn harden_chart(
    helm: &Helm,
    chart: &Chart,
    demands: Demands<'_>,
) -> Result<HardenedChart, HardenError> {
    hardening::harden_chart(helm, chart, Level::Configured, demands).await
}
