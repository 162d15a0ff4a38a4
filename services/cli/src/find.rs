//! Which package is meant.
//!
//! ```text
//! demo                  the newest revision
//! demo@4                the fourth of its history, see `quench history`
//! demo:1.2.3-q4         the same, by the version that is shown for it
//! demo:1.2.3            the newest of that chart version
//! sha256:…              the revision of that digest; demo@sha256:… too
//! ```

use anyhow::Result;
use quench_content::{RefName, Store};
use quench_model::{Digest, PackageName};
use quench_package::{Package, history};

use crate::exit::Failure;

/// Finds a package.
///
/// # Errors
/// When there is no such package, or the text says none.
pub async fn find(store: &Store, wanted: &str) -> Result<Package> {
    if wanted.starts_with("sha256:") {
        return by_digest(store, wanted).await;
    }
    if let Some((name, rest)) = wanted.split_once('@') {
        let name = name.parse().map_err(|e| Failure::usage(format!("{e}")))?;
        if rest.starts_with("sha256:") {
            let package = by_digest(store, rest).await?;
            if package.name == name {
                return Ok(package);
            }
            return Err(Failure::usage(format!(
                "{rest} is a revision of {}, not of {name}",
                package.name
            )));
        }
        let number = rest.trim_start_matches('q').parse().map_err(|_| {
            Failure::usage(format!(
                "{rest:?} is no number of a revision; `quench history {name}` lists them"
            ))
        })?;
        return by_number(store, &name, number).await;
    }
    if let Some((name, version)) = wanted.split_once(':') {
        let name = name.parse().map_err(|e| Failure::usage(format!("{e}")))?;
        return by_version(store, &name, version).await;
    }
    let name: PackageName = wanted.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    match store.resolve(&RefName::package(&name)).await? {
        Some(descriptor) => Ok(Package::load(store, &descriptor).await?),
        None => Err(Failure::usage(format!(
            "no package {name} in the store at {}; `quench ls` lists what is there",
            store.place()
        ))),
    }
}

async fn by_digest(store: &Store, text: &str) -> Result<Package> {
    let digest: Digest = text.parse().map_err(|e| Failure::usage(format!("{e}")))?;
    Ok(Package::load_digest(store, &digest).await?)
}

async fn by_number(store: &Store, name: &PackageName, number: u64) -> Result<Package> {
    let history = history(store, name).await?;
    let Some(entry) = history.iter().find(|entry| entry.number == number) else {
        return Err(Failure::usage(format!(
            "package {name} has no revision {number} in the store at {}; `quench history {name}` lists those it has",
            store.place()
        )));
    };
    Ok(Package::load_digest(store, &entry.revision).await?)
}

async fn by_version(store: &Store, name: &PackageName, version: &str) -> Result<Package> {
    if let Some((chart, number)) = version.rsplit_once("-q")
        && let Ok(number) = number.parse()
    {
        let package = by_number(store, name, number).await?;
        if package.version == chart {
            return Ok(package);
        }
        return Err(Failure::usage(format!(
            "revision {number} of {name} has version {}, not {chart}",
            package.version
        )));
    }
    for entry in history(store, name).await?.iter().rev() {
        let package = Package::load_digest(store, &entry.revision).await?;
        if package.version == version {
            return Ok(package);
        }
    }
    Err(Failure::usage(format!(
        "package {name} has no version {version} in the store at {}; `quench history {name}` lists those it has",
        store.place()
    )))
}
