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
pub mod lint;
mod namespace;
pub mod overview;
mod parameters;
mod recover;
pub mod report;
mod tree;
pub mod upgrade;
mod work;

use std::sync::LazyLock;

use quench_chart::chart::{Chart, ChartError};
use quench_chart::compare::Comparison;
use quench_chart::render::{Document, Helm, RenderError, Rendered, Request};
use quench_chart::rewrite::{is_rewritten, restore};
use quench_chart::values_documentation::{
    SCHEMA, ValuesDocumentation, generated_schema, is_generated_schema, values_documentation,
};
use quench_chart::workload;
use quench_model::{Finding, Level, PackageName, ParameterPolicy, Policy, Target};
use quench_package::EngineError;
use serde_json::{Map, Value};

use crate::evaluate::{self, Surroundings, Verdict};
use crate::pod_security::{self, Standard, Version, Violation};
use crate::{Evidence, Release, Settings, Siblings};

pub use images::evidence_of;
pub use namespace::NAMESPACE_LABELS;
use parameters::{Defaults, HARDENED_VALUES, Input, Override};
pub use parameters::{Kept, Parameters, Recommended, is_of_values};
pub use recover::{Recovered, recover};
use report::{Numbers, PodVerdict, Report};
use tree::Tree;
use work::{Base, Expected, Made, Work};

/// Name of the file in a hardened chart that tells what was done.
pub const GUIDE: &str = "HARDENING.md";

/// Namespace of the release that a chart is looked at in.
const NAMESPACE: &str = "release-namespace";

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
    let plain = plain(chart)?;
    let documentation = values_documentation(&plain)?;
    let base = Base::new(helm, &plain, demands).await?;
    let is_carried = level > Level::Configured && is_rewritten(chart);
    let (mut parameters, chosen) = if is_carried {
        chosen_before(&plain, parameters::carried(chart))
    } else {
        chosen_now(helm, &plain, level, demands, &base, &documentation).await?
    };
    let work = Work {
        helm,
        plain: &plain,
        level,
        demands,
        base: &base,
    };
    let schema = generated_schema(&plain, &documentation)?;
    let mut made = match Defaults::new(&plain, &chosen) {
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
    helm: &Helm,
    plain: &Chart,
    level: Level,
    demands: Demands<'_>,
    base: &Base,
    documentation: &ValuesDocumentation,
) -> Result<(Parameters, Vec<Override>), HardenError> {
    let policy = demands.policy.parameters;
    let off = base.settings.off.contains(crate::parameters::RULE) || base.settings.disabled;
    if policy == ParameterPolicy::Off || off {
        return Ok((Parameters::default(), Vec::new()));
    }
    parameters::search(Input {
        helm,
        chart: plain,
        request: &base.request,
        surroundings: surroundings(level, demands, &base.settings),
        documentation,
        before: &base.before,
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
    let plain = plain(hardened)?;
    let chosen = parameters::carried(hardened);
    let defaults = Defaults::new(&plain, &chosen).map_err(HardenError::Input)?;
    let base = Base::new(helm, &plain, demands).await?;
    let work = Work {
        helm,
        plain: &plain,
        level,
        demands,
        base: &base,
    };
    let expected = Expected::new(&work, &defaults).await?;
    let after = helm.render(hardened, &base.request).await?;
    Ok(Verification {
        comparison: expected.compare(&work, &after).await?,
        findings: findings::findings(demands.package, &expected.verdicts),
        after,
        before: base.before,
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
    let plain = plain(chart)?;
    let documentation = values_documentation(&plain)?;
    let base = Base::new(helm, &plain, demands).await?;
    // Of a chart that is not hardened it is told what hardening would do, its parameters included.
    let (parameters, chosen) = if is_rewritten(chart) {
        chosen_before(&plain, parameters::carried(chart))
    } else {
        chosen_now(helm, &plain, level, demands, &base, &documentation).await?
    };
    let defaults = Defaults::new(&plain, &chosen).map_err(HardenError::Input)?;
    let work = Work {
        helm,
        plain: &plain,
        level,
        demands,
        base: &base,
    };
    let expected = Expected::new(&work, &defaults).await?;
    let after = if is_rewritten(chart) {
        helm.render(chart, &base.request).await?
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

/// What each pod breaks of the Pod Security Standards: of "restricted", and of what that has stricter controls for.
fn violations(rendered: &Rendered) -> Vec<(String, Vec<Violation>)> {
    pods_of(rendered)
        .map(|(object, metadata, spec)| {
            let mut found: Vec<Violation> = Vec::new();
            for standard in [Standard::Baseline, Standard::Restricted] {
                let more =
                    pod_security::evaluate(standard, Version::LATEST, metadata.as_ref(), &spec);
                for violation in more {
                    if !found.contains(&violation) {
                        found.push(violation);
                    }
                }
            }
            (object, found)
        })
        .collect()
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

/// The chart without anything hardening put into it.
fn plain(chart: &Chart) -> Result<Chart, HardenError> {
    let mut plain = restore(chart)?;
    tree::remove_own_files(&mut plain)?;
    parameters::remove_file(&mut plain)?;
    if plain.text(SCHEMA).is_some_and(is_generated_schema) {
        plain.remove(SCHEMA)?;
    }
    plain.remove(GUIDE)?;
    // A file of that name that a chart brings has nothing to do with hardening.
    let own = "# Pod Security labels for the namespace that chart ";
    if plain
        .text(NAMESPACE_LABELS)
        .is_some_and(|text| text.starts_with(own))
    {
        plain.remove(NAMESPACE_LABELS)?;
    }
    Ok(plain)
}

fn request(demands: Demands<'_>) -> Result<Request, HardenError> {
    let values = demands
        .values
        .iter()
        .enumerate()
        .map(|(index, bytes)| {
            String::from_utf8(bytes.clone())
                .map_err(|_| HardenError::Input(format!("values file {} is not UTF-8", index + 1)))
        })
        .collect::<Result<_, _>>()?;
    Ok(Request {
        values,
        // Any but `default`, so that a chart that writes that one in so many words is told from one that goes
        // where the release goes.
        namespace: NAMESPACE.to_owned(),
        kube_version: demands.target.kube_version.clone(),
        ..Request::default()
    })
}

/// The defaults with `global.hardening` of the chart's values and the user's over them.
fn settings_in_force(
    chart: &Chart,
    request: &Request,
    defaults: &Settings,
) -> Result<Settings, HardenError> {
    let mut hardening = Value::Object(Map::new());
    let mut layers = vec![chart.values()?];
    for (index, text) in request.values.iter().enumerate() {
        let values = quench_chart::yaml::values(text)
            .map_err(|error| HardenError::Input(format!("values file {}: {error}", index + 1)))?;
        layers.push(values);
    }
    for layer in layers {
        if let Some(given) = layer.pointer("/global/hardening") {
            quench_chart::yaml::override_values(&mut hardening, given);
        }
    }
    defaults
        .clone()
        .with_values(&hardening)
        .map_err(|error| HardenError::Input(error.to_string()))
}

/// What the rules make of rendered documents, and what they found.
fn harden(
    rendered: &Rendered,
    tree: &Tree,
    surroundings: Surroundings<'_>,
) -> (Rendered, Vec<Verdict>) {
    let mut hardened = rendered.clone();
    let mut verdicts = Vec::new();
    for document in &mut hardened.documents {
        let around = tree.around(document, surroundings);
        if let Some(object) = &mut document.object {
            verdicts.extend(evaluate::harden(object, around));
        }
    }
    let objects: Vec<&Value> = hardened.objects().collect();
    let (added, more) = evaluate::complete(&objects, tree.around_release(surroundings));
    verdicts.extend(more);
    hardened
        .documents
        .extend(added.into_iter().map(|object| Document {
            source: String::new(),
            text: String::new(),
            object: Some(object),
        }));
    (hardened, verdicts)
}

/// Every place of rendered documents where a rule is not met.
fn broken(rendered: &Rendered, tree: &Tree, surroundings: Surroundings<'_>) -> Vec<Verdict> {
    let mut found = Vec::new();
    for document in &rendered.documents {
        if let Some(object) = &document.object {
            found.extend(evaluate::broken(
                object,
                tree.around(document, surroundings),
            ));
        }
    }
    let objects: Vec<&Value> = rendered.objects().collect();
    found.extend(evaluate::incomplete(
        &objects,
        tree.around_release(surroundings),
    ));
    found
}

fn numbers(rendered: &Rendered, tree: &Tree, surroundings: Surroundings<'_>) -> Numbers {
    let mut numbers = Numbers::default();
    findings::count(&mut numbers, &broken(rendered, tree, surroundings));
    numbers.objects = rendered.objects().count();
    for (_, metadata, spec) in pods_of(rendered) {
        numbers.workloads += 1;
        let violations = pod_security::evaluate(
            Standard::Restricted,
            Version::LATEST,
            metadata.as_ref(),
            &spec,
        );
        numbers.restricted += usize::from(violations.is_empty());
    }
    numbers
}

fn pods_of(rendered: &Rendered) -> impl Iterator<Item = (String, Option<Value>, Value)> {
    rendered.objects().filter_map(workload::pod).map(|pod| {
        (
            format!("{}/{}", pod.owner.kind, pod.owner.name),
            pod.metadata.cloned().map(Value::Object),
            Value::Object(pod.spec.clone()),
        )
    })
}

fn pods(before: &Rendered, after: &Rendered) -> Vec<PodVerdict> {
    let mut before: Vec<_> = pods_of(before).collect();
    let mut verdicts: Vec<PodVerdict> = pods_of(after)
        .map(|(object, metadata, spec)| {
            let was = before.iter().position(|(name, _, _)| *name == object);
            let was = was.map(|index| before.remove(index));
            let strictest = |metadata: &Option<Value>, spec: &Value| {
                pod_security::strictest(Version::LATEST, metadata.as_ref(), spec).to_owned()
            };
            let violations = pod_security::evaluate(
                Standard::Restricted,
                Version::LATEST,
                metadata.as_ref(),
                &spec,
            );
            PodVerdict {
                object,
                before: was.map_or_else(String::new, |(_, metadata, spec)| {
                    strictest(&metadata, &spec)
                }),
                after: strictest(&metadata, &spec),
                violations: violations.iter().map(ToString::to_string).collect(),
            }
        })
        .collect();
    verdicts.sort_by(|a, b| a.object.cmp(&b.object));
    verdicts
}

fn notes(chart: &Chart, rendered: &Rendered, evidence: &Evidence) -> Vec<String> {
    let mut notes = Vec::new();
    if evidence.is_empty() {
        notes.push(
            "Nothing is known about the images, so rules that need to know were not applied; harden the chart together \
             with its images, or state image facts."
                .to_owned(),
        );
    }
    let definitions = rendered.objects().any(|object| {
        object.get("kind").and_then(Value::as_str) == Some("CustomResourceDefinition")
    });
    if definitions || chart.files().keys().any(|path| path.contains("crds/")) {
        notes.push(
            "The chart brings custom resources. Pods that an operator makes out of them are out of the chart's reach."
                .to_owned(),
        );
    }
    notes
}
