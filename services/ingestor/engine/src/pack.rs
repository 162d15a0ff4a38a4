//! From what a user gives to a submission.

use std::io::Read;
use std::path::{Path, PathBuf};

use quench_chart::{Chart, yaml};
use quench_content::{DirectoryStore, RegistryAccess, RegistryClient, Store};
use quench_model::{FactsFile, ImageReference, Policy, Target, media_type};
use quench_package::{Context, EngineError, Request, Submission, SubmissionParts};
use time::Date;

use crate::engine::{CHART_LIMIT, package_name};
use crate::source::given::{self, blocking};
use crate::source::{ChartSource, ImageSource, io_error};

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
    let chart = load_chart(options, context).await?;
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
    let images = given::read(&options.images, context).await?;
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

async fn load_chart(options: &PackOptions, context: &Context) -> Result<Chart, EngineError> {
    let input = |e: quench_chart::ChartError| EngineError::Input(e.to_string());
    match &options.chart {
        ChartSource::Folder(path) | ChartSource::Archive(path) => {
            let path = path.clone();
            blocking(move || Chart::load(&path).map_err(input)).await
        }
        ChartSource::Registry(text) => {
            let bytes = pull_chart(text, options, context).await?;
            let name = options.chart.to_string();
            blocking(move || Chart::from_tgz(bytes.as_slice(), &name).map_err(input)).await
        }
    }
}

/// Reads a chart archive from a registry. It stays out of the store: what goes in is the chart, once it is known to
/// be one.
async fn pull_chart(
    text: &str,
    options: &PackOptions,
    context: &Context,
) -> Result<Vec<u8>, EngineError> {
    let input = |reason: String| EngineError::Input(format!("oci://{text}: {reason}"));
    // Tags cannot hold the `+` of a version; helm writes `_` in its place.
    let reference: ImageReference = text
        .replace('+', "_")
        .parse()
        .map_err(|e: quench_model::ReferenceError| input(e.to_string()))?;
    let last = text.rsplit('/').next().unwrap_or_default();
    let wanted = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, Some(tag)) if last.contains(':') => tag.to_owned(),
        _ => {
            return Err(input(
                "name the version too: oci://host/path:version".to_owned(),
            ));
        }
    };
    let client = RegistryClient::new(options.access.clone())?;
    let repository = client.repository(reference.registry(), reference.repository());
    let absent = || {
        let place = repository.place();
        input(format!("{place} has no {wanted}; check path and version"))
    };
    let (_, bytes) = repository.manifest(&wanted).await?.ok_or_else(absent)?;
    let manifest: quench_content::artefact::Manifest =
        serde_json::from_slice(&bytes).map_err(|e| input(format!("its manifest: {e}")))?;
    let archive = manifest
        .layers
        .iter()
        .find(|layer| layer.media_type == media_type::HELM_CHART)
        .ok_or_else(|| input("it is no Helm chart".to_owned()))?;
    if archive.size > CHART_LIMIT {
        return Err(input(format!(
            "its archive has {} bytes; at most {CHART_LIMIT} are accepted",
            archive.size
        )));
    }
    let folder = tempfile::tempdir_in(context.store.cache_dir())
        .map_err(|e| io_error("write", &context.store.cache_dir(), e))?;
    let scratch = Store::Directory(DirectoryStore::open(folder.path())?);
    context.progress.start("fetch the chart", archive.size);
    let told = |count| context.progress.advance(count);
    let writer = repository
        .download(archive, &scratch, &told)
        .await?
        .ok_or_else(absent)?;
    scratch
        .commit_expected(writer, archive, &repository.place())
        .await?;
    context.progress.finish();
    Ok(scratch.read(archive, CHART_LIMIT).await?)
}
