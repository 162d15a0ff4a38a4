//! The image lock: which reference became which image, and why it is in the package.

use std::collections::BTreeMap;

use quench_content::artefact::Manifest;
use quench_content::{Store, StoreError};
use quench_model::{Descriptor, Digest, Platform, media_type};
use serde::{Deserialize, Serialize};

use crate::Request;

/// Which image references a package holds, by canonical reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLock {
    /// Canonical reference (`docker.io/library/nginx:1.27`) to what it became.
    pub images: BTreeMap<String, LockedImage>,
}

/// What a reference became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockedImage {
    /// The reference as the chart renders it, in each of its spellings, sorted.
    pub rendered: Vec<String>,
    /// Digest of the image.
    pub digest: Digest,
    /// Media type of its manifest or index.
    pub media_type: String,
    /// Bytes of its manifest or index.
    pub size: u64,
    /// Bytes of everything the image is made of, each blob counted once.
    pub total_size: u64,
    /// Platforms it is there for, sorted.
    pub platforms: Vec<Platform>,
    /// Where it came from.
    pub origin: ImageOrigin,
    /// Where the chart names it, sorted.
    pub evidence: Vec<ImageEvidence>,
}

/// Where an image came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageOrigin {
    /// Its registry.
    Registry,
    /// It was given beside the chart under this name.
    Given,
    /// It was given beside the chart without a full name; the text says why it was taken for this reference.
    Matched(String),
}

/// A place where a chart names an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageEvidence {
    /// Template that renders the object: `nginx/templates/deployment.yaml`.
    pub template: String,
    /// Kind of the object.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Container, or volume, of its pod.
    pub container: String,
    /// Field of the pod specification the container stands in: `containers`, `initContainers`,
    /// `ephemeralContainers` or `volumes`.
    pub field: String,
}

impl ImageLock {
    /// Stores the lock as an artefact.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn store(&self, store: &Store) -> Result<Descriptor, StoreError> {
        let layer = store.put_json(media_type::IMAGE_LOCK, self).await?;
        store
            .put_manifest(&Manifest::artefact(media_type::IMAGE_LOCK, vec![layer]))
            .await
    }

    /// Loads the lock of a revision, see [`Package::lock`](crate::Package::lock).
    ///
    /// # Errors
    /// Not there, or no lock.
    pub async fn load(store: &Store, descriptor: &Descriptor) -> Result<Self, StoreError> {
        let manifest = store.manifest(descriptor).await?;
        match manifest.layers.first() {
            Some(layer) => store.read_json(layer, Request::DOCUMENT_LIMIT).await,
            None => Err(StoreError::Malformed {
                what: format!("image lock {}", descriptor.digest),
                reason: "it lists no document".to_owned(),
            }),
        }
    }
}
