//! One platform's image, opened.

use quench_content::Store;
use quench_content::artefact::Manifest;
use quench_model::{Descriptor, Platform};

use crate::archive::Kind;
use crate::merge::Merge;
use crate::{ImageConfig, ImageError, Layer, Limits, Tree};

/// An image for one platform: manifest, configuration, layers, and the merged tree of its files.
#[derive(Debug)]
pub struct Image {
    /// Names the manifest.
    pub descriptor: Descriptor,
    /// The manifest.
    pub manifest: Manifest,
    /// The configuration.
    pub config: ImageConfig,
    /// The layers, lowest first.
    pub layers: Vec<Layer>,
    tree: Tree,
}

impl Image {
    /// Opens an image by the descriptor of its manifest; an index is opened through [`platforms`] first.
    ///
    /// Each layer not seen before is read once; a layer in the cache costs nothing.
    ///
    /// # Errors
    /// When a part is missing, does not hash to its digest, is damaged, or is beyond the default [`Limits`].
    pub async fn open(store: &Store, descriptor: &Descriptor) -> Result<Self, ImageError> {
        Self::open_within(store, descriptor, &Limits::default()).await
    }

    /// As [`Image::open`], with other limits.
    ///
    /// # Errors
    /// As [`Image::open`].
    pub async fn open_within(
        store: &Store,
        descriptor: &Descriptor,
        limits: &Limits,
    ) -> Result<Self, ImageError> {
        let refuse = |reason: String| ImageError::Manifest {
            digest: descriptor.digest.clone(),
            reason,
        };
        if descriptor.is_index() {
            return Err(refuse(
                "is an index of images for several platforms; open one of them".to_owned(),
            ));
        }
        let manifest = store.manifest(descriptor).await?;
        if manifest.layers.len() > limits.layers {
            return Err(refuse(format!(
                "names {} layers; at most {} are accepted",
                manifest.layers.len(),
                limits.layers
            )));
        }
        let config = ImageConfig::read(store, &manifest.config).await?;
        if manifest.layers.len() != config.diff_ids.len() {
            return Err(refuse(format!(
                "names {} layers, but its configuration {}",
                manifest.layers.len(),
                config.diff_ids.len()
            )));
        }
        let mut layers = Vec::new();
        for (layer, diff_id) in manifest.layers.iter().zip(&config.diff_ids) {
            layers.push(Layer::open(store, layer, diff_id, limits).await?);
        }
        let (merging, limits) = (layers.clone(), limits.clone());
        let tree = quench_content::blocking(move || Merge::of(&merging, &limits)).await?;
        Ok(Self {
            descriptor: descriptor.clone(),
            manifest,
            config,
            layers,
            tree,
        })
    }

    /// The files as a container sees them.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// Number of regular files and links a container sees, and the bytes of the regular files, hard links
    /// counted once.
    pub fn contents(&self) -> Contents {
        let mut contents = Contents::default();
        let mut linked = std::collections::HashSet::new();
        for entry in self.tree.iter() {
            match entry.kind() {
                Kind::Folder => {}
                Kind::File => {
                    contents.files += 1;
                    if entry.content_id().is_some_and(|id| linked.insert(id)) {
                        contents.bytes += entry.size();
                    }
                }
                _ => contents.files += 1,
            }
        }
        contents
    }
}

/// How much an image holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    /// Files, links and devices.
    pub files: u64,
    /// Bytes of regular files, unpacked.
    pub bytes: u64,
}

/// The manifests behind a descriptor, one for each platform, in the order of the index; a manifest is its own only
/// one. Attestations and other artefacts inside the index are left out.
///
/// # Errors
/// When the index cannot be read or lists no image.
pub async fn platforms(
    store: &Store,
    descriptor: &Descriptor,
) -> Result<Vec<Descriptor>, ImageError> {
    if !descriptor.is_index() {
        return Ok(vec![descriptor.clone()]);
    }
    let index = store.index(descriptor).await?;
    let images: Vec<Descriptor> = index.manifests.into_iter().filter(is_image).collect();
    if images.is_empty() {
        return Err(ImageError::Manifest {
            digest: descriptor.digest.clone(),
            reason: "is an index that lists no image".to_owned(),
        });
    }
    Ok(images)
}

/// Whether an index entry is an image: image builders list attestations beside images, as manifests for the
/// platform `unknown/unknown`.
pub fn is_image(descriptor: &Descriptor) -> bool {
    descriptor.is_manifest()
        && !descriptor.is_index()
        && descriptor.artifact_type.is_none()
        && descriptor
            .platform
            .as_ref()
            .is_none_or(|platform| platform.os != "unknown")
}

/// The image for a platform: the one that fits operating system, processor and, when one is asked for,
/// variant; an image without a stated platform fits when it is the only one.
pub fn select<'a>(images: &'a [Descriptor], wanted: &Platform) -> Option<&'a Descriptor> {
    if let [only] = images
        && only.platform.is_none()
    {
        return Some(only);
    }
    let fits = |image: &&Descriptor| {
        image.platform.as_ref().is_some_and(|platform| {
            platform.os == wanted.os
                && platform.architecture == wanted.architecture
                && (wanted.variant.is_none() || platform.variant == wanted.variant)
        })
    };
    images.iter().find(fits)
}
