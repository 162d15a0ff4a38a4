//! From the command line's words to what the engines take: files are read and checked here.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use quench_ingestor_engine::PackOptions;
use quench_ingestor_engine::source::{ChartSource, SourceError};
use quench_model::{FactsFile, Policy, Target};
use serde::de::DeserializeOwned;

use crate::args::SourceArgs;
use crate::exit::Failure;

/// Most bytes of a policy, target or facts file.
const DOCUMENT_LIMIT: u64 = 16 << 20;
/// Most bytes of manifests read from standard input: what one file of a chart may have.
const STDIN_LIMIT: u64 = 64 << 20;

/// Everything a submission is packed from.
///
/// # Errors
/// When a source cannot be named or a file cannot be read or understood.
pub fn pack_options(args: &SourceArgs) -> Result<PackOptions> {
    let mut options = PackOptions::new(chart_source(args)?);
    options.version.clone_from(&args.version);
    options.name.clone_from(&args.name);
    options.values.clone_from(&args.values);
    options.policy = policy(args)?;
    options.target = target(args.target.as_deref())?;
    options.facts = facts(args.image_facts.as_deref())?;
    options.images = args
        .images_from
        .iter()
        .map(|text| text.parse().map_err(|e| Failure::usage(format!("{e}"))))
        .collect::<Result<_>>()?;
    Ok(options)
}

/// What the source names. `-` is read here, and whole: it can be read only once.
///
/// # Errors
/// When the words name nothing, or standard input cannot be read.
pub fn chart_source(args: &SourceArgs) -> Result<ChartSource> {
    let usage = |e: SourceError| Failure::usage(e.to_string());
    if let Some(repository) = &args.repo {
        return ChartSource::in_repository(repository, &args.source).map_err(usage);
    }
    if args.source != "-" {
        return args.source.parse().map_err(usage);
    }
    let mut text = Vec::new();
    std::io::stdin()
        .lock()
        .take(STDIN_LIMIT + 1)
        .read_to_end(&mut text)
        .context("cannot read standard input")?;
    if text.len() as u64 > STDIN_LIMIT {
        return Err(Failure::usage(format!(
            "standard input holds more than {STDIN_LIMIT} bytes of manifests"
        )));
    }
    Ok(ChartSource::ManifestText(text))
}

/// The policy, with `--no-gate` and `--images` applied, and every waiver of it checked against today.
///
/// # Errors
/// When the file cannot be read or understood, or a waiver has no reason or has expired.
pub fn policy(args: &SourceArgs) -> Result<Policy> {
    let mut policy = policy_file(args.policy.as_deref())?;
    if args.no_gate {
        policy.gate.enforce = false;
    }
    if let Some(selection) = args.images {
        policy.images = selection.into();
    }
    Ok(policy)
}

/// The policy of a file, every waiver of it checked against today; without a file one that demands nothing.
///
/// # Errors
/// When the file cannot be read or understood, or a waiver has no reason or has expired.
pub fn policy_file(path: Option<&Path>) -> Result<Policy> {
    let Some(path) = path else {
        return Ok(Policy::default());
    };
    let policy: Policy = document(path, "policy")?;
    policy
        .check(today())
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(policy)
}

/// The target; without a file one that offers nothing.
///
/// # Errors
/// When the file cannot be read or understood.
pub fn target(path: Option<&Path>) -> Result<Target> {
    path.map_or_else(|| Ok(Target::default()), |path| document(path, "target"))
}

/// Stand-in image facts.
///
/// # Errors
/// When the file cannot be read or understood.
pub fn facts(path: Option<&Path>) -> Result<Option<FactsFile>> {
    path.map(|path| document(path, "image facts")).transpose()
}

/// The bytes of each values file.
///
/// # Errors
/// When one cannot be read or is too large.
pub fn values(paths: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    paths.iter().map(|path| read(path, "values")).collect()
}

/// Today in UTC: the day that decides which waivers have expired.
pub fn today() -> time::Date {
    time::OffsetDateTime::now_utc().date()
}

fn document<T: DeserializeOwned>(path: &Path, sort: &str) -> Result<T> {
    let bytes = read(path, sort)?;
    let refuse = |reason: String| {
        Failure::usage(format!(
            "{} is not a valid {sort}: {reason}",
            path.display()
        ))
    };
    let text = quench_chart::yaml::text(&bytes).map_err(|e| refuse(e.to_string()))?;
    let value = quench_chart::yaml::parse(text).map_err(|e| refuse(e.to_string()))?;
    serde_json::from_value(value).map_err(|e| refuse(e.to_string()))
}

/// The bytes of a file of settings.
///
/// # Errors
/// When it cannot be read or is too large.
pub fn read(path: &Path, sort: &str) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path)
        .map_err(|e| Failure::usage(format!("cannot read {sort} file {}: {e}", path.display())))?
        .len();
    if size > DOCUMENT_LIMIT {
        return Err(Failure::usage(format!(
            "{sort} file {} has {size} bytes; at most {DOCUMENT_LIMIT} are read",
            path.display()
        )));
    }
    std::fs::read(path).with_context(|| format!("cannot read {sort} file {}", path.display()))
}
