//! A level that hardens the chart of a package: what levels 2 and 4 have in common.

use quench_chart::render::Helm;
use quench_model::{Finding, Level, media_type};
use quench_package::{
    Attachment, Context, EngineError, Outcome, Package, Request, Work, current_findings,
};

use super::{Demands, HardenedChart, evidence_of, harden_chart};

/// A level that hardens charts.
#[derive(Debug, Clone, Copy)]
pub struct HardeningLevel<'a> {
    /// Which one it is.
    pub level: Level,
    /// Version of its engine: changes whenever the same input would give another result by the same rules.
    pub engine_version: &'a str,
    /// What it does, for people.
    pub task: &'a str,
    /// What renders charts.
    pub helm: &'a Helm,
    /// Whether a finding of the levels before still counts; those about what this level looks at anew do not.
    pub carries: fn(&Finding) -> bool,
}

/// What a level makes of a hardened chart.
#[derive(Debug)]
pub struct Completed {
    /// The chart with its report, and all findings of the level.
    pub hardened: HardenedChart,
    /// Documents to attach beside the report, with their media types.
    pub documents: Vec<(&'static str, Vec<u8>)>,
}

/// Steps of progress: evidence, chart, what the level adds.
const STEPS: u64 = 3;

impl HardeningLevel<'_> {
    /// Hardens the chart of a package, lets `complete` add what else the level does, and stores the next revision; or gives
    /// the stored outcome of that.
    ///
    /// # Errors
    /// [`EngineError::Input`] names the chart, object or field that is wrong.
    pub async fn run<F>(
        &self,
        input: &Package,
        context: &Context,
        complete: F,
    ) -> Result<Outcome, EngineError>
    where
        F: AsyncFnOnce(Request, HardenedChart) -> Result<Completed, EngineError>,
    {
        let request = input.request(&context.store).await?;
        let policy = request.policy.digest();
        // Rules that changed give another chart.
        let version = format!("{}+{}", self.engine_version, crate::version());
        let work = Work {
            level: self.level,
            engine_version: &version,
            input: &input.revision.digest,
            policy: &policy,
            epoch: None,
        };
        work.replay_or_run(context, async || {
            self.work(input, request, context, complete).await
        })
        .await
    }

    async fn work<F>(
        &self,
        input: &Package,
        request: Request,
        context: &Context,
        complete: F,
    ) -> Result<Outcome, EngineError>
    where
        F: AsyncFnOnce(Request, HardenedChart) -> Result<Completed, EngineError>,
    {
        let store = &context.store;
        context.progress.start(self.task, STEPS);
        let mut parts = input.advance(store, self.level).await?;
        let evidence = evidence_of(store, input, request.facts.as_ref()).await?;
        context.progress.advance(1);
        context.check_cancelled()?;
        let demands = Demands {
            package: &input.name,
            values: &request.values,
            policy: &request.policy,
            target: &request.target,
            evidence: &evidence,
        };
        let hardened = harden_chart(self.helm, &parts.chart, self.level, demands).await?;
        context.progress.advance(1);
        context.check_cancelled()?;
        let Completed {
            hardened,
            documents,
        } = complete(request, hardened).await?;
        context.progress.advance(1);
        context.check_cancelled()?;

        parts.chart = hardened.chart;
        let package = Package::store(store, parts).await?;
        let report = serde_json::to_vec(&hardened.report)
            .map_err(|error| EngineError::Input(format!("report: {error}")))?;
        for (kind, bytes) in [(media_type::REPORT, report)].into_iter().chain(documents) {
            Attachment::attach(store, &package.revision, kind, self.level, None, &bytes).await?;
        }
        let mut findings = current_findings(store, input).await?;
        findings.retain(self.carries);
        findings.extend(hardened.findings);
        context.progress.finish();
        Ok(Outcome::new(package, findings))
    }
}
