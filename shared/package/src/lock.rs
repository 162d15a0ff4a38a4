//! The image lock: which reference became which image, and why it is in the package.

use std::collections::BTreeMap;

use quench_content::artefact::Manifest;
use quench_content::{Store, StoreError};
use quench_model::{Descriptor, Digest, Platform, media_type};
use serde::{Deserialize, Serialize};

use crate::{PackageError, PackageImage, Request, measure};

/// Which image references a package holds, by canonical reference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLock {
    /// Canonical reference (`docker.io/library/nginx:1.27`) to what it became.
    pub images: BTreeMap<String, LockedImage>,
    /// References the chart names, or seems to name, that are not in the package, with the reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, LeftOut>,
    /// Which values the chart was rendered at to find images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<ValuesTried>,
}

/// Why an image is in a package, or might have to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageClass {
    /// The chart uses it at the given values.
    #[default]
    Required,
    /// The chart uses it at other values, or says that it may.
    Optional,
    /// A text looks like its reference; no registry or given image shows that it is one.
    Possible,
}

impl ImageClass {
    /// Its name, as serialized.
    pub fn name(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
            Self::Possible => "possible",
        }
    }
}

/// An image that is not in the package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LeftOut {
    /// The reference as the chart has it, in each of its spellings, sorted.
    pub rendered: Vec<String>,
    /// Optional or possible.
    pub class: ImageClass,
    /// Why it is not in the package.
    pub reason: String,
    /// Where the chart names it, sorted.
    pub evidence: Vec<ImageEvidence>,
}

/// Which values a chart was rendered at to find images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValuesTried {
    /// Number of value sets rendered, the given values included.
    pub rendered: usize,
    /// Value sets that do not render, as `--set` would have them, with helm's reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub failed: BTreeMap<String, String>,
    /// Value sets that were not tried because there were too many.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands skip_serializing_if a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// What a reference became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LockedImage {
    /// The reference as the chart renders it, in each of its spellings, sorted.
    pub rendered: Vec<String>,
    /// Why it is in the package.
    #[serde(default)]
    pub class: ImageClass,
    /// Digest of the image as the package holds it.
    pub digest: Digest,
    /// Media type of its manifest or index.
    pub media_type: String,
    /// Bytes of its manifest or index.
    pub size: u64,
    /// Bytes of everything the image is made of, each blob counted once.
    pub total_size: u64,
    /// Platforms it is there for, sorted.
    pub platforms: Vec<Platform>,
    /// Where it came from, before any level changed it.
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

/// How an image was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FoundBy {
    /// A pod specification names it.
    #[default]
    PodSpec,
    /// A custom resource names it in a field for images.
    CustomResource,
    /// A text holds it: environment, arguments, command, `ConfigMap`, Secret, or another field of an object.
    Text,
    /// An annotation of a `Chart.yaml` lists it.
    Annotation,
    /// A lock file of the chart lists it.
    LockFile,
    /// The chart's values name it, and nothing that was rendered does.
    Values,
}

impl FoundBy {
    /// Its name, as serialized.
    pub fn name(self) -> &'static str {
        match self {
            Self::PodSpec => "pod-spec",
            Self::CustomResource => "custom-resource",
            Self::Text => "text",
            Self::Annotation => "annotation",
            Self::LockFile => "lock-file",
            Self::Values => "values",
        }
    }
}

/// A place where a chart names an image.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageEvidence {
    /// File it comes from: the template that renders the object (`nginx/templates/deployment.yaml`), or a file of the chart.
    pub template: String,
    /// Kind of the object; empty for a file of the chart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Name of the object; empty for a file of the chart.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Container, or volume, of its pod; empty outside pods.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// In a pod specification the field the container stands in: `containers`, `initContainers`, `ephemeralContainers` or
    /// `volumes`, with what of the container says so where that is not its image (`containers.env.RELOADER_IMAGE`). Elsewhere
    /// the path to the field within the object or file.
    pub field: String,
    /// How it was found.
    #[serde(default)]
    pub found_by: FoundBy,
    /// What has to be changed of the given values for it to be there, as `--set` would have it; empty for nothing.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub values: String,
}

impl std::fmt::Display for ImageEvidence {
    /// `Kind/name/container field`, or the file and the path in it; and the values that bring it about.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.kind.is_empty() {
            write!(f, "{} {}", self.template, self.field)?;
        } else {
            write!(f, "{}/{}", self.kind, self.name)?;
            if !self.container.is_empty() {
                write!(f, "/{}", self.container)?;
            }
            write!(f, " {}", self.field)?;
        }
        if !self.values.is_empty() {
            write!(f, " with {}", self.values)?;
        }
        Ok(())
    }
}

impl ImageLock {
    /// Makes every entry tell what its image is now: a level may have put another in its place. An image the chart was not
    /// searched for gets an entry without evidence. An entry without an image stays, for [`verify_package`](crate::verify_package)
    /// to miss the image.
    pub(crate) async fn bring_up_to_date(
        &mut self,
        store: &Store,
        images: &[PackageImage],
    ) -> Result<(), PackageError> {
        for image in images {
            let reference = image.reference.to_string();
            let now = &image.descriptor;
            let known = self.images.get(&reference);
            if known.is_some_and(|locked| locked.digest == now.digest) {
                continue;
            }
            let measured = measure(store, now).await?;
            let entry = known.cloned().unwrap_or_else(|| LockedImage {
                rendered: vec![reference.clone()],
                class: ImageClass::Required,
                digest: now.digest.clone(),
                media_type: String::new(),
                size: 0,
                total_size: 0,
                platforms: Vec::new(),
                origin: ImageOrigin::Given,
                evidence: Vec::new(),
            });
            let locked = LockedImage {
                digest: now.digest.clone(),
                media_type: now.media_type.clone(),
                size: now.size,
                total_size: measured.total_size,
                platforms: measured.platforms,
                ..entry
            };
            self.images.insert(reference, locked);
        }
        Ok(())
    }

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
