//! Which images a chart may use, and why each is among them.
//!
//! Five ways, united: pod specifications, custom resources, and text, each as rendered over the chart's value space; annotations
//! and lock files; and values that nothing rendered. [`discover`] looks; [`classify`](Discovered::classify) decides what is an
//! image of the package.

mod classify;
mod declared;
mod findings;
mod objects;
mod parts;
mod schemas;
mod text;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use quench_chart::render::{Helm, Rendered, Request as RenderRequest};
use quench_chart::value_space::{
    Exploration, Limits, MergedValues, SetKind, ValueSet, ValueSpace, Visit, explore,
};
use quench_chart::{Chart, yaml};
use quench_model::{Digest, ImageReference};
use quench_package::{Context, EngineError, ImageEvidence, ValuesTried};

pub(crate) use classify::{Classified, Image};
pub(crate) use findings::left_out;
use objects::Mention;
use schemas::Schemas;
use text::Certainty;

/// Places noted of one image; more say no more.
const MAX_EVIDENCE: usize = 100;

/// What a chart says about one image.
#[derive(Debug, Clone)]
pub(crate) struct Sighting {
    /// Spellings.
    pub(crate) spelled: BTreeSet<String>,
    /// Places, each with the fewest changes of values that bring it about, and their name.
    places: BTreeMap<ImageEvidence, (usize, String)>,
    certainty: Certainty,
    /// Whether it is there at the given values.
    is_given: bool,
}

impl Sighting {
    fn new() -> Self {
        Self {
            spelled: BTreeSet::new(),
            places: BTreeMap::new(),
            certainty: Certainty::Unlikely,
            is_given: false,
        }
    }

    /// Places with the values that bring them about.
    pub(crate) fn evidence(&self) -> Vec<ImageEvidence> {
        let evidence: BTreeSet<ImageEvidence> = self
            .places
            .iter()
            .map(|(place, (_, values))| ImageEvidence {
                values: values.clone(),
                ..place.clone()
            })
            .collect();
        evidence.into_iter().collect()
    }
}

/// Everything a chart says about images.
#[derive(Debug, Default)]
pub(crate) struct Discovered {
    sightings: BTreeMap<ImageReference, Sighting>,
    /// Containers without an image at the given values.
    imageless: BTreeSet<ImageEvidence>,
    /// Value sets that could not be looked at, with the reason, and whether an image may hang on them.
    failed: BTreeMap<String, (String, bool)>,
    rendered: usize,
    left_out: usize,
    is_cut: bool,
}

/// Looks for images in a chart at given values, and in what it renders at others.
///
/// # Errors
/// [`EngineError::Input`] with helm's message when the given values do not render, or when they render a pod whose image is no
/// reference: Kubernetes would refuse it too.
pub(crate) async fn discover(
    helm: &Helm,
    chart: &Chart,
    request: &RenderRequest,
    context: &Context,
) -> Result<Discovered, EngineError> {
    let input = |error: quench_chart::ChartError| EngineError::Input(error.to_string());
    let (copy, values) = (chart.clone(), request.values.clone());
    let read = tokio::task::spawn_blocking(move || {
        let space = ValueSpace::of(&copy, &values, Limits::default())?;
        let merged = MergedValues::of(&copy, &values)?;
        Ok((space, merged, Schemas::of(&copy)))
    });
    let (space, merged, schemas) = read
        .await
        .map_err(|error| EngineError::Input(format!("the chart cannot be read: {error}")))?
        .map_err(input)?;

    let mut look = Look {
        chart: chart.name(),
        schemas,
        seen: HashMap::new(),
        found: Discovered::default(),
        refused: None,
        context,
        is_told: false,
    };
    let explored = explore(helm, chart, request, &space, &mut look).await;
    context.progress.finish();
    if let Some(refused) = look.refused {
        return Err(EngineError::Input(refused));
    }
    let explored = explored.map_err(crate::engine::render_error)?;
    let mut found = look.found;
    found.note(&explored);
    for mention in declared::in_files(chart) {
        found.add(&mention, None);
    }
    let in_values = declared::in_values(&merged);
    for one in in_values {
        let reference = &one.mention.reference;
        let is_new = if one.has_tag {
            !found.has_variant(reference)
        } else {
            !found.has_repository(reference)
        };
        // What is rendered is known better from there.
        if is_new && !found.sightings.contains_key(reference) {
            found.add(&one.mention, None);
        }
    }
    Ok(found)
}

/// A document that was looked at.
struct Seen {
    mentions: Arc<[Mention]>,
    /// Fewest changes of a set that renders it.
    fewest: usize,
}

struct Look<'a> {
    chart: &'a str,
    schemas: Schemas,
    seen: HashMap<Digest, Seen>,
    found: Discovered,
    /// Why the given values are refused.
    refused: Option<String>,
    context: &'a Context,
    is_told: bool,
}

impl Visit for Look<'_> {
    fn planned(&mut self, more: usize) {
        // The bar is made once; what comes on top of the plan is small.
        if !self.is_told && more > 1 {
            self.is_told = true;
            self.context
                .progress
                .start("render the value space", more as u64);
        }
    }

    fn rendered(&mut self, set: &ValueSet, text: &str) -> bool {
        let is_given = set.kind == SetKind::Given;
        let documents: Vec<(&str, &str, Digest)> = Rendered::split(text)
            .into_iter()
            .map(|(source, body)| (source, body, Digest::of(format!("{source}\n{body}"))))
            .collect();
        let mut fresh = Vec::new();
        for (source, body, digest) in &documents {
            if self.seen.contains_key(digest) {
                continue;
            }
            match yaml::parse(body) {
                Ok(object) => {
                    self.schemas.add(&object);
                    fresh.push((*source, object, digest));
                }
                Err(error) => {
                    let reason = format!(
                        "chart {}: {source} renders to text that is no YAML: {error}",
                        self.chart
                    );
                    self.refuse(set, reason);
                }
            }
        }
        for (source, object, digest) in fresh {
            let said = objects::look(&object, source, &self.schemas);
            if is_given {
                self.found.imageless.extend(said.imageless);
            }
            for (place, reason) in said.invalid {
                let reason = format!(
                    "{} renders {}/{}, {} {:?}: {reason}; check the values",
                    place.template, place.kind, place.name, place.field, place.container
                );
                self.refuse(set, reason);
            }
            let mentions = said.mentions.into();
            let fewest = usize::MAX;
            self.seen.insert(digest.clone(), Seen { mentions, fewest });
        }
        let mut is_better = false;
        for (_, _, digest) in &documents {
            let Some(seen) = self.seen.get_mut(digest) else {
                continue;
            };
            if seen.fewest <= set.changes.len() {
                continue;
            }
            seen.fewest = set.changes.len();
            for mention in Arc::clone(&seen.mentions).iter() {
                is_better |= self.found.add(mention, Some(set));
            }
        }
        is_better
    }

    fn done(&mut self) {
        self.context.progress.advance(1);
    }
}

impl Look<'_> {
    /// A set that renders what cannot be looked at.
    fn refuse(&mut self, set: &ValueSet, reason: String) {
        if set.kind == SetKind::Given {
            self.refused.get_or_insert(reason);
        } else {
            let matters = set.kind != SetKind::Group;
            self.found
                .failed
                .entry(set.to_string())
                .or_insert((reason, matters));
        }
    }
}

impl Discovered {
    /// Notes a mention, with the set of values that shows it; whether that is news about what is probably an image.
    fn add(&mut self, mention: &Mention, set: Option<&ValueSet>) -> bool {
        let sighting = self
            .sightings
            .entry(mention.reference.clone())
            .or_insert_with(Sighting::new);
        sighting.spelled.insert(mention.text.clone());
        sighting.certainty = sighting.certainty.max(mention.certainty);
        let (changes, values) = match set {
            Some(set) if set.kind == SetKind::Given => {
                sighting.is_given = true;
                (0, String::new())
            }
            Some(set) => (set.changes.len(), set.to_string()),
            None => (0, String::new()),
        };
        let room = sighting.places.len() < MAX_EVIDENCE;
        let is_first = sighting.places.is_empty();
        match sighting.places.get_mut(&mention.evidence) {
            Some(known) if known.0 > changes => *known = (changes, values),
            Some(_) => return false,
            None if room => {
                let place = mention.evidence.clone();
                sighting.places.insert(place, (changes, values));
            }
            None => return false,
        }
        // Another place of an image that is known at fewer changes is no reason to search on.
        let fewest = sighting.places.values().map(|(changes, _)| *changes).min();
        mention.certainty > Certainty::Unlikely
            && (is_first || fewest == Some(changes) && changes > 1)
    }

    fn note(&mut self, explored: &Exploration) {
        for (set, reason) in explored.failures() {
            let matters = set.kind != SetKind::Group;
            self.failed
                .entry(set.to_string())
                .or_insert_with(|| (reason.to_owned(), matters));
        }
        self.rendered = explored.outcomes.len();
        self.left_out = explored.left_out;
        self.is_cut = explored.is_cut;
    }

    /// Whether the repository is that of an image that was rendered, whatever registry it was moved to.
    fn has_repository(&self, reference: &ImageReference) -> bool {
        self.certain()
            .any(|known| same_repository(known, reference))
    }

    /// Whether an image was rendered whose tag is made of this one's: charts put `v` before a version, or a variant after it.
    fn has_variant(&self, reference: &ImageReference) -> bool {
        self.certain().any(|known| {
            same_repository(known, reference)
                && match (known.tag(), reference.tag()) {
                    (Some(known), Some(tag)) => known.contains(tag),
                    _ => known.digest() == reference.digest(),
                }
        })
    }

    fn certain(&self) -> impl Iterator<Item = &ImageReference> {
        self.sightings
            .iter()
            .filter(|(_, sighting)| sighting.certainty == Certainty::Certain)
            .map(|(reference, _)| reference)
    }

    /// Which values were tried.
    pub(crate) fn values_tried(&self) -> ValuesTried {
        ValuesTried {
            rendered: self.rendered,
            failed: self
                .failed
                .iter()
                .map(|(set, (reason, _))| (set.clone(), reason.clone()))
                .collect(),
            left_out: self.left_out,
        }
    }
}

fn same_repository(known: &ImageReference, reference: &ImageReference) -> bool {
    let (known, wanted) = (known.repository(), reference.repository());
    let ends = |long: &str, short: &str| {
        long.strip_suffix(short)
            .is_some_and(|start| start.is_empty() || start.ends_with('/'))
    };
    let plain = |path: &str| path.strip_prefix("library/").unwrap_or(path).to_owned();
    let (known, wanted) = (plain(known), plain(wanted));
    ends(&known, &wanted) || ends(&wanted, &known)
}
