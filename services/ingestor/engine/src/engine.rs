//! From a submission to a package.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use quench_chart::render::{Helm, RenderError, Rendered, Request as RenderRequest};
use quench_chart::{Chart, yaml};
use quench_content::{RegistryAccess, RegistryClient, Store, StoreError};
use quench_model::{Descriptor, Digest, ImageReference, Level, PackageName, Platform};
use quench_package::{
    Context, EngineError, ImageLock, ImageOrigin, LockedImage, Outcome, Package, PackageImage,
    PackageParts, Submission, Work, closure,
};
use serde::Deserialize;

use crate::discover::{Discovered, Discovery, discover};
use crate::fetch::{self, FetchError};
use crate::matching;

/// Changes whenever the same submission becomes another package.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");
/// Wait before an image that could not be had is asked for again.
const IMAGE_RETRY: Duration = Duration::from_secs(60);
/// Most bytes of a chart archive.
pub(crate) const CHART_LIMIT: u64 = 256 << 20;
/// Most bytes of an image configuration.
const CONFIG_LIMIT: u64 = 8 << 20;

/// How the engine works; none of it changes what a submission becomes, save [`EngineOptions::platforms`].
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// How the images' registries are reached.
    pub access: RegistryAccess,
    /// Platforms to fetch; empty means every one an image offers.
    pub platforms: Vec<Platform>,
    /// What renders charts; without one, `QUENCH_HELM` or the `helm` on PATH.
    pub helm: Option<Helm>,
}

/// The ingestor's engine.
#[derive(Debug, Clone)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine.
    pub fn new(mut options: EngineOptions) -> Self {
        options.platforms.sort();
        options.platforms.dedup();
        Self { options }
    }

    /// Makes a submission a package of level 1, or gives the package that was made of it before.
    ///
    /// A tag is looked up once: what it pointed to then is what the package holds, however often the same
    /// submission comes.
    ///
    /// # Errors
    /// [`EngineError::Input`] with helm's message when the chart does not render at the given values;
    /// [`EngineError::Unavailable`] when an image cannot be had.
    pub async fn run(
        &self,
        submission: &Submission,
        context: &Context,
    ) -> Result<Outcome, EngineError> {
        let policy = submission.parts.request.policy.digest();
        let work = Work {
            level: Level::Integrated,
            engine_version: &self.version(),
            input: &submission.descriptor.digest,
            policy: &policy,
            epoch: None,
        };
        let job = work.replay_or_run(context, async || self.integrate(submission, context).await);
        match context.cancel.run_until_cancelled(job).await {
            Some(result) => result,
            None => Err(EngineError::Cancelled),
        }
    }

    fn version(&self) -> String {
        let platforms: Vec<String> = self
            .options
            .platforms
            .iter()
            .map(Platform::to_string)
            .collect();
        format!("{VERSION} {}", platforms.join(","))
    }

    async fn integrate(
        &self,
        submission: &Submission,
        context: &Context,
    ) -> Result<Outcome, EngineError> {
        let store = &context.store;
        let parts = &submission.parts;
        let chart = load_chart(store, &parts.chart).await?;
        let name = package_name(&chart)?;
        let rendered = self.render(&chart, submission).await?;
        let Discovered { images, findings } = discover(&name, &rendered)?;

        let given = matching::choose(images.keys(), &parts.images)?;
        let mut locked = ImageLock::default();
        let mut package_images = Vec::with_capacity(images.len());
        let mut add = |reference: &ImageReference, original: Digest, lock: LockedImage| {
            package_images.push(PackageImage {
                reference: reference.clone(),
                original,
                descriptor: descriptor_of(&lock),
            });
            locked.images.insert(reference.to_string(), lock);
        };
        for (reference, (descriptor, origin)) in &given {
            let Some(discovery) = images.get(reference) else {
                continue;
            };
            let lock = lock(store, descriptor, origin.clone(), discovery).await?;
            add(reference, descriptor.digest.clone(), lock);
        }
        let missing: Vec<&ImageReference> = images
            .keys()
            .filter(|reference| !given.contains_key(reference))
            .collect();
        for (reference, plan) in self.fetch(&missing, &images, submission, context).await? {
            let Some(discovery) = images.get(reference) else {
                continue;
            };
            let lock = lock(store, &plan.descriptor, ImageOrigin::Registry, discovery).await?;
            add(reference, plan.original, lock);
        }

        let parts = PackageParts {
            name,
            version: chart.version().to_owned(),
            level: Level::Integrated,
            previous: None,
            chart: Package::store_chart(store, chart.metadata(), &parts.chart).await?,
            images: package_images,
            request: parts.request.store(store).await?,
            lock: Some(locked.store(store).await?),
        };
        Ok(Outcome::new(Package::store(store, parts).await?, findings))
    }

    async fn fetch<'a>(
        &self,
        references: &[&'a ImageReference],
        images: &BTreeMap<ImageReference, Discovery>,
        submission: &Submission,
        context: &Context,
    ) -> Result<Vec<(&'a ImageReference, fetch::Plan)>, EngineError> {
        if references.is_empty() {
            return Ok(Vec::new());
        }
        let client = RegistryClient::new(self.options.access.clone())?;
        context
            .progress
            .start("look up images", references.len() as u64);
        let plans = fetch::plan_all(&client, references, &self.options.platforms, &context.store)
            .await
            .map_err(|(reference, error)| unavailable(&[reference], images, submission, error))?;
        context.progress.finish();
        fetch::fetch(&plans, context)
            .await
            .map_err(|error| unavailable(references, images, submission, error))?;
        Ok(references.iter().copied().zip(plans).collect())
    }

    async fn render(
        &self,
        chart: &Chart,
        submission: &Submission,
    ) -> Result<Rendered, EngineError> {
        let request = &submission.parts.request;
        let mut values = Vec::with_capacity(request.values.len());
        for (position, bytes) in request.values.iter().enumerate() {
            let text = yaml::text(bytes)
                .map_err(|e| EngineError::Input(format!("values file {}: {e}", position + 1)))?;
            values.push(text.to_owned());
        }
        let helm = match &self.options.helm {
            Some(helm) => helm.clone(),
            None => Helm::find().map_err(render_error)?,
        };
        let render = RenderRequest {
            release: chart.name().to_owned(),
            namespace: "default".to_owned(),
            values,
            kube_version: request.target.kube_version.clone(),
            ..RenderRequest::default()
        };
        helm.render(chart, &render).await.map_err(render_error)
    }
}

/// Says which image cannot be had, who needs it, and what to do.
fn unavailable(
    references: &[&ImageReference],
    images: &BTreeMap<ImageReference, Discovery>,
    submission: &Submission,
    error: FetchError,
) -> EngineError {
    let (reason, retry_after) = match error {
        FetchError::Unavailable(reason, retry_after) => (reason, retry_after),
        FetchError::Engine(error) => return error,
    };
    let names: Vec<String> = references.iter().map(ToString::to_string).collect();
    let needed = references
        .iter()
        .filter_map(|reference| images.get(*reference)?.evidence.first())
        .map(|e| {
            format!(
                " (needed by {}/{}, {} {:?})",
                e.kind, e.name, e.field, e.container
            )
        })
        .next()
        .unwrap_or_default();
    let table = &submission.parts.images;
    let given: Vec<&str> = table.images.keys().map(String::as_str).collect();
    let given = if given.is_empty() {
        String::new()
    } else {
        format!("; given are {}", given.join(", "))
    };
    EngineError::Unavailable {
        reason: format!(
            "image {}{needed} cannot be had: {reason}; give it with --images-from oci:DIR, docker-archive:FILE \
             or oci-archive:FILE{given}",
            names.join(", ")
        ),
        retry_after: retry_after.unwrap_or(IMAGE_RETRY),
    }
}

/// The lineage a chart's package belongs to.
pub(crate) fn package_name(chart: &Chart) -> Result<PackageName, EngineError> {
    chart
        .name()
        .parse()
        .map_err(|e| EngineError::Input(format!("Chart.yaml: name: {e}")))
}

pub(crate) async fn load_chart(store: &Store, archive: &Descriptor) -> Result<Chart, EngineError> {
    let bytes = store.read(archive, CHART_LIMIT).await?;
    let name = format!("chart {}", archive.digest);
    let chart = tokio::task::spawn_blocking(move || Chart::from_tgz(bytes.as_slice(), &name))
        .await
        .map_err(|e| EngineError::Input(format!("the chart cannot be read: {e}")))?;
    chart.map_err(|e| EngineError::Input(e.to_string()))
}

pub(crate) fn render_error(error: RenderError) -> EngineError {
    match error {
        RenderError::NoHelm | RenderError::Start { .. } | RenderError::NoIsolation { .. } => {
            EngineError::Unavailable {
                reason: error.to_string(),
                retry_after: IMAGE_RETRY,
            }
        }
        RenderError::Io { path, source } => EngineError::Store(StoreError::Io {
            action: "write",
            path,
            source,
        }),
        error => EngineError::Input(error.to_string()),
    }
}

fn descriptor_of(lock: &LockedImage) -> Descriptor {
    Descriptor {
        media_type: lock.media_type.clone(),
        digest: lock.digest.clone(),
        size: lock.size,
        artifact_type: None,
        platform: None,
        annotations: BTreeMap::new(),
    }
}

#[derive(Deserialize)]
struct ConfigPlatform {
    architecture: Option<String>,
    os: Option<String>,
    variant: Option<String>,
}

/// Writes down what a reference became, and makes sure that all of it is in the store.
async fn lock(
    store: &Store,
    descriptor: &Descriptor,
    origin: ImageOrigin,
    discovery: &Discovery,
) -> Result<LockedImage, EngineError> {
    let mut total_size = 0;
    let mut platforms = BTreeSet::new();
    for part in closure(store, descriptor).await? {
        if !store.contains(&part).await? {
            return Err(EngineError::Store(StoreError::NotFound {
                digest: part.digest,
                media_type: part.media_type,
                place: store.place(),
            }));
        }
        total_size += part.size;
        if fetch::is_image_config(&part) {
            let config: ConfigPlatform = store.read_json(&part, CONFIG_LIMIT).await?;
            if let (Some(architecture), Some(os)) = (config.architecture, config.os)
                && architecture != "unknown"
            {
                platforms.insert(Platform {
                    architecture,
                    os,
                    variant: config.variant,
                });
            }
        }
    }
    Ok(LockedImage {
        rendered: discovery.rendered.iter().cloned().collect(),
        digest: descriptor.digest.clone(),
        media_type: descriptor.media_type.clone(),
        size: descriptor.size,
        total_size,
        platforms: platforms.into_iter().collect(),
        origin,
        evidence: discovery.evidence.iter().cloned().collect(),
    })
}
