//! Which epoch is in force, kept in the content store so that everyone who works on it agrees.

use std::path::Path;
use std::sync::Arc;

use quench_content::artefact::Manifest;
use quench_content::{RefName, Store, StoreError, blocking};
use quench_model::{Descriptor, media_type};

use crate::{Epoch, Error};

/// Name that points to the epoch in force. A valid name, so parsing it cannot fail; `None` would only make
/// everyone agree that no epoch is in force.
fn name() -> Option<RefName> {
    "epoch-in-force".parse().ok()
}

/// Why the epoch in force cannot be had or changed.
#[derive(Debug, thiserror::Error)]
pub enum InForceError {
    /// The epoch itself.
    #[error(transparent)]
    Epoch(#[from] Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The epoch in force, if one is. Its database is kept in the store's cache.
///
/// # Errors
/// When the store fails or the stored epoch is damaged.
pub async fn in_force(store: &Store) -> Result<Option<Arc<Epoch>>, InForceError> {
    let Some(name) = name() else {
        return Ok(None);
    };
    let Some(descriptor) = store.resolve(&name).await? else {
        return Ok(None);
    };
    let manifest = store.manifest(&descriptor).await?;
    let Some(layer) = manifest.layers.first() else {
        return Ok(None);
    };
    let export = store.file(layer).await?;
    let folder = folder(store);
    let epoch = blocking(move || Epoch::open(&export, &folder).map_err(InForceError::from)).await?;
    Ok(Some(Arc::new(epoch)))
}

/// Stores an epoch and puts it in force.
///
/// # Errors
/// When it cannot be written.
pub async fn put_in_force(store: &Store, epoch: Arc<Epoch>) -> Result<Descriptor, InForceError> {
    let descriptor = store_epoch(store, epoch).await?;
    if let Some(name) = name() {
        store.tag(&name, &descriptor).await?;
    }
    Ok(descriptor)
}

/// Stores an epoch as an artefact, without putting it in force.
///
/// # Errors
/// When it cannot be written.
pub async fn store_epoch(store: &Store, epoch: Arc<Epoch>) -> Result<Descriptor, InForceError> {
    let mut writer = store.writer()?;
    let staging = folder(store);
    let file = tempfile::Builder::new()
        .prefix("epoch-")
        .tempfile_in(store.cache_dir())
        .map_err(Error::io(&staging))?;
    let path = file.path().to_owned();
    blocking(move || epoch.export(&path).map_err(InForceError::from)).await?;
    let mut exported = std::fs::File::open(file.path()).map_err(Error::io(file.path()))?;
    std::io::copy(&mut exported, &mut writer).map_err(Error::io(file.path()))?;
    let layer = store.commit(writer, media_type::EPOCH).await?;
    let manifest = Manifest::artefact(media_type::EPOCH, vec![layer]);
    Ok(store.put_manifest(&manifest).await?)
}

/// Where a store keeps the databases of epochs.
pub fn folder(store: &Store) -> std::path::PathBuf {
    store.cache_dir().join("epochs")
}

/// Imports sources into an epoch kept in the store's cache.
///
/// # Errors
/// As [`Epoch::build`].
pub async fn import(
    store: &Store,
    sources: &[impl AsRef<Path>],
) -> Result<(Arc<Epoch>, crate::ImportReport), InForceError> {
    let folder = folder(store);
    let sources: Vec<_> = sources.iter().map(|s| s.as_ref().to_owned()).collect();
    let (epoch, report) =
        blocking(move || Epoch::build(&sources, &folder).map_err(InForceError::from)).await?;
    Ok((Arc::new(epoch), report))
}
