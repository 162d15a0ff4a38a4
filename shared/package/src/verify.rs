//! Whether a package is whole and unchanged.

use std::path::Path;

use quench_content::{Store, StoreError};
use quench_model::{Descriptor, PackageName};

use crate::delta::Delta;
use crate::exported::Exported;
use crate::holdings::Holdings;
use crate::{Package, PackageError};

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The package.
    pub package: PackageName,
    /// Its chart's version.
    pub version: String,
    /// The revision the package stands at.
    pub revision: Descriptor,
    /// Number of revisions, this one included.
    pub revisions: usize,
    /// Number of images of the newest revision.
    pub images: usize,
    /// Number of attachments over all revisions.
    pub attachments: usize,
    /// Number of blobs, manifests included.
    pub blobs: usize,
    /// Bytes of all blobs.
    pub bytes: u64,
    /// What a file takes for granted, if it is a delta: it is whole as a delta then, and no package by itself.
    pub delta: Option<Delta>,
}

/// Why a package is not whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Something is missing, changed, doubled or does not belong.
    #[error("{package}: {reason}")]
    Broken {
        /// The file or revision.
        package: String,
        /// What is wrong, naming entry or digest.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        Self::Package(PackageError::Store(error))
    }
}

/// Verifies an exported package: every blob is what its name says, everything listed is there (or taken for granted,
/// in a delta), nothing else is, and every byte between is what it must be.
///
/// # Errors
/// Names the first thing that is wrong.
pub fn verify_file(path: &Path) -> Result<Verified, VerifyError> {
    Exported::open(path).map(|exported| exported.verified)
}

/// Verifies a package in a store: every blob of every revision of its lineage, and of what is attached.
///
/// # Errors
/// Names the first thing that is wrong.
pub async fn verify_package(store: &Store, package: &Package) -> Result<Verified, VerifyError> {
    let holdings = Holdings::of(store, package).await?;
    let mut bytes = 0;
    for (digest, descriptor) in &holdings.blobs {
        if !holdings.made.contains_key(digest) {
            store
                .verify(descriptor)
                .await
                .map_err(|error| VerifyError::Broken {
                    package: format!("package {}", package.name),
                    reason: error.to_string(),
                })?;
        }
        bytes += descriptor.size;
    }
    Ok(Verified {
        package: package.name.clone(),
        version: package.version.clone(),
        revision: package.revision.clone(),
        revisions: holdings.revisions.len(),
        images: package.images.len(),
        attachments: holdings.attached.len(),
        blobs: holdings.blobs.len(),
        bytes,
        delta: None,
    })
}
