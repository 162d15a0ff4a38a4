//! Whether a package installs where there is no network.
//!
//! [`prove`] renders the packaged chart over its value space, in a network namespace of its own, with every image moved to a
//! registry that does not exist, and looks at each pod: its image must be one of the package. So a proof is about every
//! value set that was rendered, and says which were not. What pods may ask of a network once they run, by a URL in a
//! command, an argument or a variable, is named; whether they do cannot be seen from outside.

mod urls;

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::render::{Helm, RenderError, Rendered, Request as RenderRequest};
use quench_chart::value_space::{Changes, Limits, SetKind, ValueSet, ValueSpace, Visit, explore};
use quench_chart::workload::{self, ObjectId};
use quench_chart::{Chart, yaml};
use quench_model::{Digest, ImageReference, Level};
use quench_package::{Context, EngineError, Package, closure};
use serde::Serialize;
use serde_json::Value;

use crate::engine::render_error;

/// Where images are moved to: a name that never resolves (RFC 6761, "invalid.").
const REGISTRY: &str = "air-gap.invalid/quench";
/// Places named of one image or URL; more say no more.
const MAX_PLACES: usize = 20;

/// What was shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AirGapProof {
    /// The revision.
    pub revision: Digest,
    /// Version of helm that rendered, without a network.
    pub helm: String,
    /// Value sets rendered, the given values included.
    pub rendered: usize,
    /// Different texts among them.
    pub distinct: usize,
    /// Value sets that do not render, with helm's reason: nothing is shown about them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, String>,
    /// Value sets left out because there were too many: nothing is shown about them.
    pub left_out: usize,
    /// Whether templates were too large to list every value set.
    pub is_cut: bool,
    /// Images that pods run, by the name the chart gives them, and their digest in the package.
    pub images: BTreeMap<String, Digest>,
    /// Images that are in the package but named where nothing moves them to another registry: a mirror must answer
    /// for their own names. With the places that name them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub own_names: BTreeMap<String, BTreeSet<String>>,
    /// URLs that pods are given, by scheme and host, with the places that hold them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub may_need_network: BTreeMap<String, BTreeSet<String>>,
}

impl AirGapProof {
    /// Whether every value set that is known of was looked at.
    pub fn is_complete(&self) -> bool {
        self.failed.is_empty() && self.left_out == 0 && !self.is_cut
    }
}

/// Why it cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum AirGapError {
    /// Something is needed that is not in the package.
    #[error("{package} needs what is not in it:\n  {}", problems.join("\n  "))]
    NotShown {
        /// The package.
        package: String,
        /// Each thing that is needed, and where.
        problems: Vec<String>,
    },
    /// It could not be looked at.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Shows that a package installs without a network.
///
/// # Errors
/// [`AirGapError::NotShown`] names every image outside the package and everything helm would ask a network for.
pub async fn prove(
    helm: &Helm,
    package: &Package,
    context: &Context,
) -> Result<AirGapProof, AirGapError> {
    let helm = helm.clone().without_network().map_err(render_error)?;
    let chart = package
        .load_chart(&context.store)
        .await
        .map_err(EngineError::from)?;
    let request = render_request(package, &chart, context).await?;
    let mut look = Look::of(package, context).await?;
    look.problems.extend(wanting(&chart));
    let (copy, values) = (chart.clone(), request.values.clone());
    let space =
        tokio::task::spawn_blocking(move || ValueSpace::of(&copy, &values, Limits::default()))
            .await
            .map_err(|e| EngineError::Input(format!("the chart cannot be read: {e}")))?
            .map_err(|e| EngineError::Input(e.to_string()))?;
    let explored = explore(&helm, &chart, &request, &space, &mut look).await;
    context.progress.finish();
    context.check_cancelled()?;
    let explored = match explored {
        Ok(explored) => Some(explored),
        // Why it does not render may be the very thing that is missing, which says more.
        Err(RenderError::Helm { message, .. }) if !look.problems.is_empty() => {
            look.problems
                .insert(format!("the chart does not render: {message}"));
            None
        }
        Err(error) => return Err(render_error(error).into()),
    };
    let (Some(explored), true) = (explored, look.problems.is_empty()) else {
        return Err(AirGapError::NotShown {
            package: package.name.to_string(),
            problems: look.problems.into_iter().collect(),
        });
    };
    Ok(AirGapProof {
        revision: package.revision.digest.clone(),
        helm: helm.version().await.map_err(render_error)?,
        rendered: explored.outcomes.len(),
        distinct: explored.distinct(),
        failed: explored
            .failures()
            .map(|(set, reason)| (set.to_string(), reason.to_owned()))
            .collect(),
        left_out: explored.left_out,
        is_cut: explored.is_cut,
        images: look.images,
        own_names: look.own_names,
        may_need_network: look.urls,
    })
}

/// The images that pods run at the given values, by the name the chart gives them: all of them are in the package. This is one
/// render and takes no isolation, so it says nothing of other values and of the network; [`prove`] does.
///
/// # Errors
/// [`AirGapError::NotShown`] names every image outside the package.
pub async fn images_at_given_values(
    helm: &Helm,
    package: &Package,
    context: &Context,
) -> Result<BTreeMap<String, Digest>, AirGapError> {
    let chart = package
        .load_chart(&context.store)
        .await
        .map_err(EngineError::from)?;
    let request = render_request(package, &chart, context).await?;
    let mut look = Look::of(package, context).await?;
    let rendered = helm
        .render(&chart, &request)
        .await
        .map_err(render_error)
        .map_err(AirGapError::Engine)?;
    let given = ValueSet {
        kind: SetKind::Given,
        changes: Changes::new(),
    };
    for object in rendered.objects() {
        look.object(object, &given);
    }
    if look.problems.is_empty() {
        return Ok(look.images);
    }
    Err(AirGapError::NotShown {
        package: package.name.to_string(),
        problems: look.problems.into_iter().collect(),
    })
}

async fn render_request(
    package: &Package,
    chart: &Chart,
    context: &Context,
) -> Result<RenderRequest, EngineError> {
    let given = package.request(&context.store).await?;
    let mut values = Vec::with_capacity(given.values.len());
    for (position, bytes) in given.values.iter().enumerate() {
        let text = yaml::text(bytes)
            .map_err(|e| EngineError::Input(format!("values file {}: {e}", position + 1)))?;
        values.push(text.to_owned());
    }
    let mut request = RenderRequest {
        release: chart.name().to_owned(),
        values,
        kube_version: given.target.kube_version.clone(),
        ..RenderRequest::default()
    };
    // From level 2 on the chart moves its images itself.
    if package.level >= Level::Configured {
        request
            .set
            .push(format!("global.hardening.registry={REGISTRY}"));
    }
    Ok(request)
}

/// What helm would ask a network for before it renders anything.
fn wanting(chart: &Chart) -> Vec<String> {
    let mut found = Vec::new();
    for node in chart.nodes() {
        for dependency in node.missing_dependencies() {
            found.push(format!(
                "{} depends on {dependency}, which is not in the chart",
                node.name
            ));
        }
    }
    for (path, content) in chart.files() {
        if !path.ends_with("values.schema.json") {
            continue;
        }
        if let Ok(schema) = serde_json::from_slice::<Value>(content) {
            let own = schema
                .get("$id")
                .and_then(Value::as_str)
                .unwrap_or_default();
            for reference in urls::remote_references(&schema) {
                if own.is_empty() || !reference.starts_with(own) {
                    found.push(format!(
                        "{path} refers to {reference}, which helm would fetch"
                    ));
                }
            }
        }
    }
    found
}

/// The images of the package.
struct Packaged {
    /// Every manifest and index of every image.
    digests: BTreeSet<Digest>,
    /// Images by reference.
    by_reference: BTreeMap<ImageReference, Digest>,
    /// Spellings of the lock, for places that no pod specification is.
    spelled: BTreeMap<String, String>,
}

impl Packaged {
    async fn of(package: &Package, context: &Context) -> Result<Self, EngineError> {
        let store = &context.store;
        let mut found = Self {
            digests: BTreeSet::new(),
            by_reference: BTreeMap::new(),
            spelled: BTreeMap::new(),
        };
        for image in &package.images {
            found
                .by_reference
                .insert(image.reference.clone(), image.descriptor.digest.clone());
            for part in closure(store, &image.descriptor).await? {
                if part.is_manifest() {
                    found.digests.insert(part.digest);
                }
            }
        }
        for (reference, locked) in package.load_lock(store).await?.images {
            for spelled in locked.rendered {
                // A bare word such as `nginx` is found in any text.
                if spelled.contains([':', '/', '@']) {
                    found.spelled.insert(spelled, reference.clone());
                }
            }
        }
        Ok(found)
    }
}

struct Look<'a> {
    packaged: Packaged,
    context: &'a Context,
    images: BTreeMap<String, Digest>,
    own_names: BTreeMap<String, BTreeSet<String>>,
    urls: BTreeMap<String, BTreeSet<String>>,
    problems: BTreeSet<String>,
    is_told: bool,
}

impl Visit for Look<'_> {
    fn planned(&mut self, more: usize) {
        if !self.is_told && more > 1 {
            self.is_told = true;
            let progress = &self.context.progress;
            progress.start("render without a network", more as u64);
        }
    }

    fn rendered(&mut self, set: &ValueSet, text: &str) -> bool {
        let before = self.problems.len();
        match Rendered::parse(text.to_owned(), "the chart") {
            Ok(rendered) => {
                for object in rendered.objects() {
                    self.object(object, set);
                }
            }
            Err(error) => {
                self.problems.insert(format!("{error} (at {set})"));
            }
        }
        // Which switch of a group brings a problem about is worth knowing.
        self.problems.len() > before
    }

    fn done(&mut self) {
        self.context.progress.advance(1);
    }
}

impl<'a> Look<'a> {
    async fn of(package: &Package, context: &'a Context) -> Result<Self, EngineError> {
        Ok(Self {
            packaged: Packaged::of(package, context).await?,
            context,
            images: BTreeMap::new(),
            own_names: BTreeMap::new(),
            urls: BTreeMap::new(),
            problems: BTreeSet::new(),
            is_told: false,
        })
    }

    fn object(&mut self, object: &Value, set: &ValueSet) {
        let id = ObjectId::of(object);
        if let Some(pod) = workload::pod(object) {
            for container in pod.containers() {
                let place = format!("{id}, container {:?}", container.name);
                if let Some(image) = container.image.filter(|image| !image.is_empty()) {
                    self.image(image, &place, set);
                }
                for url in urls::in_container(container.spec) {
                    note(&mut self.urls, url, &place);
                }
            }
            for volume in pod
                .spec
                .get("volumes")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                if let Some(image) = volume.pointer("/image/reference").and_then(Value::as_str) {
                    self.image(image, &format!("{id}, image volume"), set);
                }
            }
        }
        let mut texts = Vec::new();
        urls::texts(object, &mut Vec::new(), &mut texts);
        for (path, text) in texts {
            let is_pod_image = path
                .last()
                .is_some_and(|key| key == "image" || key == "reference")
                && workload::pod_pointer(&id.api_version, &id.kind).is_some();
            if is_pod_image {
                continue;
            }
            for word in text.split(|c: char| !is_of_reference(c)) {
                if let Some(reference) = self.packaged.spelled.get(word) {
                    let place = format!("{id}, {}", path.join("."));
                    note(&mut self.own_names, reference.clone(), &place);
                }
            }
        }
    }

    /// Notes an image that a pod runs.
    fn image(&mut self, image: &str, place: &str, set: &ValueSet) {
        let at = match set.kind {
            SetKind::Given => String::new(),
            _ => format!(" (at {set})"),
        };
        let reference: ImageReference = match image.parse() {
            Ok(reference) => reference,
            Err(error) => {
                self.problems.insert(format!("{place}{at}: {error}"));
                return;
            }
        };
        let moved = image
            .strip_prefix(REGISTRY)
            .and_then(|rest| rest.strip_prefix('/'));
        let digest = match (reference.digest(), moved) {
            (Some(digest), _) if self.packaged.digests.contains(digest) => Some(digest.clone()),
            (_, None) => self.packaged.by_reference.get(&reference).cloned(),
            _ => None,
        };
        let Some(digest) = digest else {
            let shown = moved.unwrap_or(image);
            // Once for an image and place, however many value sets show it.
            let start = format!("image {shown} of {place} is not in the package");
            if !self
                .problems
                .iter()
                .any(|problem| problem.starts_with(&start))
            {
                self.problems.insert(format!("{start}{at}"));
            }
            return;
        };
        match moved {
            Some(name) => {
                self.images.insert(name.to_owned(), digest);
            }
            None => {
                self.images.insert(reference.to_string(), digest);
                note(&mut self.own_names, reference.to_string(), place);
            }
        }
    }
}

fn is_of_reference(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | ':' | '@')
}

fn note(map: &mut BTreeMap<String, BTreeSet<String>>, key: String, place: &str) {
    let places = map.entry(key).or_default();
    if places.len() < MAX_PLACES {
        places.insert(place.to_owned());
    }
}
