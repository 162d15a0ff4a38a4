//! Whether a package is whole and unchanged.

use std::path::Path;

use quench_content::{Store, StoreError};
use quench_model::{Descriptor, Digest, PackageName};

use crate::delta::Delta;
use crate::exported::Exported;
use crate::holdings::Holdings;
use crate::signing::{SIGNED_COUNT, SignedDocument};
use crate::{ImageLock, Package, PackageError, images_lock};

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
    /// Digests of the revision and those it was made from, newest first.
    pub lineage: Vec<Digest>,
    /// What is attached to anything in the package, with the digest it is attached to, sorted.
    pub referrers: Vec<(Digest, Descriptor)>,
    /// Signatures and statements among what is attached, for
    /// [`verify_signatures`](crate::signing::verify_signatures).
    pub signed: Vec<SignedDocument>,
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
    let broken = |reason: String| VerifyError::Broken {
        package: format!("package {}", package.name),
        reason,
    };
    check_images(store, package).await?;
    let mut referrers = holdings.attached;
    sort_referrers(&mut referrers);
    let mut signed = Vec::new();
    for (subject, referrer) in &referrers {
        signed.extend(SignedDocument::of_referrer(store, subject, referrer).await?);
        check_count(&signed).map_err(broken)?;
    }
    Ok(Verified {
        package: package.name.clone(),
        version: package.version.clone(),
        revision: package.revision.clone(),
        revisions: holdings.revisions.len(),
        images: package.images.len(),
        attachments: referrers.len(),
        blobs: holdings.blobs.len(),
        bytes,
        lineage: holdings
            .revisions
            .iter()
            .map(|r| r.revision.digest.clone())
            .collect(),
        referrers,
        signed,
        delta: None,
    })
}

/// The images of a package, its image lock and the one in its chart must agree.
pub(crate) async fn check_images(store: &Store, package: &Package) -> Result<(), VerifyError> {
    let lock = package.load_lock(store).await?;
    let chart = package.load_chart(store).await?;
    // The chart first: of a package of an older version it says so.
    images_lock::check(chart.files(), &package.images, Some(&lock))
        .and_then(|()| check_lock(&lock, package))
        .map_err(|reason| VerifyError::Broken {
            package: format!("package {}", package.name),
            reason,
        })
}

/// Lock and package must hold the same images.
pub(crate) fn check_lock(lock: &ImageLock, package: &Package) -> Result<(), String> {
    for (reference, locked) in &lock.images {
        let image = package
            .images
            .iter()
            .find(|image| image.reference.to_string() == *reference)
            .ok_or_else(|| {
                format!(
                    "image {reference} ({}) of the image lock is missing",
                    locked.digest
                )
            })?;
        if image.descriptor.digest != locked.digest {
            return Err(format!(
                "image {reference} is {}, but the image lock says {}",
                image.descriptor.digest, locked.digest
            ));
        }
    }
    for image in &package.images {
        let reference = image.reference.to_string();
        if !lock.images.contains_key(&reference) {
            return Err(format!(
                "image {reference} ({}) is not in the image lock",
                image.descriptor.digest
            ));
        }
    }
    Ok(())
}

pub(crate) fn sort_referrers(referrers: &mut [(Digest, Descriptor)]) {
    referrers.sort_by(|a, b| (&a.0, &a.1.digest).cmp(&(&b.0, &b.1.digest)));
}

/// Bounds what a hostile package can make a reader hold in memory.
pub(crate) fn check_count(signed: &[SignedDocument]) -> Result<(), String> {
    if signed.len() > SIGNED_COUNT {
        return Err(format!(
            "it carries more than {SIGNED_COUNT} signatures and statements"
        ));
    }
    Ok(())
}
