//! The index of packages: which revision of each lineage is the newest, and which there were.

use quench_content::{RefName, Store, StoreError};
use quench_model::Digest;

use crate::{Package, PackageError, record};

/// Puts a revision into its package's history and makes it the newest, unless the newest came from the same beginning and has reached a higher
/// level. Tells whether it is the newest now. Callers do this after each level, so a level that runs again,
/// late, does not take the package back.
///
/// # Errors
/// When the store fails.
pub async fn publish(store: &Store, package: &Package) -> Result<bool, PackageError> {
    record(store, package).await?;
    let name = RefName::package(&package.name);
    if let Some(current) = store.resolve(&name).await? {
        if current.digest == package.revision.digest {
            return Ok(true);
        }
        if let Some(current) = load(store, &current.digest).await?
            && current.level > package.level
            && beginning(store, &current).await? == beginning(store, package).await?
        {
            return Ok(false);
        }
    }
    store.tag(&name, &package.revision).await?;
    Ok(true)
}

/// The revision a name points to; none when it is gone or of a form this version does not know, so that a damaged
/// name does not stop every later package.
async fn load(store: &Store, digest: &Digest) -> Result<Option<Package>, PackageError> {
    match Package::load_digest(store, digest).await {
        Ok(package) => Ok(Some(package)),
        Err(PackageError::Malformed { .. }) => Ok(None),
        Err(PackageError::Store(StoreError::NotFound { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The level 1 revision a revision was made from.
async fn beginning(store: &Store, package: &Package) -> Result<Option<Digest>, PackageError> {
    let lineage = package.lineage(store).await?;
    Ok(lineage.last().map(|first| first.revision.digest.clone()))
}
