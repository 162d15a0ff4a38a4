//! From what a user gives to a submission.

use std::io::Read;
use std::path::{Path, PathBuf};

use quench_chart::{Chart, yaml};
use quench_content::{RegistryAccess, blocking};
use quench_model::{FactsFile, ImageReference, PackageName, Policy, Target, media_type};
use quench_package::{Context, EngineError, ImageTable, Request, Submission, SubmissionParts};
use time::Date;

use crate::engine::package_name;
use crate::source::given;
use crate::source::images_alone;
use crate::source::manifests::Manifests;
use crate::source::{ChartSource, Charts, ImageSource};

/// What a user gives.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// The chart.
    pub chart: ChartSource,
    /// Values files in the order they apply.
    pub values: Vec<PathBuf>,
    /// The team's policy.
    pub policy: Policy,
    /// The environment's facts.
    pub target: Target,
    /// Facts the user states for images that are not fetched.
    pub facts: Option<FactsFile>,
    /// Images that lie on this machine.
    pub images: Vec<ImageSource>,
    /// How a chart's registry is reached.
    pub access: RegistryAccess,
    /// Version or range of a chart that is fetched and whose source names none; version of a chart that is made of
    /// manifests or images.
    pub version: Option<String>,
    /// Name of a chart that is made of manifests or images; that of the file, folder or image when not given.
    pub name: Option<String>,
    /// Helm's file of repositories; its usual place when not given.
    pub helm_repositories: Option<PathBuf>,
}

impl PackOptions {
    /// A chart at its own values, without policy, target or images.
    pub fn new(chart: ChartSource) -> Self {
        Self {
            chart,
            values: Vec::new(),
            policy: Policy::default(),
            target: Target::default(),
            facts: None,
            images: Vec::new(),
            access: RegistryAccess::default(),
            version: None,
            name: None,
            helm_repositories: None,
        }
    }
}

/// Makes a submission of what a user gives: checks it, stores chart, documents and images, and names
/// all of it by one digest. `today` decides which waivers of the policy have expired.
///
/// # Errors
/// A chart, values file, policy or image that is not valid or cannot be read; ambiguous image names.
pub async fn pack(
    options: &PackOptions,
    today: Date,
    context: &Context,
) -> Result<Submission, EngineError> {
    let job = pack_all(options, today, context);
    match context.cancel.run_until_cancelled(job).await {
        Some(result) => result,
        None => Err(EngineError::Cancelled),
    }
}

async fn pack_all(
    options: &PackOptions,
    today: Date,
    context: &Context,
) -> Result<Submission, EngineError> {
    options
        .policy
        .check(today)
        .map_err(|error| EngineError::Input(format!("policy: {error}")))?;
    let mut values = Vec::with_capacity(options.values.len());
    for path in &options.values {
        values.push(read_values(path)?);
    }
    let (chart, images) = chart_and_images(options, context).await?;
    package_name(&chart)?;
    if chart.kind() == quench_chart::chart::ChartKind::Library {
        return Err(EngineError::Input(format!(
            "chart {} is a library: it installs nothing by itself; give a chart that uses it",
            chart.name()
        )));
    }
    let archive = blocking(move || {
        chart
            .to_tgz()
            .map_err(|e| EngineError::Input(e.to_string()))
    })
    .await?;
    let chart = context.store.put(media_type::HELM_CHART, &archive).await?;
    let request = Request {
        values,
        policy: options.policy.clone(),
        target: options.target.clone(),
        facts: options.facts.clone(),
    };
    let parts = SubmissionParts {
        chart,
        request,
        images,
    };
    Ok(Submission::store(&context.store, parts).await?)
}

fn read_values(path: &Path) -> Result<Vec<u8>, EngineError> {
    let failed = |reason: String| EngineError::Input(format!("{}: {reason}", path.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| {
            file.take(Request::DOCUMENT_LIMIT + 1)
                .read_to_end(&mut bytes)
        })
        .map_err(|e| failed(e.to_string()))?;
    if bytes.len() as u64 > Request::DOCUMENT_LIMIT {
        return Err(failed(format!(
            "larger than {} bytes",
            Request::DOCUMENT_LIMIT
        )));
    }
    let text = yaml::text(&bytes).map_err(|e| failed(e.to_string()))?;
    yaml::values(text).map_err(|e| failed(e.to_string()))?;
    Ok(bytes)
}

/// The chart of a source, found or made, and the images given with it.
async fn chart_and_images(
    options: &PackOptions,
    context: &Context,
) -> Result<(Chart, ImageTable), EngineError> {
    let manifests = match &options.chart {
        ChartSource::Manifests(path) => Manifests::At(path.clone()),
        ChartSource::ManifestText(text) => Manifests::Text(text.clone()),
        ChartSource::Image(image) => {
            let given = given::read(&options.images, context).await?;
            return Ok((made_of(std::slice::from_ref(image), None, options)?, given));
        }
        ChartSource::Images(source) => {
            let sources: Vec<ImageSource> = std::iter::once(source)
                .chain(&options.images)
                .cloned()
                .collect();
            let given = named(given::read(&sources, context).await?)?;
            let images: Vec<ImageReference> = given
                .images
                .keys()
                .map(|image| image.parse().map_err(reference_error))
                .collect::<Result<_, _>>()?;
            return Ok((made_of(&images, Some(source), options)?, given));
        }
        source => {
            let mut charts = Charts::new(
                options.access.clone(),
                options.helm_repositories.clone(),
                context,
            )?;
            let chart = charts.load(source, options.version.as_deref()).await?;
            return Ok((chart, given::read(&options.images, context).await?));
        }
    };
    let name = made_name(options, manifests.name())?;
    let version = made_version(options)?;
    let chart = blocking(move || manifests.wrap(&name, &version)).await?;
    Ok((chart, given::read(&options.images, context).await?))
}

fn reference_error(error: quench_model::ReferenceError) -> EngineError {
    EngineError::Input(error.to_string())
}

/// Gives images that came without a full name one that a pod can ask for: no registry will be asked for them.
fn named(mut table: ImageTable) -> Result<ImageTable, EngineError> {
    for image in std::mem::take(&mut table.unnamed) {
        let tag = image.tag.as_deref().unwrap_or("latest");
        let name = images_alone::name_of(&image.source);
        let reference: ImageReference = format!("localhost/{name}:{tag}")
            .parse()
            .map_err(reference_error)?;
        let key = reference.to_string();
        match table.images.get(&key) {
            Some(other) if other.digest != image.descriptor.digest => {
                return Err(EngineError::Input(format!(
                    "{} holds two images called {key}; name them apart (org.opencontainers.image.ref.name)",
                    image.source
                )));
            }
            _ => table.images.insert(key, image.descriptor),
        };
    }
    Ok(table)
}

/// A chart for images without one.
fn made_of(
    images: &[ImageReference],
    source: Option<&ImageSource>,
    options: &PackOptions,
) -> Result<Chart, EngineError> {
    let usual = match (images, source) {
        ([image], _) => Some(images_alone::of_image(image)),
        (_, Some(source)) => {
            let stem = source.path().file_stem();
            stem.map(|stem| images_alone::name_of(&stem.to_string_lossy()))
        }
        _ => None,
    };
    images_alone::chart(images, &made_name(options, usual)?, &made_version(options)?)
}

fn made_name(options: &PackOptions, usual: Option<String>) -> Result<String, EngineError> {
    let name = options.name.clone().or(usual).unwrap_or_default();
    match name.parse::<PackageName>() {
        Ok(name) => Ok(name.to_string()),
        Err(error) => Err(EngineError::Input(format!(
            "{}: {error}; give the package a name (--name)",
            options.chart
        ))),
    }
}

fn made_version(options: &PackOptions) -> Result<String, EngineError> {
    let version = options.version.as_deref().unwrap_or(images_alone::VERSION);
    match semver::Version::parse(version) {
        Ok(version) => Ok(version.to_string()),
        Err(error) => Err(EngineError::Input(format!(
            "{version:?} cannot be the version of a chart: {error}; give three numbers, such as 1.2.3"
        ))),
    }
}
