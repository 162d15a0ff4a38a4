//! From an image to its inventory.

mod cache;
mod databases;
mod files;

use std::collections::BTreeMap;

use quench_content::Store;
use quench_image::{Image, ImageError, Tree};
use quench_model::Descriptor;

use crate::listing::Listed;
use crate::{CATALOGUER_VERSION, InstalledPackage, Inventory, OsRelease, Problem, ProblemKind};

use cache::Cache;
use databases::{apk_listing, distribution, dpkg_listing, unsupported_databases};
use files::Files;

/// Files named as examples in a problem's reason.
const EXAMPLES: usize = 5;

/// Why an image could not be catalogued at all. What is wrong with its databases is no such error but a
/// [`Problem`] of the inventory.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The work was given up by the runtime.
    #[error("cataloguing {image} was interrupted: {reason}")]
    Interrupted {
        /// Digest of the image's manifest.
        image: quench_model::Digest,
        /// What the runtime said.
        reason: String,
    },
}

/// Catalogues an image by the descriptor of its manifest (of one platform, see [`quench_image::platforms`]). An image
/// seen before comes from the store's cache.
///
/// # Errors
/// When the image cannot be read.
pub async fn catalogue(store: &Store, manifest: &Descriptor) -> Result<Inventory, CatalogueError> {
    let cache = Cache::of(store, manifest);
    if let Some(inventory) = cache.load(manifest) {
        return Ok(inventory);
    }
    let image = Image::open(store, manifest).await?;
    let interrupted = |error: tokio::task::JoinError| CatalogueError::Interrupted {
        image: manifest.digest.clone(),
        reason: error.to_string(),
    };
    let inventory = tokio::task::spawn_blocking(move || catalogue_image(&image))
        .await
        .map_err(interrupted)??;
    cache.keep(&inventory);
    Ok(inventory)
}

/// Catalogues an image that is open. Reads files: call it from a blocking thread.
///
/// # Errors
/// When files of the image can no longer be read from the store's cache.
pub fn catalogue_image(image: &Image) -> Result<Inventory, CatalogueError> {
    let tree = image.tree();
    let mut problems = Vec::new();
    let distribution = distribution(tree)?;
    let listings = [dpkg_listing(tree)?, apk_listing(tree)?];
    let databases = listings.iter().flatten().count();
    let mut packages = Vec::new();
    for listing in listings.into_iter().flatten() {
        problems.extend(listing.problems);
        packages.extend(listing.packages);
    }
    let packages = installed(tree, packages, distribution.as_ref(), &mut problems);
    if distribution.is_none() && !packages.is_empty() {
        problems.push(Problem::new(
            ProblemKind::UnknownDistribution,
            None,
            "packages are installed, but no os-release file names their distribution, so no advisories can be found for them",
        ));
    }
    let unsupported = unsupported_databases(tree);
    let found = databases + unsupported.len();
    problems.extend(unsupported);
    let files = Files::of(tree, &packages)?;
    problems.extend(files.problems(found > 0));
    Ok(Inventory {
        cataloguer: CATALOGUER_VERSION,
        image: image.descriptor.digest.clone(),
        platform: image.config.platform.clone(),
        created: created(image),
        distribution,
        packages,
        files: files.counts,
        unowned_programs: files.unowned_programs,
        privileged_files: files.privileged,
        problems: merged(problems),
    })
}

/// The packages with those of their files that are there, sorted by package URL.
fn installed(
    tree: &Tree,
    listed: Vec<Listed>,
    distribution: Option<&OsRelease>,
    problems: &mut Vec<Problem>,
) -> Vec<InstalledPackage> {
    let mut packages: BTreeMap<String, InstalledPackage> = BTreeMap::new();
    let mut without_list = Vec::new();
    for mut package in listed {
        let (database, name) = (package.database.clone(), package.name.clone());
        let files = match package.files.take() {
            Some(files) => present(tree, &files),
            None => {
                without_list.push(name.clone());
                Vec::new()
            }
        };
        package.config_files = present(tree, &package.config_files);
        match package.install(distribution, files) {
            Ok(package) => {
                packages.entry(package.purl.clone()).or_insert(package);
            }
            Err(error) => problems.push(databases::broken(
                &database,
                format!("package {name}: {error}"),
            )),
        }
    }
    if !without_list.is_empty() {
        problems.push(Problem::new(
            ProblemKind::MissingFileList,
            None,
            format!(
                "which files belong to {} packages is not recorded, such as {}",
                without_list.len(),
                examples(&without_list)
            ),
        ));
    }
    packages.into_values().collect()
}

/// The files and links among paths that are there, by their paths in the tree: packages still name `/bin/sh` where
/// `/bin` has become a link.
fn present(tree: &Tree, paths: &[String]) -> Vec<String> {
    let mut files: Vec<String> = paths
        .iter()
        .filter_map(|path| tree.locate(path).ok())
        .filter(|found| !found.entry.is_folder())
        .map(|found| found.entry.path())
        .collect();
    files.sort();
    files.dedup();
    files
}

fn examples(names: &[String]) -> String {
    let told: Vec<&str> = names.iter().take(EXAMPLES).map(String::as_str).collect();
    told.join(", ")
}

/// One problem for each kind and place, so that each is one finding.
fn merged(problems: Vec<Problem>) -> Vec<Problem> {
    let mut by_place: BTreeMap<(ProblemKind, Option<String>), Vec<String>> = BTreeMap::new();
    for problem in problems {
        by_place
            .entry((problem.kind, problem.path))
            .or_default()
            .push(problem.reason);
    }
    by_place
        .into_iter()
        .map(|((kind, path), reasons)| {
            let more = reasons.len().saturating_sub(EXAMPLES);
            let mut reason = reasons
                .into_iter()
                .take(EXAMPLES)
                .collect::<Vec<_>>()
                .join("; ");
            if more > 0 {
                reason.push_str(&format!("; and {more} more"));
            }
            Problem { kind, path, reason }
        })
        .collect()
}

/// When the image says it was made, without fractions of a second.
fn created(image: &Image) -> Option<String> {
    let text = image.config.raw.get("created")?.as_str()?;
    let (date, time) = text.split_once('T')?;
    let time = time.strip_suffix('Z')?;
    let time = time.split('.').next()?;
    let digits = |text: &str, lengths: [usize; 3], separator: char| {
        let mut parts = text.split(separator);
        lengths.iter().all(|length| {
            parts.next().is_some_and(|part| {
                part.len() == *length && part.bytes().all(|b| b.is_ascii_digit())
            })
        }) && parts.next().is_none()
    };
    (digits(date, [4, 2, 2], '-') && digits(time, [2, 2, 2], ':'))
        .then(|| format!("{date}T{time}Z"))
}
