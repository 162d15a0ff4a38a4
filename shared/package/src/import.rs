//! Taking an exported package into a store.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use quench_content::artefact::{Index, Manifest};
use quench_content::{MANIFEST_LIMIT, RefName, Store, StoreError};
use quench_model::{Descriptor, Digest, annotation};

use crate::verify::{Exported, VerifyError};
use crate::{Package, PackageError};

/// Takes an exported package into a store. The file is verified as [`verify_file`](crate::verify_file) does before
/// anything is written; then come the blobs, each verified again on its way, and last what is attached. Findings
/// that the store already has for a revision stay: they may be newer than the file. The package gets its name by
/// [`publish`](crate::publish()).
///
/// # Errors
/// What is wrong with the file, or that the store refuses.
pub async fn import(store: &Store, path: &Path) -> Result<Package, VerifyError> {
    let file = path.to_owned();
    let exported = blocking(move || Exported::open(&file)).await?;
    let lists: Vec<&Descriptor> = exported
        .lineage
        .iter()
        .filter_map(|revision| named(&exported, &RefName::referrers(&revision.digest)))
        .collect();
    let mut attached = Vec::new();
    for list in &lists {
        let index: Index = document(&exported, path, &list.digest).await?;
        for referrer in index.manifests {
            let manifest: Manifest = document(&exported, path, &referrer.digest).await?;
            // Attaching writes the manifest anew, so it has to be one that comes out the same.
            let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
            if Digest::of(&bytes) != referrer.digest {
                return Err(broken(
                    path,
                    format!(
                        "{} is attached in a form this version does not write",
                        referrer.digest
                    ),
                ));
            }
            attached.push(manifest);
        }
    }
    for (descriptor, offset) in order(&exported) {
        // A store keeps its own lists of referrers.
        let is_list = lists.iter().any(|list| list.digest == descriptor.digest);
        if !is_list && !store.contains(descriptor).await? {
            take(store, path, descriptor, offset).await?;
        }
    }
    for manifest in &attached {
        store.attach(manifest).await?;
    }
    for revision in &exported.lineage {
        let name = RefName::findings(&revision.digest);
        if let Some(current) = named(&exported, &name)
            && store.resolve(&name).await?.is_none()
        {
            let mut current = current.clone();
            current.annotations.clear();
            store.tag(&name, &current).await?;
        }
    }
    Ok(Package::load(store, &exported.verified.revision).await?)
}

fn named<'a>(exported: &'a Exported, name: &RefName) -> Option<&'a Descriptor> {
    let fits = |d: &&Descriptor| d.annotation(annotation::REF_NAME) == Some(name.as_str());
    exported.named.iter().find(fits)
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
        Ok(writer)
    });
    store
        .commit_expected(written.await?, descriptor, &path.display().to_string())
        .await?;
    Ok(())
}

async fn document<T: serde::de::DeserializeOwned>(
    exported: &Exported,
    path: &Path,
    digest: &Digest,
) -> Result<T, VerifyError> {
    let Some((descriptor, offset)) = exported.blobs.get(digest) else {
        return Err(broken(path, format!("{digest} is missing")));
    };
    let (file, offset) = (path.to_owned(), *offset);
    let size = descriptor.size.min(MANIFEST_LIMIT);
    let bytes = blocking(move || {
        let mut bytes = Vec::new();
        section(&file, offset, size)?
            .read_to_end(&mut bytes)
            .map_err(|e| failed("read", file, e))?;
        Ok(bytes)
    });
    let bytes = bytes.await?;
    // The file may have been changed since it was verified.
    if Digest::of(&bytes) != *digest {
        return Err(broken(path, format!("{digest} changed while it was read")));
    }
    serde_json::from_slice(&bytes).map_err(|e| broken(path, format!("{digest}: {e}")))
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VerifyError> + Send + 'static,
) -> Result<T, VerifyError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(failed(
            "read",
            PathBuf::new(),
            io::Error::other(error.to_string()),
        )),
    }
}
