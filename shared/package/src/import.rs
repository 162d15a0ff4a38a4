//! Taking an exported package into a store.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use quench_content::{RefName, Store, StoreError, blocking};
use quench_model::{Descriptor, Policy, annotation};

use crate::closure::closure;
use crate::delta::Delta;
use crate::exported::Exported;
use crate::signing::{PublicKey, verify_signatures};
use crate::staging::{
    PROMOTIONS, StagingError, check_promotions, note_promotions, unnoted_promotions,
};
use crate::verify::{Verified, VerifyError, check_images};
use crate::{Context, Package, PackageError};

/// What was imported.
#[derive(Debug, Clone)]
pub struct Imported {
    /// The package.
    pub package: Package,
    /// What was verified before anything was written.
    pub verified: Verified,
    /// Number of blobs that the store did not have.
    pub new_blobs: usize,
    /// Their bytes.
    pub new_bytes: u64,
    /// Number of promotions that came along and do not count, since nobody said whom to trust.
    pub unnoted_promotions: usize,
}

/// Takes an exported package into a store. The file is verified as [`verify_file`](crate::verify_file) does before
/// anything is written, and what a delta takes for granted is looked for; then come the blobs, each verified again on
/// its way and passed over where the store has it, and last what is attached. Findings that the store already has
/// for a revision stay: they may be newer than the file. The package gets its name by [`publish`](crate::publish()).
///
/// # Errors
/// What is wrong with the file, what a delta needs and the store lacks, or that the store refuses.
pub async fn import(context: &Context, path: &Path) -> Result<Imported, VerifyError> {
    import_trusted(context, path, &[]).await
}

/// As [`import`], for a file that one of these keys must have signed: before anything is written, its signatures are
/// verified, and so is that its promotions to stages do not contradict or outdate those that stand in the store. They
/// count from then on. With no keys nothing is trusted, and promotions do not count until the file is imported again
/// with keys.
///
/// # Errors
/// As [`import`], and what is wrong with signatures and promotions.
pub async fn import_trusted(
    context: &Context,
    path: &Path,
    keys: &[PublicKey],
) -> Result<Imported, VerifyError> {
    let store = &context.store;
    let file = path.to_owned();
    context.progress.start("verify", 0);
    let exported = blocking(move || Exported::open(&file)).await?;
    context.progress.finish();
    let verified = &exported.verified;
    verify_signatures(verified, keys)?;
    if !keys.is_empty() {
        check_promotions_of(store, path, verified, keys).await?;
    }
    if let Some(delta) = &exported.verified.delta {
        check_base(store, path, delta, &exported.presumed).await?;
    }
    context.progress.start("import", exported.verified.bytes);
    let mut imported = (0, 0);
    for (descriptor, offset) in order(&exported) {
        if context.cancel.is_cancelled() {
            return Err(PackageError::Cancelled.into());
        }
        if !is_of_the_file(&exported, descriptor) && !store.contains(descriptor).await? {
            take(store, path, descriptor, offset).await?;
            imported = (imported.0 + 1, imported.1 + descriptor.size);
        }
        context.progress.advance(descriptor.size);
    }
    let package = Package::load(store, &exported.verified.revision).await?;
    if exported.verified.delta.is_some() {
        // Lock or chart may have been taken for granted, and could not be compared before.
        check_images(store, &package).await?;
    }
    for (subject, referrer) in &exported.attached {
        store.list_referrer(subject, referrer).await?;
    }
    for entry in &exported.named {
        let name = entry.annotation(annotation::REF_NAME).unwrap_or_default();
        let (findings, cosign) = (name.starts_with("findings-"), name.contains('.'));
        let Ok(name) = name.parse::<RefName>() else {
            continue;
        };
        if (findings || (cosign && name.as_str().starts_with("sha256-")))
            && store.resolve(&name).await?.is_none()
        {
            let mut entry = entry.clone();
            entry.annotations.clear();
            store.tag(&name, &entry).await?;
        }
    }
    if !keys.is_empty() {
        // Somebody may have promoted while the blobs came in.
        let _held = store.lock(PROMOTIONS).await?;
        check_promotions_of(store, path, &exported.verified, keys).await?;
        note_promotions(store, &package).await?;
    }
    let unnoted_promotions = unnoted_promotions(store, &package).await?;
    context.progress.finish();
    Ok(Imported {
        package,
        verified: exported.verified,
        new_blobs: imported.0,
        new_bytes: imported.1,
        unnoted_promotions,
    })
}

async fn check_promotions_of(
    store: &Store,
    path: &Path,
    verified: &Verified,
    keys: &[PublicKey],
) -> Result<(), VerifyError> {
    check_promotions(store, verified, &Policy::default(), keys)
        .await
        .map_err(|error| match error {
            StagingError::Verify(error) => error,
            StagingError::Package(error) => VerifyError::Package(error),
            error => broken(path, error.to_string()),
        })
}

/// Verifies an exported package and takes out of it what it takes to render its chart and to know its images: every manifest,
/// the chart, the demands and the lock, and no layer. For a store that is made for this. A delta has not all of it: then only
/// what was verified is told.
///
/// # Errors
/// What is wrong with the file.
pub async fn take_chart(
    context: &Context,
    path: &Path,
) -> Result<(Verified, Option<Package>), VerifyError> {
    let store = &context.store;
    let file = path.to_owned();
    context.progress.start("verify", 0);
    let exported = blocking(move || Exported::open(&file)).await?;
    context.progress.finish();
    if exported.verified.delta.is_some() {
        return Ok((exported.verified, None));
    }
    for (descriptor, offset) in order(&exported) {
        if descriptor.is_manifest() {
            take(store, path, descriptor, offset).await?;
        }
    }
    let package = Package::load(store, &exported.verified.revision).await?;
    for root in [&package.chart.manifest, &package.request, &package.lock] {
        for part in closure(store, root).await? {
            if let Some((descriptor, offset)) = exported.blobs.get(&part.digest)
                && !store.contains(descriptor).await?
            {
                take(store, path, descriptor, *offset).await?;
            }
        }
    }
    Ok((exported.verified, Some(package)))
}

/// Looks for everything a delta takes for granted.
async fn check_base(
    store: &Store,
    path: &Path,
    delta: &Delta,
    presumed: &[Descriptor],
) -> Result<(), VerifyError> {
    let base = format!(
        "revision {} of {} {}",
        delta.base, delta.package, delta.version
    );
    match Package::load_digest(store, &delta.base).await {
        Ok(_) => {}
        Err(PackageError::Store(StoreError::NotFound { .. })) => {
            return Err(broken(
                path,
                format!(
                    "it is a delta since {base}, which the store at {} does not have; import that first",
                    store.place()
                ),
            ));
        }
        Err(error) => return Err(error.into()),
    }
    for descriptor in presumed {
        // What is left out may be an image whose layers are left out with it.
        let parts = match closure(store, descriptor).await {
            Err(PackageError::Store(StoreError::NotFound { .. })) => vec![descriptor.clone()],
            other => other?,
        };
        for part in parts {
            if !store.contains(&part).await? {
                return Err(broken(
                    path,
                    format!(
                        "it is a delta since {base}, and the store at {} lacks {} ({}) of that; import the file the \
                         delta was made from, or ask for a full export",
                        store.place(),
                        part.digest,
                        part.media_type
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Whether a blob serves the file alone: stores keep their own lists of referrers, and a package that was put
/// together again is no delta.
fn is_of_the_file(exported: &Exported, descriptor: &Descriptor) -> bool {
    let listed = |d: &&Descriptor| {
        d.digest == descriptor.digest && d.artifact_type.is_none() && {
            let name = d.annotation(annotation::REF_NAME).unwrap_or_default();
            name == crate::delta::NAME || (name.starts_with("sha256-") && !name.contains('.'))
        }
    };
    exported.named.iter().find(listed).is_some()
}

/// What is named before what names it, as registries demand.
fn order(exported: &Exported) -> Vec<(&Descriptor, u64)> {
    let rank = |descriptor: &Descriptor| {
        let age = exported
            .lineage
            .iter()
            .rev()
            .position(|revision| revision.digest == descriptor.digest);
        match age {
            Some(age) => 3 + age,
            None if descriptor.is_index() => 2,
            None if descriptor.is_manifest() => 1,
            None => 0,
        }
    };
    let mut order: Vec<(&Descriptor, u64)> = exported
        .blobs
        .values()
        .map(|(descriptor, offset)| (descriptor, *offset))
        .collect();
    order.sort_by_key(|(descriptor, _)| rank(descriptor));
    order
}

async fn take(
    store: &Store,
    path: &Path,
    descriptor: &Descriptor,
    offset: u64,
) -> Result<(), VerifyError> {
    let mut writer = store.writer()?;
    let (file, size) = (path.to_owned(), descriptor.size);
    let written = blocking(move || {
        let mut content = section(&file, offset, size)?;
        io::copy(&mut content, &mut writer).map_err(|e| failed("copy", file, e))?;
        Ok::<_, VerifyError>(writer)
    });
    store
        .commit_expected(written.await?, descriptor, &path.display().to_string())
        .await?;
    Ok(())
}

fn section(path: &Path, offset: u64, size: u64) -> Result<io::Take<File>, VerifyError> {
    let mut file = File::open(path).map_err(|e| failed("read", path.to_owned(), e))?;
    file.seek(SeekFrom::Start(offset))
        .map_err(|e| failed("read", path.to_owned(), e))?;
    Ok(file.take(size))
}

fn broken(path: &Path, reason: String) -> VerifyError {
    VerifyError::Broken {
        package: path.display().to_string(),
        reason,
    }
}

fn failed(action: &'static str, path: PathBuf, source: io::Error) -> VerifyError {
    VerifyError::Package(PackageError::Store(StoreError::Io {
        action,
        path,
        source,
    }))
}
