//! A repository as a store.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use quench_model::{Descriptor, Digest, ImageReference};

use super::access::RegistryConfig;
use super::client::RegistryClient;
use super::repository::Repository;
use crate::{DirectoryStore, MANIFEST_LIMIT, RefName, Store, StoreError, blocking};

/// Digests remembered as being in the registry; enough for the layers of a few thousand images.
const MOST_KNOWN: usize = 100_000;

/// One repository of a registry, with a folder on this machine as its cache. Cheap to clone; safe to use from
/// several processes and machines at once.
///
/// # How names and referrers are kept
/// A [`RefName`] is a tag. Referrers are listed in the fallback index of the distribution-spec (tag
/// `sha256-<subject>`), which every tool of the field reads. Registries cannot change a tag only if it is unchanged, so two
/// writers can lose an entry of that index, each having seen its own. Every referrer therefore also has a tag of
/// its own, `sha256-<subject>.<referrer>`, that nobody else writes; reading takes both, so none is ever lost, and
/// registries that collect what has no tag keep it.
#[derive(Debug, Clone)]
pub struct RegistryStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    local: DirectoryStore,
    repository: Repository,
    /// What was seen in the registry, so that a shared layer is asked for once.
    known: Mutex<HashSet<Digest>>,
}

impl RegistryStore {
    /// Opens a repository as a store. Nothing is asked of the registry yet.
    ///
    /// # Errors
    /// When the repository's name is not valid or the cache folder cannot be made.
    pub fn open(config: RegistryConfig) -> Result<Self, StoreError> {
        let malformed = |reason: String| StoreError::Malformed {
            what: format!("store repository {:?}", config.repository),
            reason,
        };
        let reference: ImageReference = config
            .repository
            .parse()
            .map_err(|e| malformed(format!("{e}")))?;
        if !config.repository.ends_with(reference.repository()) || reference.digest().is_some() {
            let form = "name host[:port]/path without tag or digest";
            return Err(malformed(form.to_owned()));
        }
        let client = RegistryClient::new(config.access)?;
        Ok(Self {
            inner: Arc::new(Inner {
                local: DirectoryStore::open(config.cache)?,
                repository: client.repository(reference.registry(), reference.repository()),
                known: Mutex::default(),
            }),
        })
    }

    /// The cache.
    pub fn local(&self) -> &DirectoryStore {
        &self.inner.local
    }

    /// Registry and repository, for messages.
    pub fn place(&self) -> String {
        self.inner.repository.place()
    }

    /// Asks the registry for the tags of the repository, or for nothing more than an answer: tells whether
    /// the store can be used now.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let nothing = RefName::outcome(&Digest::of(b""));
        self.inner.repository.resolve(nothing.as_str()).await?;
        Ok(())
    }

    pub(crate) async fn contains(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        if self.is_known(&descriptor.digest) {
            return Ok(true);
        }
        let found = self.inner.repository.has(descriptor).await?;
        if found {
            self.remember(&descriptor.digest);
        }
        Ok(found)
    }

    /// Brings content into the cache.
    pub(crate) async fn fetch(&self, descriptor: &Descriptor) -> Result<(), StoreError> {
        let local = &self.inner.local;
        if local.contains(descriptor) {
            return Ok(());
        }
        let cache = Store::Directory(local.clone());
        let writer = self
            .inner
            .repository
            .download(descriptor, &cache, &|_| ())
            .await?
            .ok_or_else(|| StoreError::not_found(descriptor, self.place()))?;
        // Earlier revisions are named by their digest alone; the size of a manifest is checked where known.
        let expected = Descriptor {
            size: if descriptor.size == 0 && descriptor.is_manifest() {
                writer.written()
            } else {
                descriptor.size
            },
            ..descriptor.clone()
        };
        cache
            .commit_expected(writer, &expected, &self.place())
            .await?;
        self.remember(&descriptor.digest);
        Ok(())
    }

    pub(crate) async fn read(
        &self,
        descriptor: &Descriptor,
        limit: u64,
    ) -> Result<Vec<u8>, StoreError> {
        match self.inner.local.read(descriptor, limit) {
            Err(StoreError::NotFound { .. }) => {}
            // A damaged cache is no reason to fail: the registry has the bytes.
            Err(StoreError::WrongDigest { .. }) => self.inner.local.forget(&descriptor.digest)?,
            result => return result,
        }
        if descriptor.size > limit {
            return Err(StoreError::TooLarge {
                digest: descriptor.digest.clone(),
                media_type: descriptor.media_type.clone(),
                size: descriptor.size,
                limit,
            });
        }
        self.fetch(descriptor).await?;
        self.inner.local.read(descriptor, limit)
    }

    /// Sends what the cache holds.
    pub(crate) async fn push(&self, descriptor: &Descriptor) -> Result<(), StoreError> {
        if self.contains(descriptor).await? {
            return Ok(());
        }
        let repository = &self.inner.repository;
        if descriptor.is_manifest() {
            let bytes = self.inner.local.read(descriptor, MANIFEST_LIMIT)?;
            let digest = descriptor.digest.to_string();
            repository
                .push_manifest(&digest, &descriptor.media_type, &bytes)
                .await
                .map_err(|error| self.doubt(error))?;
        } else {
            let path = self.inner.local.blob_path(&descriptor.digest);
            repository.push_blob(descriptor, &path).await?;
        }
        self.remember(&descriptor.digest);
        Ok(())
    }

    pub(crate) async fn tag(
        &self,
        name: &RefName,
        descriptor: &Descriptor,
    ) -> Result<(), StoreError> {
        let bytes = self.read(descriptor, MANIFEST_LIMIT).await?;
        self.inner
            .repository
            .push_manifest(name.as_str(), &descriptor.media_type, &bytes)
            .await
            .map_err(|error| self.doubt(error))
    }

    pub(crate) async fn resolve(&self, name: &RefName) -> Result<Option<Descriptor>, StoreError> {
        match self.inner.repository.resolve(name.as_str()).await? {
            Some(found) => Ok(Some(self.described(found).await?)),
            None => Ok(None),
        }
    }

    pub(crate) async fn names(&self, prefix: &str) -> Result<Vec<RefName>, StoreError> {
        let tags = self.inner.repository.tags().await?;
        let mut names: Vec<RefName> = tags
            .into_iter()
            .filter(|tag| tag.starts_with(prefix))
            .filter_map(|tag| tag.parse().ok())
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    pub(crate) async fn add_referrer(
        &self,
        subject: &Digest,
        referrer: &Descriptor,
    ) -> Result<(), StoreError> {
        self.tag(&RefName::referrer(subject, &referrer.digest), referrer)
            .await?;
        // One writer per machine at a time; only writers on other machines are left to collide with.
        let local = self.inner.local.clone();
        let _held = blocking(move || local.lock("referrers")).await?;
        self.inner
            .repository
            .list_referrer(subject, referrer)
            .await
            .map_err(|error| self.doubt(error))
    }

    pub(crate) async fn referrers(&self, subject: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let mut found = self.inner.repository.listed_by_tag(subject).await?;
        let prefix = format!("{}.", RefName::referrers(subject));
        for name in self.names(&prefix).await? {
            let short = name.as_str().strip_prefix(&prefix).unwrap_or_default();
            if found.iter().any(|d| d.digest.hex().starts_with(short)) {
                continue;
            }
            if let Some(missed) = self.resolve(&name).await? {
                let manifest: crate::artefact::Manifest = serde_json::from_slice(
                    &self.read(&missed, MANIFEST_LIMIT).await?,
                )
                .map_err(|e| StoreError::Malformed {
                    what: format!("referrer {}", missed.digest),
                    reason: e.to_string(),
                })?;
                found.push(Descriptor {
                    annotations: manifest.annotations,
                    ..missed
                });
            }
        }
        found.sort_by(|a, b| a.digest.cmp(&b.digest));
        Ok(found)
    }

    /// A manifest's descriptor with the artefact type that the manifest names.
    async fn described(&self, descriptor: Descriptor) -> Result<Descriptor, StoreError> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Typed {
            artifact_type: Option<String>,
        }
        let bytes = self.read(&descriptor, MANIFEST_LIMIT).await?;
        let typed: Typed = serde_json::from_slice(&bytes).map_err(|e| StoreError::Malformed {
            what: format!("manifest {}", descriptor.digest),
            reason: e.to_string(),
        })?;
        Ok(Descriptor {
            artifact_type: typed.artifact_type,
            ..descriptor
        })
    }

    fn is_known(&self, digest: &Digest) -> bool {
        self.known().contains(digest)
    }

    fn remember(&self, digest: &Digest) {
        let mut known = self.known();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(digest.clone());
    }

    /// A registry that misses what a manifest lists has collected what we saw there: it must be asked anew.
    fn doubt(&self, error: StoreError) -> StoreError {
        self.known().clear();
        error
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<Digest>> {
        self.inner
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
