//! What is wrong with what a chart renders, or with manifests, and nothing else: nothing is changed.

use quench_chart::Chart;
use quench_chart::render::{Helm, Rendered, Request};
use quench_chart::values_documentation::values_documentation;
use quench_model::{
    Cause, CauseKind, Evidence as Fact, Finding, FindingState, Level, PackageName, ParameterPolicy,
};
use serde_json::Value;

use super::parameters;
use super::plain::{plain, request, settings_in_force};
use super::rendered::{numbers, pods};
use super::report::{Numbers, PodVerdict};
use super::tree::Tree;
use super::{Demands, HardenError, findings, surroundings};
use crate::evaluate::{self, Outcome, Verdict};
use crate::rule::{Condition, Path, Root};
use crate::{Settings, rule};

/// Source of the fact that names the field a finding is about.
pub const FIELD: &str = "field";
/// Source of the fact that names the template an object comes from, as a path within the chart.
pub const TEMPLATE: &str = "template";

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Lint {
    /// Every place that breaks a rule: open, or suppressed by a waiver. Facts named [`FIELD`] and [`TEMPLATE`] tell where.
    pub findings: Vec<Finding>,
    /// The same in numbers.
    pub numbers: Numbers,
    /// Pod Security Standard of each workload.
    pub pods: Vec<PodVerdict>,
}

/// Evaluates a chart at the values given. One that hardens itself is looked at as it renders.
///
/// # Errors
/// The chart does not render, or its values cannot be read.
pub async fn lint_chart(
    helm: &Helm,
    chart: &Chart,
    level: Level,
    demands: Demands<'_>,
) -> Result<Lint, HardenError> {
    let request = request(demands)?;
    let defaults = Settings::new(demands.policy, demands.target);
    let mut settings = settings_in_force(chart, &request, &defaults)?;
    // With hardening off there is more to find, not less.
    settings.disabled = false;
    let rendered = helm.render(chart, &request).await?;
    let mut lint = lint_rendered(chart, &rendered, level, demands, &settings);
    let off = settings.off.contains(crate::parameters::RULE);
    if demands.policy.parameters != ParameterPolicy::Off && !off {
        let plain = plain(chart)?;
        let documentation = values_documentation(&plain)?;
        let chosen = parameters::carried(chart);
        let chosen = parameters::in_force(&chosen, &settings);
        let found = parameters::unsafe_now(
            demands.package,
            &plain,
            &request,
            &settings,
            &documentation,
            &rendered,
            &chosen,
        )?;
        for (rule, severity) in found
            .iter()
            .map(|finding| (finding.canonical_id.clone(), finding.severity))
        {
            lint.numbers.findings += 1;
            *lint.numbers.by_severity.entry(severity).or_default() += 1;
            *lint.numbers.by_rule.entry(rule).or_default() += 1;
        }
        lint.findings.extend(found);
        lint.findings
            .extend(parameters::undocumented(demands.package, &documentation));
    }
    lint.findings
        .retain(|finding| demands.policy.rule_enabled(&finding.canonical_id));
    Ok(lint)
}

/// Evaluates manifests. Their documents' sources should be paths, as findings tell them.
///
/// # Errors
/// The name is none that a chart can have.
pub fn lint_manifests(
    name: &PackageName,
    manifests: &Rendered,
    level: Level,
    demands: Demands<'_>,
) -> Result<Lint, HardenError> {
    let metadata = format!("apiVersion: v2\nname: {name}\nversion: 0.0.0\n");
    let chart = Chart::from_files([("Chart.yaml".to_owned(), metadata.into())].into())?;
    let settings = Settings::new(demands.policy, demands.target);
    // All of them are one chart: what a binding in one file gives an account counts for pods in the others.
    let mut rendered = manifests.clone();
    for document in &mut rendered.documents {
        document.source = format!("{name}/templates/{}", document.source);
    }
    let mut lint = lint_rendered(&chart, &rendered, level, demands, &settings);
    for finding in &mut lint.findings {
        for fact in &mut finding.evidence {
            if fact.source == TEMPLATE
                && let Some(path) = fact.fact.strip_prefix("templates/")
            {
                fact.fact = path.to_owned();
            }
        }
    }
    Ok(lint)
}

fn lint_rendered(
    chart: &Chart,
    rendered: &Rendered,
    level: Level,
    demands: Demands<'_>,
    settings: &Settings,
) -> Lint {
    let surroundings = surroundings(level, demands, settings);
    let tree = Tree::new(chart, &Request::default(), rendered);
    let objects: Vec<_> = rendered.objects().collect();
    let (_, of_release) = evaluate::complete(&objects, tree.around_release(surroundings));
    let mut found = findings::findings(demands.package, &of_release);
    found.iter_mut().for_each(open);
    for document in &rendered.documents {
        let Some(object) = &document.object else {
            continue;
        };
        let around = tree.around(document, surroundings);
        let verdicts = evaluate::harden(&mut object.clone(), around);
        let template = document
            .source
            .split_once('/')
            .map_or(document.source.as_str(), |(_, path)| path);
        for mut finding in findings::findings(demands.package, &verdicts) {
            open(&mut finding);
            if let Some(verdict) = verdicts.iter().find(|verdict| {
                verdict.rule == finding.canonical_id
                    && finding.subject.location.as_deref() == Some(&verdict.location())
            }) && let Some(field) = field(verdict)
            {
                finding.evidence.push(Fact::new(FIELD, field));
            }
            finding.evidence.push(Fact::new(TEMPLATE, template));
            found.push(finding);
        }
    }
    Lint {
        findings: found,
        numbers: numbers(rendered, &tree, surroundings),
        pods: pods(rendered, rendered),
    }
}

/// What hardening would fix is not fixed here.
fn open(finding: &mut Finding) {
    if finding.state == FindingState::Resolved {
        finding.message = format!("`quench harden` fixes it: {}", finding.message);
        finding.state = FindingState::Opened;
        finding.cause = Some(Cause {
            kind: CauseKind::Scan,
            detail: finding.canonical_id.clone(),
            epoch: None,
        });
    }
}

/// The field a verdict is about: the one its fix changes, else the first one its rule looks at.
fn field(verdict: &Verdict) -> Option<String> {
    if let Outcome::Fixed { changes, .. } = &verdict.outcome
        && let Some(change) = changes.first()
    {
        return Some(change.field.clone());
    }
    let checks = rule(verdict.rule)?.checks.iter();
    let mut fitting =
        checks.filter(|check| check.kinds.is_empty() || check.kinds.contains(&&*verdict.kind));
    fitting.find_map(|check| first_path(&check.broken))
}

fn first_path(condition: &Condition) -> Option<String> {
    let told = |path: &Path| match path.root {
        Root::Object | Root::Template | Root::Pod | Root::Container if !path.keys.is_empty() => {
            Some(path.keys.join("."))
        }
        _ => None,
    };
    match condition {
        Condition::Present(path)
        | Condition::Is(path, _)
        | Condition::Below(path, _)
        | Condition::Has(path, _)
        | Condition::StartsWith(path, _)
        | Condition::Contains(path, _)
        | Condition::AnyItem(path, _)
        | Condition::AnyKey(path, _)
        | Condition::Mounted(path) => told(path),
        Condition::AnyContainer(condition) | Condition::Not(condition) => first_path(condition),
        Condition::All(all) | Condition::Any(all) => all.iter().find_map(first_path),
        _ => None,
    }
}

/// Reads manifests into what a render is: one document each.
///
/// # Errors
/// A text that is not YAML, with its source and line.
pub fn read_manifests<'t>(
    texts: impl IntoIterator<Item = (&'t str, &'t str)>,
) -> Result<Rendered, HardenError> {
    let mut documents = Vec::new();
    for (source, text) in texts {
        for part in quench_chart::yaml::documents(text) {
            let object = quench_chart::yaml::parse(part)
                .map_err(|error| HardenError::Input(format!("{source}: {error}")))?;
            match object {
                Value::Null => {}
                Value::Object(_) => documents.push(quench_chart::render::Document {
                    source: source.to_owned(),
                    text: part.to_owned(),
                    object: Some(object),
                }),
                _ => {
                    return Err(HardenError::Input(format!(
                        "{source}: a document is no Kubernetes object"
                    )));
                }
            }
        }
    }
    Ok(Rendered {
        text: String::new(),
        documents,
    })
}
