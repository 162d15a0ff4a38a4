//! From a submission to a package.

use std::collections::BTreeMap;
use std::time::Duration;

use quench_chart::render::{Helm, RenderError, Request as RenderRequest};
use quench_chart::{Chart, yaml};
use quench_content::{RegistryAccess, RegistryClient, Store, StoreError};
use quench_model::{
    Descriptor, Digest, Finding, ImageReference, ImageSelection, Level, PackageName, Platform,
};
use quench_package::{
    Context, EngineError, ImageClass, ImageLock, ImageOrigin, LeftOut, LockedImage, Outcome,
    Package, PackageImage, PackageParts, Submission, Work, measure, read_chart,
};

use crate::attached::{self, Unread};
use crate::discover::{self, Classified, Discovered, Image};
use crate::fetch;
use crate::matching::{self, Leftover};
use crate::survey::Survey;
use crate::unavailable::unavailable;

/// Changes whenever the same submission becomes another package.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), "-5");
/// Wait before an image that could not be had is asked for again.
pub(crate) const IMAGE_RETRY: Duration = Duration::from_secs(60);

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

    /// Looks for the images of a submission without fetching any. With `ask` their registries tell what they are.
    ///
    /// # Errors
    /// As [`Engine::run`], but that an image which cannot be had is told in the survey.
    pub async fn survey(
        &self,
        submission: &Submission,
        ask: bool,
        context: &Context,
    ) -> Result<Survey, EngineError> {
        let job = async {
            let chart = read_chart(&context.store, &submission.parts.chart).await?;
            let name = package_name(&chart)?;
            let found = self.discover(&chart, submission, context).await?;
            let client = RegistryClient::new(self.options.access.clone())?;
            let client = ask.then_some(&client);
            let classified = found
                .classify(&submission.parts.images, client, context)
                .await;
            let findings = once(findings(&name, &found, &classified.possible));
            let mut survey = Survey::new(name, &chart, classified, found.values_tried(), findings);
            if let Some(client) = client {
                let platforms = &self.options.platforms;
                survey.look_up(client, platforms, context).await;
            }
            Ok(survey)
        };
        match context.cancel.run_until_cancelled(job).await {
            Some(result) => result,
            None => Err(EngineError::Cancelled),
        }
    }

    async fn integrate(
        &self,
        submission: &Submission,
        context: &Context,
    ) -> Result<Outcome, EngineError> {
        let store = &context.store;
        let parts = &submission.parts;
        let chart = read_chart(store, &parts.chart).await?;
        let name = package_name(&chart)?;
        let found = self.discover(&chart, submission, context).await?;
        let client = RegistryClient::new(self.options.access.clone())?;
        let Classified {
            mut images,
            possible: mut left_out,
        } = found.classify(&parts.images, Some(&client), context).await;
        if parts.request.policy.images == ImageSelection::Required {
            leave_out_optional(&mut images, &mut left_out);
        }

        let of_class = |class| {
            images
                .iter()
                .filter(move |(_, image)| image.class == class)
                .map(|(reference, _)| reference)
        };
        // What is certainly needed is matched first: an image without a name is hardly meant for what may never be used.
        let mut given = matching::choose(
            of_class(ImageClass::Required),
            &parts.images,
            Leftover::Taken,
        )?;
        given.extend(matching::choose(
            of_class(ImageClass::Optional),
            &parts.images,
            Leftover::Left,
        )?);
        let mut locked = ImageLock {
            left_out: left_out
                .iter()
                .map(|(reference, what)| (reference.to_string(), what.clone()))
                .collect(),
            values: Some(found.values_tried()),
            ..ImageLock::default()
        };
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
            let Some(image) = images.get(reference) else {
                continue;
            };
            let lock = lock(store, descriptor, origin.clone(), image).await?;
            add(reference, descriptor.digest.clone(), lock);
        }
        let used = given.values().map(|(descriptor, _)| descriptor);
        attached::attach_given(store, &parts.images, used).await?;
        let missing: Vec<&ImageReference> = images
            .keys()
            .filter(|reference| !given.contains_key(reference))
            .collect();
        let mut findings = findings(&name, &found, &left_out);
        for (reference, plan, unread) in self
            .fetch(&client, &missing, &images, submission, context)
            .await?
        {
            if !unread.is_empty() {
                findings.push(attached::finding(&name, reference, &unread));
            }
            let Some(image) = images.get(reference) else {
                continue;
            };
            let lock = lock(store, &plan.descriptor, ImageOrigin::Registry, image).await?;
            add(reference, plan.original, lock);
        }

        let findings = once(findings);
        let parts = PackageParts {
            name,
            version: chart.version().to_owned(),
            level: Level::Integrated,
            previous: None,
            chart,
            images: package_images,
            request: parts.request.store(store).await?,
            lock: locked,
        };
        Ok(Outcome::new(Package::store(store, parts).await?, findings))
    }

    async fn fetch<'a>(
        &self,
        client: &RegistryClient,
        references: &[&'a ImageReference],
        images: &BTreeMap<ImageReference, Image>,
        submission: &Submission,
        context: &Context,
    ) -> Result<Vec<(&'a ImageReference, fetch::Plan, Vec<Unread>)>, EngineError> {
        if references.is_empty() {
            return Ok(Vec::new());
        }
        context
            .progress
            .start("look up images", references.len() as u64);
        let plans = fetch::plan_all(client, references, &self.options.platforms, &context.store)
            .await
            .map_err(|failed| unavailable(references, images, submission, failed))?;
        context.progress.finish();
        let unread = fetch::fetch(&plans, context)
            .await
            .map_err(|failed| unavailable(references, images, submission, vec![failed]))?;
        let fetched = references.iter().copied().zip(plans).zip(unread);
        Ok(fetched
            .map(|((reference, plan), unread)| (reference, plan, unread))
            .collect())
    }

    async fn discover(
        &self,
        chart: &Chart,
        submission: &Submission,
        context: &Context,
    ) -> Result<Discovered, EngineError> {
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
        discover::discover(&helm, chart, &render, context).await
    }
}

/// Moves the images that are not needed at the given values to those left out.
fn leave_out_optional(
    images: &mut BTreeMap<ImageReference, Image>,
    left_out: &mut BTreeMap<ImageReference, LeftOut>,
) {
    images.retain(|reference, image| {
        let is_kept = image.class == ImageClass::Required;
        if !is_kept {
            let what = LeftOut {
                rendered: image.spelled.iter().cloned().collect(),
                class: image.class,
                reason: "only required images were asked for".to_owned(),
                evidence: image.evidence.clone(),
            };
            left_out.insert(reference.clone(), what);
        }
        is_kept
    });
}

/// All findings of the level about the search for images.
fn findings(
    name: &PackageName,
    found: &Discovered,
    left_out: &BTreeMap<ImageReference, LeftOut>,
) -> Vec<Finding> {
    let mut findings = found.findings(name);
    for (reference, what) in left_out {
        findings.push(discover::left_out(name, reference, what));
    }
    findings
}

/// Each thing once, however often it was met.
fn once(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|a, b| a.id.cmp(&b.id));
    // Two tags of one repository are one finding with the evidence of both.
    findings.dedup_by(|later, first| {
        let is_same = later.id == first.id;
        if is_same {
            first
                .evidence
                .push(quench_model::Evidence::new("also", &*later.title));
            first.evidence.append(&mut later.evidence);
        }
        is_same
    });
    findings
}

/// The lineage a chart's package belongs to.
pub(crate) fn package_name(chart: &Chart) -> Result<PackageName, EngineError> {
    chart
        .name()
        .parse()
        .map_err(|e| EngineError::Input(format!("Chart.yaml: name: {e}")))
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

/// Writes down what a reference became, and makes sure that all of it is in the store.
async fn lock(
    store: &Store,
    descriptor: &Descriptor,
    origin: ImageOrigin,
    image: &Image,
) -> Result<LockedImage, EngineError> {
    let measured = measure(store, descriptor).await?;
    Ok(LockedImage {
        rendered: image.spelled.iter().cloned().collect(),
        class: image.class,
        digest: descriptor.digest.clone(),
        media_type: descriptor.media_type.clone(),
        size: descriptor.size,
        total_size: measured.total_size,
        platforms: measured.platforms,
        origin,
        evidence: image.evidence.clone(),
    })
}
