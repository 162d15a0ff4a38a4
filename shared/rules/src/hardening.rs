//! Making a chart harden itself, and showing that it does.
//!
//! [`harden_chart`] renders a chart as it is, lets the rules say what should become of that, puts the same rules into
//! the chart as templates, renders it again, and compares. Where the two differ the chart is refused: what cannot
//! be shown to be right is not shipped. [`verify`] compares at other values. [`evidence_of`] reads what is known of a package's images.
//! Before the rules come the chart's own parameters: see [`Parameters`].

pub mod controls;
mod findings;
mod guide;
mod images;
mod level;
pub mod lint;
mod namespace;
pub mod overview;
mod parameters;
mod plain;
mod recover;
mod rendered;
pub mod report;
mod tree;
pub mod upgrade;
mod work;

use std::sync::LazyLock;

use quench_chart::chart::{Chart, ChartError};
use quench_chart::compare::Comparison;
use quench_chart::render::{Helm, RenderError, Rendered};
use quench_chart::rewrite::is_rewritten;
use quench_chart::values_documentation::{
    ValuesDocumentation, generated_schema, values_documentation,
};
use quench_model::{Finding, Level, PackageName, ParameterPolicy, Policy, Target};
use quench_package::EngineError;

use crate::evaluate::Surroundings;
use crate::{Evidence, Release, Settings, Siblings};

pub use images::evidence_of;
pub use level::{Completed, HardeningLevel};
pub use namespace::NAMESPACE_LABELS;
use parameters::{Defaults, HARDENED_VALUES, Input, Override};
pub use parameters::{Kept, Parameters, Recommended, is_of_values};
pub use recover::{Recovered, recover};
use report::Report;
use work::{Expected, Made, Work};

/// Name of the file in a hardened chart that tells what was done.
pub const GUIDE: &str = "HARDENING.md";

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
    /// Helm is missing, or does not run.
    #[error("{0}")]
    Unavailable(String),
}

impl From<RenderError> for HardenError {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::NoHelm | RenderError::Start { .. } | RenderError::Io { .. } => {
                Self::Unavailable(error.to_string())
            }
            error => Self::Input(error.to_string()),
        }
    }
}

impl From<ChartError> for HardenError {
    fn from(error: ChartError) -> Self {
        Self::Input(error.to_string())
    }
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

/// Makes a chart harden itself by the rules up to `level`, and tells what that changes at the values given. A chart
/// that was hardened before is hardened anew; beyond level 2 it keeps the parameters that were chosen for it.
///
/// # Errors
/// The chart does not render, or what it renders to cannot be shown to be what the rules say.
pub async fn harden_chart(
    helm: &Helm,
    chart: &Chart,
    level: Level,
    demands: Demands<'_>,
) -> Result<HardenedChart, HardenError> {
    let work = Work::new(helm, chart, level, demands).await?;
    let documentation = values_documentation(&work.plain)?;
    let is_carried = level > Level::Configured && is_rewritten(chart);
    let (mut parameters, chosen) = if is_carried {
        chosen_before(&work.plain, parameters::carried(chart))
    } else {
        chosen_now(&work, &documentation).await?
    };
    let schema = generated_schema(&work.plain, &documentation)?;
    let mut made = match Defaults::new(&work.plain, &chosen) {
        Ok(defaults) => work.make(&defaults, schema.as_deref()).await,
        Err(reason) => Err(HardenError::Input(reason)),
    };
    // Neither what was chosen nor a schema nobody asked for must be what keeps a chart from being hardened.
    if let Err(HardenError::Input(reason)) = &made
        && !(chosen.is_empty() && schema.is_none())
    {
        parameters.give_up(reason);
        made = work.make(&Defaults::default(), None).await;
    }
    let Made {
        mut chart,
        after,
        expected,
    } = made?;

    let mut report = expected.report(&work, &after, &documentation);
    parameters::tell_parameters(&mut report, parameters);
    if !expected.chosen.chosen().is_empty() {
        let kept = report
            .parameters
            .iter()
            .flat_map(|parameters| &parameters.kept);
        let text = parameters::hardened_values(kept, expected.chosen.chosen());
        chart.insert(HARDENED_VALUES, text)?;
    }
    chart.insert(GUIDE, guide::write(&report))?;
    chart.insert(NAMESPACE_LABELS, namespace::labels(&report))?;
    // Assembled anew, so that no line of `.helmignore` hides what was added.
    let chart = Chart::from_files(chart.files().clone())?;
    let mut found = findings::findings(demands.package, &expected.verdicts);
    if !is_carried {
        found.extend(parameters::of_parameters(
            demands.package,
            &report,
            &documentation,
        ));
    }
    found.extend(parameters::of_places(
        demands.package,
        expected.chosen.chosen(),
        &expected.resolved_by_parameters(&work),
    ));
    Ok(HardenedChart {
        chart,
        findings: found,
        report,
    })
}

/// Parameters as the search at these values chooses them.
async fn chosen_now(
    work: &Work<'_>,
    documentation: &ValuesDocumentation,
) -> Result<(Parameters, Vec<Override>), HardenError> {
    let policy = work.demands.policy.parameters;
    let settings = &work.base.settings;
    let off = settings.off.contains(crate::parameters::RULE) || settings.disabled;
    if policy == ParameterPolicy::Off || off {
        return Ok((Parameters::default(), Vec::new()));
    }
    parameters::search(Input {
        helm: work.helm,
        chart: &work.plain,
        request: &work.base.request,
        surroundings: work.surroundings(),
        documentation,
        before: &work.base.before,
        chooses: policy == ParameterPolicy::Apply,
    })
    .await
}

/// Parameters that an earlier level chose.
fn chosen_before(plain: &Chart, chosen: Vec<Override>) -> (Parameters, Vec<Override>) {
    let own = quench_chart::values_documentation::effective_values(plain).unwrap_or_default();
    (Parameters::carried(&own, &chosen), chosen)
}

/// A hardened chart at certain values.
#[derive(Debug, Clone)]
pub struct Verification {
    /// How what it renders to differs from what the rules make of what it rendered to before; not at all where it is right.
    pub comparison: Comparison,
    /// What the chart rendered to before it was hardened.
    pub before: Rendered,
    /// What it renders to now.
    pub after: Rendered,
    /// Findings of the rules at these values.
    pub findings: Vec<Finding>,
}

/// Compares what a hardened chart renders to, at the values given, with what the rules make of what the
/// chart rendered to before. `level` and `demands` must be those the chart was hardened with, but for the values.
///
/// # Errors
/// One of the two does not render.
pub async fn verify(
    helm: &Helm,
    hardened: &Chart,
    level: Level,
    demands: Demands<'_>,
) -> Result<Verification, HardenError> {
    let work = Work::new(helm, hardened, level, demands).await?;
    let chosen = parameters::carried(hardened);
    let defaults = Defaults::new(&work.plain, &chosen).map_err(HardenError::Input)?;
    let expected = Expected::new(&work, &defaults).await?;
    let after = helm.render(hardened, &work.base.request).await?;
    Ok(Verification {
        comparison: expected.compare(&work, &after).await?,
        findings: findings::findings(demands.package, &expected.verdicts),
        after,
        before: work.base.before,
    })
}

/// Tells what the rules make of a chart at the values given, and changes nothing. Of a chart that hardens itself it
/// tells what that does; `level` and `demands` should be those it was hardened with then, see [`recover`].
///
/// # Errors
/// The chart does not render.
pub async fn examine(
    helm: &Helm,
    chart: &Chart,
    level: Level,
    demands: Demands<'_>,
) -> Result<(Report, Vec<Finding>), HardenError> {
    let work = Work::new(helm, chart, level, demands).await?;
    let documentation = values_documentation(&work.plain)?;
    // Of a chart that is not hardened it is told what hardening would do, its parameters included.
    let (parameters, chosen) = if is_rewritten(chart) {
        chosen_before(&work.plain, parameters::carried(chart))
    } else {
        chosen_now(&work, &documentation).await?
    };
    let defaults = Defaults::new(&work.plain, &chosen).map_err(HardenError::Input)?;
    let expected = Expected::new(&work, &defaults).await?;
    let after = if is_rewritten(chart) {
        helm.render(chart, &work.base.request).await?
    } else {
        expected.rendered.clone()
    };
    let mut report = expected.report(&work, &after, &documentation);
    parameters::tell_parameters(&mut report, parameters);
    let comparison = expected.compare(&work, &after).await?;
    if !comparison.is_same() {
        report.notes.push(format!(
            "The chart was hardened by other rules, or changed since: what it renders differs from what is told here: {comparison}"
        ));
    }
    Ok((
        report,
        findings::findings(demands.package, &expected.verdicts),
    ))
}

/// Characters that make text read other than it is: marks and overrides of direction, and marks without width (Unicode
/// Technical Report 36).
pub fn is_deceptive(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// Surroundings that are the same wherever a document comes from; [`Tree::around`] adds the rest.
fn surroundings<'a>(
    level: Level,
    demands: Demands<'a>,
    settings: &'a Settings,
) -> Surroundings<'a> {
    static NO_SIBLINGS: LazyLock<Siblings> = LazyLock::new(Siblings::default);
    static NO_RELEASE: LazyLock<Release> = LazyLock::new(Release::default);
    Surroundings {
        evidence: demands.evidence,
        settings,
        siblings: &NO_SIBLINGS,
        release: &NO_RELEASE,
        level,
    }
}
