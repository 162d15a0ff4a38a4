//! Trying parameters.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use futures::stream::{self, StreamExt as _};
use quench_chart::Chart;
use quench_chart::compare::{Options, compare};
use quench_chart::render::{Helm, RenderError, Rendered, Request};
use quench_chart::values_documentation::{ValuesDocumentation, path_text};
use quench_model::{Finding, PackageName};
use serde_json::Value;

use super::candidate::{Candidate, candidates};
use super::effect::Assessed;
use super::findings::of_recommended;
use super::{Kept, Override, Parameters, Recommended, as_text, is_waived};
use crate::Settings;
use crate::evaluate::Surroundings;
use crate::hardening::HardenError;
use crate::parameters::{Choice, NO_DEFAULT_PASSWORD, Removes, Safe};

/// Most parameters that are tried on one chart; further ones are recommended unseen. Each costs one render, or two.
const MAX_TRIED: usize = 64;
/// Longest message of helm that is told, in characters.
const MAX_MESSAGE: usize = 400;

/// What the search works on.
pub(in super::super) struct Input<'a> {
    pub(in super::super) helm: &'a Helm,
    /// The chart as its author made it.
    pub(in super::super) chart: &'a Chart,
    pub(in super::super) request: &'a Request,
    pub(in super::super) surroundings: Surroundings<'a>,
    pub(in super::super) documentation: &'a ValuesDocumentation,
    /// What it renders to at the values given.
    pub(in super::super) before: &'a Rendered,
    /// Whether safe values are chosen, or only recommended.
    pub(in super::super) chooses: bool,
}

/// What became of a candidate.
enum Tried {
    /// The chart renders the same.
    NoEffect,
    /// It makes the chart safer and harms nothing; places that still break a rule and are not mended.
    Good(usize),
    /// It is not to be made the default.
    Bad(String),
}

/// Tries every security parameter of a chart that stands at an unsafe value.
///
/// # Errors
/// Helm cannot be run, or the chart cannot be read.
pub(in super::super) async fn search(
    input: Input<'_>,
) -> Result<(Parameters, Vec<Override>), HardenError> {
    let given = given_values(input.request)?;
    let all = candidates(input.chart, &given, input.documentation, input.before)?;
    let all: Vec<Candidate> = all
        .into_iter()
        .filter(|candidate| !is_waived(input.surroundings.settings, &candidate.path))
        .collect();
    let (tried, rest): (Vec<_>, Vec<_>) = all
        .into_iter()
        .partition(|candidate| !candidate.is_given && candidate.parameter.safe.value().is_some());
    let mut parameters = Parameters::default();
    for candidate in rest {
        let reason = reason_unseen(&candidate);
        parameters.recommended.push(recommend(&candidate, reason));
    }
    if tried.is_empty() {
        return Ok((parameters, Vec::new()));
    }
    let trial = Trial::new(input).await?;
    let outcomes: Vec<Result<(Tried, usize), HardenError>> =
        stream::iter(tried.iter().take(MAX_TRIED))
            .map(|candidate| trial.one(candidate))
            .buffered(std::thread::available_parallelism().map_or(2, NonZeroUsize::get))
            .collect()
            .await;
    let mut good: Vec<(&Candidate, usize)> = Vec::new();
    for (candidate, outcome) in tried.iter().zip(outcomes) {
        let (outcome, renders) = outcome?;
        parameters.renders += renders;
        match outcome {
            Tried::NoEffect => {}
            Tried::Good(left) => good.push((candidate, left)),
            Tried::Bad(reason) => parameters.recommended.push(recommend(candidate, reason)),
        }
    }
    for candidate in tried.iter().skip(MAX_TRIED) {
        let reason = format!("not tried: the chart has more than {MAX_TRIED} parameters like it");
        parameters.recommended.push(recommend(candidate, reason));
    }
    let kept = trial.together(&good, &mut parameters).await?;
    let without = trial.base.broken.len() + 1;
    let mut chosen = Vec::new();
    for (candidate, left) in kept {
        chosen.extend(choice(candidate));
        parameters.kept.push(Kept {
            path: path_text(&candidate.path),
            meaning: candidate.parameter.meaning.to_owned(),
            before: candidate.current.clone(),
            after: candidate.parameter.safe.value().unwrap_or_default(),
            why: candidate.parameter.why.to_owned(),
            references: references(candidate),
            findings: Some((without, left)),
        });
    }
    parameters.kept.sort_by(|a, b| a.path.cmp(&b.path));
    parameters
        .recommended
        .sort_by(|a, b| (b.severity, &a.path).cmp(&(a.severity, &b.path)));
    chosen.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((parameters, chosen))
}

/// Findings about parameters that stand at an unsafe value, found without trying any. `chosen` are defaults that the chart has
/// by hardening.
pub(in super::super) fn unsafe_now(
    package: &PackageName,
    chart: &Chart,
    request: &Request,
    settings: &Settings,
    documentation: &ValuesDocumentation,
    rendered: &Rendered,
    chosen: &[Override],
) -> Result<Vec<Finding>, HardenError> {
    let mut given = vec![super::as_values(chosen)];
    given.extend(given_values(request)?);
    Ok(candidates(chart, &given, documentation, rendered)?
        .iter()
        .filter(|candidate| !is_waived(settings, &candidate.path))
        .map(|candidate| of_recommended(package, &recommend(candidate, String::new())))
        .collect())
}

fn given_values(request: &Request) -> Result<Vec<Value>, HardenError> {
    request
        .values
        .iter()
        .map(|text| quench_chart::yaml::values(text))
        .collect::<Result<_, _>>()
        .map_err(|error| HardenError::Input(format!("values: {error}")))
}

fn choice(candidate: &Candidate) -> Option<Override> {
    Some(Override {
        path: candidate.path.clone(),
        value: candidate.parameter.safe.value()?,
    })
}

fn references(candidate: &Candidate) -> Vec<String> {
    let references = candidate.parameter.references.iter();
    references.map(ToString::to_string).collect()
}

fn reason_unseen(candidate: &Candidate) -> String {
    match (candidate.parameter.safe, candidate.parameter.choice) {
        _ if candidate.is_given => {
            "your values set it, and what you give is never changed".to_owned()
        }
        (_, Choice::People(reason)) => reason.to_owned(),
        (Safe::Given(words), _) => words.to_owned(),
        _ => "it was not tried".to_owned(),
    }
}

fn recommend(candidate: &Candidate, reason: String) -> Recommended {
    let parameter = candidate.parameter;
    // A password would go from the values into reports and findings.
    let current = match parameter.rule == NO_DEFAULT_PASSWORD {
        true => Value::from("(not repeated)"),
        false => candidate.current.clone(),
    };
    Recommended {
        path: path_text(&candidate.path),
        meaning: parameter.meaning.to_owned(),
        current,
        recommended: parameter.safe.value(),
        why: parameter.why.to_owned(),
        reason,
        severity: parameter.severity,
        rule: parameter.rule.to_owned(),
        references: references(candidate),
    }
}

/// Renders of a chart with other values.
struct Trial<'a> {
    input: Input<'a>,
    /// Holds the chart while it is rendered.
    _scratch: tempfile::TempDir,
    folder: PathBuf,
    base: Assessed,
    /// A second render at the values given: charts put in random values.
    again: Rendered,
}

impl<'a> Trial<'a> {
    async fn new(input: Input<'a>) -> Result<Self, HardenError> {
        let scratch = tempfile::Builder::new()
            .prefix("quench-parameters-")
            .tempdir()
            .map_err(|error| {
                HardenError::Unavailable(format!("{}: {error}", std::env::temp_dir().display()))
            })?;
        let folder = scratch.path().join("chart");
        let (copy, target) = (input.chart.clone(), folder.clone());
        tokio::task::spawn_blocking(move || copy.write_to(&target))
            .await
            .map_err(|error| HardenError::Unavailable(error.to_string()))??;
        let base = Assessed::new(input.chart, input.request, input.before, input.surroundings);
        let again = input.helm.render_path(&folder, input.request).await?;
        Ok(Self {
            input,
            _scratch: scratch,
            folder,
            base,
            again,
        })
    }

    /// Renders with values under those of the user; the inner error is helm's refusal.
    async fn render(&self, chosen: &[Override]) -> Result<Result<Rendered, String>, HardenError> {
        let mut request = self.input.request.clone();
        request.values = as_text(chosen).into_iter().chain(request.values).collect();
        match self.input.helm.render_path(&self.folder, &request).await {
            Ok(rendered) => Ok(Ok(rendered)),
            Err(
                error @ (RenderError::NoHelm | RenderError::Start { .. } | RenderError::Io { .. }),
            ) => Err(error.into()),
            Err(RenderError::Helm { message, .. }) => Ok(Err(short(&message))),
            Err(error) => Ok(Err(short(&error.to_string()))),
        }
    }

    fn assess(&self, rendered: &Rendered) -> Assessed {
        Assessed::new(
            self.input.chart,
            self.input.request,
            rendered,
            self.input.surroundings,
        )
    }

    /// Tries one parameter, and tells how many renders that took.
    async fn one(&self, candidate: &Candidate) -> Result<(Tried, usize), HardenError> {
        let Some(choice) = choice(candidate) else {
            return Ok((Tried::NoEffect, 0));
        };
        let chosen = [choice];
        let rendered = match self.render(&chosen).await? {
            Ok(rendered) => rendered,
            Err(message) => {
                let bad = Tried::Bad(format!("the chart does not render with it: {message}"));
                return Ok((bad, 1));
            }
        };
        let options = Options {
            ignore_checksums: true,
            again: std::slice::from_ref(&self.again),
        };
        if compare(self.input.before, &rendered, options).is_same() {
            return Ok((Tried::NoEffect, 1));
        }
        if let Choice::People(reason) = candidate.parameter.choice {
            return Ok((Tried::Bad(reason.to_owned()), 1));
        }
        if let Some(obstacle) = &candidate.obstacle {
            let reason = format!("it can be given, but not be made a default: {obstacle}");
            return Ok((Tried::Bad(reason), 1));
        }
        if !self.input.chooses {
            let reason = "the policy says that parameters are only recommended".to_owned();
            return Ok((Tried::Bad(reason), 1));
        }
        let after = self.assess(&rendered);
        if let Some(harm) = self.base.harm(&after, &[candidate.parameter.removes]) {
            return Ok((Tried::Bad(harm), 1));
        }
        // Values made at random are only seen when the chart is rendered once more.
        let again = self.render(&chosen).await?;
        if again.is_ok_and(|again| self.is_more_random(&rendered, &again)) {
            let reason = "with it the chart makes up a secret at each render, which tools that render anew (Argo CD, Flux) would \
                          change each time; name an existing Secret together with it";
            return Ok((Tried::Bad(reason.to_owned()), 2));
        }
        Ok((Tried::Good(after.broken.len()), 2))
    }

    fn is_more_random(&self, rendered: &Rendered, again: &Rendered) -> bool {
        let random = |a: &Rendered, b: &Rendered| {
            let options = Options {
                ignore_checksums: true,
                again: &[],
            };
            compare(a, b, options).total
        };
        random(rendered, again) > random(self.input.before, &self.again)
    }

    /// The parameters that can be kept together: all of them, else those that go with the ones before.
    async fn together<'c>(
        &self,
        good: &[(&'c Candidate, usize)],
        parameters: &mut Parameters,
    ) -> Result<Vec<(&'c Candidate, usize)>, HardenError> {
        if good.len() < 2 {
            return Ok(good.to_vec());
        }
        parameters.renders += 1;
        if self.harm_of(good).await?.is_none() {
            return Ok(good.to_vec());
        }
        let mut kept: Vec<(&Candidate, usize)> = Vec::new();
        for candidate in good {
            kept.push(*candidate);
            parameters.renders += 1;
            if let Some(harm) = self.harm_of(&kept).await? {
                kept.pop();
                let reason =
                    format!("it does not go together with the other values chosen: {harm}");
                parameters.recommended.push(recommend(candidate.0, reason));
            }
        }
        Ok(kept)
    }

    async fn harm_of(&self, chosen: &[(&Candidate, usize)]) -> Result<Option<String>, HardenError> {
        let values: Vec<Override> = chosen
            .iter()
            .filter_map(|(candidate, _)| choice(candidate))
            .collect();
        let removes: Vec<Removes> = chosen
            .iter()
            .map(|(candidate, _)| candidate.parameter.removes)
            .collect();
        Ok(match self.render(&values).await? {
            Err(message) => Some(format!("the chart does not render with them: {message}")),
            Ok(rendered) => self.base.harm(&self.assess(&rendered), &removes),
        })
    }
}

fn short(message: &str) -> String {
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match message.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", message.get(..end).unwrap_or_default()),
        None => message,
    }
}
