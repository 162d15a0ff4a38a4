//! The one type engines see.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use quench_model::{Descriptor, Digest, media_type};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::artefact::{EMPTY_CONFIG, Index, Manifest};
use crate::{BlobWriter, DirectoryStore, RefName, RegistryStore, StoreError, blocking};

/// Most bytes of a manifest or index: what registries accept at least (distribution-spec 1.1, "Pushing
/// Manifests": 4 MiB).
pub const MANIFEST_LIMIT: u64 = 4 << 20;

/// A content-addressed store. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Store {
    /// A folder on this machine.
    Directory(DirectoryStore),
    /// A repository of a registry, with a folder on this machine as its cache.
    Registry(RegistryStore),
}

/// A lock of a store, held until it is dropped or the process ends, however it ends.
#[derive(Debug)]
#[must_use = "a lock that is dropped is given back"]
pub struct StoreLock(#[expect(dead_code, reason = "an open file is what holds the lock")] File);

impl Store {
    /// Whether the store holds the bytes.
    ///
    /// # Errors
    /// When a registry cannot be asked.
    pub async fn contains(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        match self {
            Self::Directory(store) => Ok(store.contains(descriptor)),
            Self::Registry(store) => store.contains(descriptor).await,
        }
    }

    /// Brings content that lies on this machine into the store, unless it is there. `path` is read through once and
    /// verified; `place` names it for errors.
    ///
    /// # Errors
    /// Another digest or size than the descriptor says, or as [`Store::commit`].
    pub async fn adopt(
        &self,
        path: &std::path::Path,
        descriptor: &Descriptor,
        place: &str,
    ) -> Result<(), StoreError> {
        if !self.local().contains(descriptor) {
            let (local, path) = (self.local().clone(), path.to_owned());
            let (wanted, place) = (descriptor.clone(), place.to_owned());
            blocking(move || local.adopt(&path, &wanted, &place)).await?;
        }
        match self {
            Self::Directory(_) => Ok(()),
            Self::Registry(store) => store.push(descriptor).await,
        }
    }

    /// Reads a document whole, at most `limit` bytes, and verifies its digest.
    ///
    /// # Errors
    /// Not there, too large, or not the bytes its digest names.
    pub async fn read(&self, descriptor: &Descriptor, limit: u64) -> Result<Vec<u8>, StoreError> {
        match self {
            Self::Directory(store) => store.read(descriptor, limit),
            Self::Registry(store) => store.read(descriptor, limit).await,
        }
    }

    /// Reads a JSON document, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Store::read`], and when the document is not what was expected.
    pub async fn read_json<T: DeserializeOwned>(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<T, StoreError> {
        let bytes = self.read(descriptor, limit).await?;
        serde_json::from_slice(&bytes).map_err(|e| StoreError::Malformed {
            what: format!("{} ({})", descriptor.digest, descriptor.media_type),
            reason: e.to_string(),
        })
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// As [`Store::read_json`].
    pub async fn manifest(&self, descriptor: &Descriptor) -> Result<Manifest, StoreError> {
        self.read_json(descriptor, MANIFEST_LIMIT).await
    }

    /// Reads an index.
    ///
    /// # Errors
    /// As [`Store::read_json`].
    pub async fn index(&self, descriptor: &Descriptor) -> Result<Index, StoreError> {
        self.read_json(descriptor, MANIFEST_LIMIT).await
    }

    /// A file on this machine that holds the bytes; a registry's are fetched first. The file is
    /// the store's own: read it, never change it.
    ///
    /// # Errors
    /// Not there, or not to be fetched.
    pub async fn file(&self, descriptor: &Descriptor) -> Result<PathBuf, StoreError> {
        match self {
            Self::Directory(store) if store.contains(descriptor) => {
                Ok(store.blob_path(&descriptor.digest))
            }
            Self::Directory(store) => Err(StoreError::not_found(descriptor, store.place())),
            Self::Registry(store) => {
                store.fetch(descriptor).await?;
                Ok(store.local().blob_path(&descriptor.digest))
            }
        }
    }

    /// Where the blob with this digest lies on this machine, if it does: nothing is fetched and nothing looked at.
    pub fn local_path(&self, digest: &Digest) -> PathBuf {
        self.local().blob_path(digest)
    }

    /// Reads a blob through and verifies digest and size.
    ///
    /// # Errors
    /// Not there, or not the bytes its descriptor names.
    pub async fn verify(&self, descriptor: &Descriptor) -> Result<(), StoreError> {
        let local = self.local().clone();
        let descriptor = descriptor.clone();
        if let Self::Registry(store) = self {
            if !store.contains(&descriptor).await? {
                return Err(StoreError::not_found(&descriptor, store.place()));
            }
            store.fetch(&descriptor).await?;
        }
        blocking(move || local.verify(&descriptor)).await
    }

    /// A folder for derived data that may be deleted at any time.
    pub fn cache_dir(&self) -> PathBuf {
        self.local().cache_dir()
    }

    /// Stores bytes.
    ///
    /// # Errors
    /// When they cannot be written or pushed.
    pub async fn put(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor, StoreError> {
        let mut writer = self.writer()?;
        let staging = self.local().root().join("staging");
        writer
            .write_all(bytes)
            .map_err(StoreError::io("write", staging))?;
        self.commit(writer, media_type).await
    }

    /// Stores a document as JSON. Equal values give equal bytes.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn put_json<T: Serialize>(
        &self,
        media_type: &str,
        value: &T,
    ) -> Result<Descriptor, StoreError> {
        let bytes = serde_json::to_vec(value).map_err(|e| StoreError::Malformed {
            what: format!("document of type {media_type}"),
            reason: e.to_string(),
        })?;
        self.put(media_type, &bytes).await
    }

    /// Stores an artefact manifest, and the empty configuration if that is what it names. Its layers
    /// must be in the store already.
    ///
    /// # Errors
    /// As [`Store::put`].
    pub async fn put_manifest(&self, manifest: &Manifest) -> Result<Descriptor, StoreError> {
        if manifest.config.media_type == media_type::EMPTY {
            self.put(media_type::EMPTY, EMPTY_CONFIG).await?;
        }
        let mut descriptor = self.put_json(media_type::MANIFEST, manifest).await?;
        descriptor.artifact_type.clone_from(&manifest.artifact_type);
        Ok(descriptor)
    }

    /// A writer for bytes whose digest is not known yet; see [`Store::commit`].
    ///
    /// # Errors
    /// When no staging file can be made.
    pub fn writer(&self) -> Result<BlobWriter, StoreError> {
        self.local().writer()
    }

    /// A writer for a blob that is being downloaded, with what an earlier process that was killed got of it.
    ///
    /// # Errors
    /// When no staging file can be made.
    pub(crate) async fn resume(&self, descriptor: &Descriptor) -> Result<BlobWriter, StoreError> {
        let (local, descriptor) = (self.local().clone(), descriptor.clone());
        blocking(move || local.resume(&descriptor)).await
    }

    /// Makes what was written content of the store.
    ///
    /// # Errors
    /// When it cannot be written or pushed.
    pub async fn commit(
        &self,
        writer: BlobWriter,
        media_type: &str,
    ) -> Result<Descriptor, StoreError> {
        let local = self.local().clone();
        let media_type = media_type.to_owned();
        let descriptor = blocking(move || local.commit(writer, &media_type)).await?;
        match self {
            Self::Directory(_) => Ok(descriptor),
            Self::Registry(store) => {
                store.push(&descriptor).await?;
                Ok(descriptor)
            }
        }
    }

    /// Makes what was written content of the store if it is what `expected` says; else nothing is kept.
    /// `place` names where the bytes came from, for the error.
    ///
    /// # Errors
    /// Another digest or size than expected, or as [`Store::commit`].
    pub async fn commit_expected(
        &self,
        writer: BlobWriter,
        expected: &Descriptor,
        place: &str,
    ) -> Result<(), StoreError> {
        let local = self.local().clone();
        let (wanted, place) = (expected.clone(), place.to_owned());
        blocking(move || local.commit_expected(writer, &wanted, &place)).await?;
        match self {
            Self::Directory(_) => Ok(()),
            Self::Registry(store) => store.push(expected).await,
        }
    }

    /// Points `name` to a manifest of the store.
    ///
    /// # Errors
    /// When the name cannot be written.
    pub async fn tag(&self, name: &RefName, descriptor: &Descriptor) -> Result<(), StoreError> {
        match self {
            Self::Directory(store) => store.tag(name, descriptor),
            Self::Registry(store) => store.tag(name, descriptor).await,
        }
    }

    /// What `name` points to.
    ///
    /// # Errors
    /// When the names cannot be read.
    pub async fn resolve(&self, name: &RefName) -> Result<Option<Descriptor>, StoreError> {
        match self {
            Self::Directory(store) => store.resolve(name),
            Self::Registry(store) => store.resolve(name).await,
        }
    }

    /// Waits until nobody else on this machine who uses the same folder, the store's or a registry's cache, holds the
    /// lock of this name, and takes it.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub async fn lock(&self, name: &'static str) -> Result<StoreLock, StoreError> {
        let local = self.local().clone();
        blocking(move || local.lock(name)).await.map(StoreLock)
    }

    /// Whether others may write to the store who do not see its locks: those on other machines, or with another cache.
    pub fn is_shared(&self) -> bool {
        matches!(self, Self::Registry(_))
    }

    /// All names that start with `prefix`, sorted.
    ///
    /// # Errors
    /// When the names cannot be read.
    pub async fn names(&self, prefix: &str) -> Result<Vec<RefName>, StoreError> {
        match self {
            Self::Directory(store) => store.names(prefix),
            Self::Registry(store) => store.names(prefix).await,
        }
    }

    /// Stores an artefact and attaches it to its subject (OCI 1.1 referrer). Attaching the same twice is
    /// attaching once.
    ///
    /// # Errors
    /// When the manifest names no subject, or as [`Store::put_manifest`].
    pub async fn attach(&self, manifest: &Manifest) -> Result<Descriptor, StoreError> {
        let Some(subject) = manifest.subject.clone() else {
            return Err(StoreError::Malformed {
                what: "attachment".to_owned(),
                reason: "its manifest names no subject".to_owned(),
            });
        };
        let mut descriptor = self.put_manifest(manifest).await?;
        descriptor.annotations.clone_from(&manifest.annotations);
        self.list_referrer(&subject.digest, &descriptor).await?;
        Ok(descriptor)
    }

    /// Lists a manifest of the store among what is attached to its subject, as [`Store::attach`] does; the descriptor has
    /// the manifest's artefact type and annotations.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub async fn list_referrer(
        &self,
        subject: &Digest,
        referrer: &Descriptor,
    ) -> Result<(), StoreError> {
        match self {
            Self::Directory(store) => store.add_referrer(subject, referrer),
            Self::Registry(store) => store.add_referrer(subject, referrer).await,
        }
    }

    /// What is attached to a manifest, of one artefact type or of all, sorted by digest.
    ///
    /// # Errors
    /// When the referrers cannot be read.
    pub async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let mut found = match self {
            Self::Directory(store) => store.referrers(subject)?,
            Self::Registry(store) => store.referrers(subject).await?,
        };
        found.retain(|d| artifact_type.is_none() || d.artifact_type.as_deref() == artifact_type);
        Ok(found)
    }

    /// Where the store is, for messages.
    pub fn place(&self) -> String {
        match self {
            Self::Directory(store) => store.place(),
            Self::Registry(store) => store.place(),
        }
    }

    /// The folder on this machine: the store itself, or a registry's cache.
    fn local(&self) -> &DirectoryStore {
        match self {
            Self::Directory(store) => store,
            Self::Registry(store) => store.local(),
        }
    }
}
