//! Rendering every set of a value space.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::path::Path;

use futures::stream::{self, StreamExt as _};
use quench_model::Digest;

use super::{Changes, ScalarValue, SetKind, ValuePath, ValueSet, ValueSpace};
use crate::chart::Chart;
use crate::render::{Helm, RenderError, Request};

/// Renders spent on turning everything on together.
const ALL_ON_RENDERS: usize = 48;

/// Sees what is rendered, in an order that is always the same.
pub trait Visit: Send {
    /// So many renders more are planned.
    fn planned(&mut self, more: usize) {
        let _ = more;
    }

    /// A set rendered to this text. Texts that were seen before are not shown again.
    ///
    /// Tells whether it would help to know which of the set's changes made a difference: a group is then taken apart.
    fn rendered(&mut self, set: &ValueSet, text: &str) -> bool;

    /// A render is done, shown or not.
    fn done(&mut self) {}
}

/// What became of the sets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exploration {
    /// Every set that was rendered, in order; groups that were taken apart stand there as well.
    pub outcomes: Vec<SetOutcome>,
    /// Sets that were not rendered because the limit was reached.
    pub left_out: usize,
    /// Whether the templates were too large to be read to the end, so that sets may be missing.
    pub is_cut: bool,
}

/// What became of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOutcome {
    /// The set.
    pub set: ValueSet,
    /// Digest of what it renders to, or why it does not render.
    pub rendered: Result<Digest, String>,
}

impl Exploration {
    /// Sets that do not render, with helm's reason.
    pub fn failures(&self) -> impl Iterator<Item = (&ValueSet, &str)> {
        self.outcomes
            .iter()
            .filter_map(|outcome| Some((&outcome.set, outcome.rendered.as_ref().err()?.as_str())))
    }

    /// Number of different texts that were rendered.
    pub fn distinct(&self) -> usize {
        let digests: BTreeSet<&Digest> = self
            .outcomes
            .iter()
            .filter_map(|outcome| outcome.rendered.as_ref().ok())
            .collect();
        digests.len()
    }
}

/// Renders every set of a space, as many at a time as there are processors, and shows each different text to `visit`.
///
/// `request` has the same values the space was made of; `--set` expressions in it win over what a set changes. Dropping the
/// future ends what is running.
///
/// # Errors
/// The given values do not render, or helm cannot be run at all.
pub async fn explore(
    helm: &Helm,
    chart: &Chart,
    request: &Request,
    space: &ValueSpace,
    visit: &mut dyn Visit,
) -> Result<Exploration, RenderError> {
    let scratch = tempfile::Builder::new()
        .prefix("quench-values-")
        .tempdir()
        .map_err(|source| RenderError::Io {
            path: std::env::temp_dir(),
            source,
        })?;
    let folder = scratch.path().join("chart");
    let (copy, target) = (chart.clone(), folder.clone());
    tokio::task::spawn_blocking(move || copy.write_to(&target))
        .await
        .map_err(|error| RenderError::Io {
            path: folder.clone(),
            source: std::io::Error::other(error),
        })??;
    let mut explorer = Explorer {
        helm,
        name: chart.name(),
        folder: &folder,
        request,
        space,
        visit,
        seen: BTreeSet::new(),
        renders: 0,
        result: Exploration {
            left_out: space.left_out,
            is_cut: space.is_cut,
            ..Exploration::default()
        },
    };
    explorer.run().await?;
    Ok(explorer.result)
}

struct Explorer<'a> {
    helm: &'a Helm,
    name: &'a str,
    folder: &'a Path,
    request: &'a Request,
    space: &'a ValueSpace,
    visit: &'a mut dyn Visit,
    seen: BTreeSet<Digest>,
    renders: usize,
    result: Exploration,
}

impl Explorer<'_> {
    async fn run(&mut self) -> Result<(), RenderError> {
        let (given, rest) = match self.space.sets.split_first() {
            Some((given, rest)) => (given.clone(), rest.to_vec()),
            None => return Ok(()),
        };
        self.visit.planned(rest.len() + 1);
        let text = render(self.helm, self.name, self.folder, self.request, &given).await;
        // A chart that does not render as given is not explored further.
        self.take(given, text?);
        let mut round = rest;
        while !round.is_empty() {
            let apart = self.round(round).await?;
            let room = self.space.limits.renders.saturating_sub(self.renders);
            self.result.left_out += apart.len().saturating_sub(room);
            round = apart;
            round.truncate(room);
            self.visit.planned(round.len());
        }
        self.all_on().await
    }

    /// Renders sets, and gives the parts of those groups that are to be taken apart.
    async fn round(&mut self, sets: Vec<ValueSet>) -> Result<Vec<ValueSet>, RenderError> {
        let parallel = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut apart = Vec::new();
        let (helm, name, folder, request) = (self.helm, self.name, self.folder, self.request);
        let mut renders = Vec::with_capacity(sets.len());
        for set in sets {
            renders.push(async move {
                let text = render(helm, name, folder, request, &set).await;
                (set, text)
            });
        }
        let mut renders = stream::iter(renders).buffered(parallel);
        while let Some((set, text)) = renders.next().await {
            match settle(text)? {
                Ok(text) => {
                    let members = self.members(&set);
                    let split = self.take(set.clone(), text) && set.kind == SetKind::Group;
                    if split {
                        apart.extend(self.halves(&set, &members));
                    }
                }
                Err(reason) => {
                    let members = self.members(&set);
                    let parts = self.halves(&set, &members);
                    // Its parts will tell which of them it is.
                    if set.kind != SetKind::Group || parts.is_empty() {
                        self.fail(set, reason);
                    } else {
                        self.count();
                        apart.extend(parts);
                    }
                }
            }
        }
        Ok(apart)
    }

    fn count(&mut self) {
        self.renders += 1;
        self.visit.done();
    }

    fn fail(&mut self, set: ValueSet, reason: String) {
        self.count();
        self.result.outcomes.push(SetOutcome {
            set,
            rendered: Err(reason),
        });
    }

    fn take(&mut self, set: ValueSet, text: String) -> bool {
        let digest = Digest::of(text.as_bytes());
        let wanted = self.seen.insert(digest.clone()) && self.visit.rendered(&set, &text);
        self.count();
        self.result.outcomes.push(SetOutcome {
            set,
            rendered: Ok(digest),
        });
        wanted
    }

    /// The changes of a group that are not there for the sake of others below them.
    fn members(&self, set: &ValueSet) -> Vec<ValuePath> {
        let implied: BTreeSet<&ValuePath> = set
            .changes
            .keys()
            .filter_map(|path| self.space.parents.get(path))
            .flatten()
            .collect();
        set.changes
            .keys()
            .filter(|path| !implied.contains(path))
            .cloned()
            .collect()
    }

    fn halves(&self, set: &ValueSet, members: &[ValuePath]) -> Vec<ValueSet> {
        if members.len() < 2 {
            return Vec::new();
        }
        let (left, right) = members.split_at(members.len() / 2);
        [left, right]
            .into_iter()
            .map(|half| {
                let mut changes = Changes::new();
                for path in half {
                    let Some(value) = set.changes.get(path) else {
                        continue;
                    };
                    changes.insert(path.clone(), value.clone());
                    for parent in self.space.parents.get(path).into_iter().flatten() {
                        if set.changes.contains_key(parent) {
                            changes.insert(parent.clone(), ScalarValue::Bool(true));
                        }
                    }
                }
                ValueSet {
                    kind: SetKind::Group,
                    changes,
                }
            })
            .collect()
    }

    /// Turns on everything that can be on together: all of it, or else half by half, leaving out what does not render.
    async fn all_on(&mut self) -> Result<(), RenderError> {
        let failing: BTreeSet<&ValuePath> = self
            .result
            .failures()
            .filter(|(set, _)| set.changes.len() == 1)
            .flat_map(|(set, _)| set.changes.keys())
            .collect();
        let candidates: Vec<ValuePath> = self
            .space
            .off
            .iter()
            .filter(|path| !failing.contains(path))
            .cloned()
            .collect();
        // One switch was turned by itself; an API version that no image seems to hang on was not.
        let is_covered = |path: &ValuePath| path.as_api_version().is_none();
        if candidates.is_empty() || candidates.len() == 1 && candidates.iter().all(is_covered) {
            return Ok(());
        }
        let mut on: BTreeMap<ValuePath, ScalarValue> = BTreeMap::new();
        let mut open = vec![candidates];
        let mut left = ALL_ON_RENDERS.min(self.space.limits.renders.saturating_sub(self.renders));
        let mut best = None;
        self.visit.planned(1);
        while let Some(paths) = open.pop() {
            if left == 0 {
                self.result.left_out += 1;
                break;
            }
            left -= 1;
            let mut changes = on.clone();
            changes.extend(paths.iter().map(|p| (p.clone(), ScalarValue::Bool(true))));
            let set = ValueSet {
                kind: SetKind::AllOn,
                changes,
            };
            let text = render(self.helm, self.name, self.folder, self.request, &set).await;
            match settle(text)? {
                Ok(text) => {
                    on.clone_from(&set.changes);
                    best = Some((set, text));
                }
                Err(_) if paths.len() > 1 => {
                    let (a, b) = paths.split_at(paths.len() / 2);
                    open.push(b.to_vec());
                    open.push(a.to_vec());
                }
                // It renders by itself, and others with it, but not all of them: nothing that is not covered.
                Err(_) => {}
            }
        }
        match best {
            Some((set, text)) => {
                self.take(set, text);
            }
            None => self.count(),
        }
        Ok(())
    }
}

/// Renders one set.
async fn render(
    helm: &Helm,
    chart: &str,
    folder: &Path,
    request: &Request,
    set: &ValueSet,
) -> Result<String, RenderError> {
    let mut request = request.clone();
    let over = set.values_file();
    if !over.is_empty() {
        request.values.push(over);
    }
    for version in set.api_versions() {
        if !request.api_versions.iter().any(|known| known == version) {
            request.api_versions.push(version.to_owned());
        }
    }
    helm.template(folder, chart, &request).await
}

/// A set that does not render is a fact about the chart; a helm that cannot be run is not.
fn settle(text: Result<String, RenderError>) -> Result<Result<String, String>, RenderError> {
    match text {
        Ok(text) => Ok(Ok(text)),
        Err(error @ (RenderError::Helm { .. } | RenderError::Limit { .. })) => {
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error),
    }
}
