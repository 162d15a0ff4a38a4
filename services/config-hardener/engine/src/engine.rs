//! The engine: a package at level 1 in, at level 2 out.

use quench_chart::Chart;
use quench_chart::render::Helm;
use quench_model::{Descriptor, FindingKind, Level, media_type};
use quench_package::{
    Attachment, Context, EngineError, Outcome, Package, Request, Work, current_findings,
};
use quench_rules::hardening::{self, Demands, HardenError, HardenedChart, evidence_of};

/// Changes whenever the same input would give another result by the same rules; rules have a version of their own.
pub const ENGINE_VERSION: &str = "3";

/// Largest chart archive read.
const CHART_LIMIT: u64 = 512 << 20;

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
    pub async fn run(&self, input: &Package, cx: &Context) -> Result<Outcome, EngineError> {
        let request = input.request(&cx.store).await?;
        let policy = request.policy.digest();
        let version = format!("{ENGINE_VERSION}+{}", quench_rules::version());
        let work = Work {
            level: Level::Configured,
            engine_version: &version,
            input: &input.revision.digest,
            policy: &policy,
            epoch: None,
        };
        work.replay_or_run(cx, async || self.work(input, &request, cx).await)
            .await
    }

    async fn work(
        &self,
        input: &Package,
        request: &Request,
        cx: &Context,
    ) -> Result<Outcome, EngineError> {
        let store = &cx.store;
        cx.progress.start("harden chart", 3);
        let archive = input.chart_archive(store).await?;
        let bytes = store.read(&archive, CHART_LIMIT).await?;
        let chart = read_chart(&archive, bytes).await?;
        let evidence = evidence_of(store, input, request.facts.as_ref()).await?;
        cx.progress.advance(1);
        cx.check_cancelled()?;
        let demands = Demands {
            package: &input.name,
            values: &request.values,
            policy: &request.policy,
            target: &request.target,
            evidence: &evidence,
        };
        let hardened = harden_chart(&self.helm, &chart, demands).await?;
        cx.progress.advance(1);
        cx.check_cancelled()?;

        let packed = hardened
            .chart
            .to_tgz()
            .map_err(|error| EngineError::Input(error.to_string()))?;
        let archive = store.put(media_type::HELM_CHART, &packed).await?;
        let mut parts = input.advance(Level::Configured);
        parts.chart = Package::store_chart(store, hardened.chart.metadata(), &archive).await?;
        let package = Package::store(store, parts).await?;
        let report = serde_json::to_vec(&hardened.report)
            .map_err(|error| EngineError::Input(format!("report: {error}")))?;
        Attachment::attach(
            store,
            &package.revision,
            media_type::REPORT,
            Level::Configured,
            None,
            &report,
        )
        .await?;
        let mut findings = current_findings(store, input).await?;
        findings.retain(|finding| {
            finding.kind != FindingKind::Configuration || finding.level != Level::Configured
        });
        findings.extend(hardened.findings);
        cx.progress.advance(1);
        cx.progress.finish();
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
