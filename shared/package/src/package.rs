//! Package revisions.

use std::collections::BTreeMap;

use quench_chart::{Chart, ChartError};
use quench_content::artefact::Index;
use quench_content::{MANIFEST_LIMIT, Store, StoreError};
use quench_model::{
    Descriptor, Digest, ImageReference, Level, PackageName, annotation, media_type,
};

use crate::chart_archive::{archive_of, store_chart};
use crate::{ImageLock, Request, images_lock, read_chart};

/// Why a document is not a package revision, or cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The document is not a package revision.
    #[error("{digest} is not a package revision: {reason}")]
    Malformed {
        /// Digest of the document.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// Its chart cannot be read or written.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// Somebody asked to stop.
    #[error("stopped before it was done")]
    Cancelled,
}

/// The chart of a revision: a standard Helm OCI artefact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartEntry {
    /// Manifest of the artefact.
    pub manifest: Descriptor,
}

/// An image of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageImage {
    /// Reference as the chart renders it, in canonical form.
    pub reference: ImageReference,
    /// Digest it had where it came from.
    pub original: Digest,
    /// The image as it is in this revision: a manifest, or an index of several platforms.
    pub descriptor: Descriptor,
}

/// One immutable state of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// The revision's index: its digest is the revision's name.
    pub revision: Descriptor,
    /// The lineage it belongs to.
    pub name: PackageName,
    /// Version of the chart.
    pub version: String,
    /// How far it has come.
    pub level: Level,
    /// Digest of the revision it was made from; none at level 1.
    pub previous: Option<Digest>,
    /// The chart.
    pub chart: ChartEntry,
    /// Every image, sorted by reference.
    pub images: Vec<PackageImage>,
    /// What was demanded, see [`Request::load`].
    pub request: Descriptor,
    /// The image lock: a JSON document with the evidence for every image, see [`Package::load_lock`].
    pub lock: Descriptor,
}

/// What a new revision is made of.
#[derive(Debug, Clone)]
pub struct PackageParts {
    /// The lineage.
    pub name: PackageName,
    /// Version of the chart.
    pub version: String,
    /// Level reached.
    pub level: Level,
    /// Revision it was made from.
    pub previous: Option<Digest>,
    /// The chart. [`Package::store`] writes the image lock into it.
    pub chart: Chart,
    /// Images, in any order.
    pub images: Vec<PackageImage>,
    /// The request's manifest.
    pub request: Descriptor,
    /// The image lock. [`Package::store`] brings it up to date with the images.
    pub lock: ImageLock,
}

mod role {
    pub const CHART: &str = "chart";
    pub const IMAGE: &str = "image";
    pub const REQUEST: &str = "request";
    pub const LOCK: &str = "lock";
}

impl Package {
    /// Stores a new revision. Equal parts give equal bytes, whatever the order of the images.
    ///
    /// The image lock is brought up to date first, and written into the chart as `images.lock`, so that at every level both
    /// tell what the package really holds.
    ///
    /// # Errors
    /// When the store refuses, a changed image is not all there, or the chart cannot hold the lock.
    pub async fn store(store: &Store, parts: PackageParts) -> Result<Self, PackageError> {
        let PackageParts {
            name,
            version,
            level,
            previous,
            chart,
            mut images,
            request,
            mut lock,
        } = parts;
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        images.dedup_by(|a, b| a.reference == b.reference);
        for image in &mut images {
            image.descriptor = bare(&image.descriptor);
        }
        lock.bring_up_to_date(store, &images).await?;
        let chart = images_lock::put_into(&chart, &images, &lock)?;
        let chart = ChartEntry {
            manifest: bare(&store_chart(store, chart).await?.manifest),
        };
        let (request, lock) = (bare(&request), bare(&lock.store(store).await?));
        let mut manifests = vec![
            chart
                .manifest
                .clone()
                .annotated(annotation::ROLE, role::CHART),
        ];
        manifests.extend(images.iter().map(|image| {
            image
                .descriptor
                .clone()
                .annotated(annotation::ROLE, role::IMAGE)
                .annotated(annotation::REFERENCE, image.reference.to_string())
                .annotated(annotation::ORIGINAL_DIGEST, image.original.to_string())
        }));
        manifests.push(request.clone().annotated(annotation::ROLE, role::REQUEST));
        manifests.push(lock.clone().annotated(annotation::ROLE, role::LOCK));
        let mut index = Index::of(manifests);
        index.artifact_type = Some(media_type::PACKAGE.to_owned());
        index.annotations = BTreeMap::from([
            (annotation::PACKAGE.to_owned(), name.to_string()),
            (annotation::VERSION.to_owned(), version.clone()),
            (annotation::LEVEL.to_owned(), level.to_string()),
        ]);
        if let Some(previous) = &previous {
            index
                .annotations
                .insert(annotation::PREVIOUS.to_owned(), previous.to_string());
        }
        let mut revision = store.put_json(media_type::INDEX, &index).await?;
        revision.artifact_type = Some(media_type::PACKAGE.to_owned());
        Ok(Self {
            revision,
            name,
            version,
            level,
            previous,
            chart,
            images,
            request,
            lock,
        })
    }

    /// The parts of the next revision: the same package one level on, for the engine to change.
    ///
    /// # Errors
    /// When the chart or the image lock cannot be read.
    pub async fn advance(&self, store: &Store, level: Level) -> Result<PackageParts, PackageError> {
        Ok(PackageParts {
            name: self.name.clone(),
            version: self.version.clone(),
            level,
            previous: Some(self.revision.digest.clone()),
            chart: self.load_chart(store).await?,
            images: self.images.clone(),
            request: self.request.clone(),
            lock: self.load_lock(store).await?,
        })
    }

    /// Loads a revision.
    ///
    /// # Errors
    /// Not there, not what its digest names, or no package revision.
    pub async fn load(store: &Store, revision: &Descriptor) -> Result<Self, PackageError> {
        Self::load_digest(store, &revision.digest).await
    }

    /// Loads the revision a digest names.
    ///
    /// # Errors
    /// As [`Package::load`].
    pub async fn load_digest(store: &Store, digest: &Digest) -> Result<Self, PackageError> {
        let mut revision = Descriptor {
            media_type: media_type::INDEX.to_owned(),
            digest: digest.clone(),
            size: 0,
            artifact_type: Some(media_type::PACKAGE.to_owned()),
            platform: None,
            annotations: BTreeMap::new(),
        };
        let bytes = store.read(&revision, MANIFEST_LIMIT).await?;
        revision.size = bytes.len() as u64;
        let index = serde_json::from_slice(&bytes).map_err(|e| PackageError::Malformed {
            digest: digest.clone(),
            reason: e.to_string(),
        })?;
        Self::parse(&revision, &index)
    }

    /// The revision that an index is.
    pub(crate) fn parse(revision: &Descriptor, index: &Index) -> Result<Self, PackageError> {
        let malformed = |reason: String| PackageError::Malformed {
            digest: revision.digest.clone(),
            reason,
        };
        if index.artifact_type.as_deref() != Some(media_type::PACKAGE) {
            return Err(malformed(
                "its artifactType is not that of a package".to_owned(),
            ));
        }
        let annotated = |key: &str| {
            index
                .annotations
                .get(key)
                .ok_or_else(|| malformed(format!("annotation {key} is missing")))
        };
        let name = annotated(annotation::PACKAGE)?
            .parse()
            .map_err(|e| malformed(format!("{e}")))?;
        let level = annotated(annotation::LEVEL)?
            .parse()
            .map_err(|e| malformed(format!("{e}")))?;
        let version = annotated(annotation::VERSION)?.clone();
        let previous = index
            .annotations
            .get(annotation::PREVIOUS)
            .map(|text| text.parse())
            .transpose()
            .map_err(|e| malformed(format!("{e}")))?;
        let mut chart = None;
        let mut request = None;
        let mut lock = None;
        let mut images = Vec::new();
        for entry in &index.manifests {
            match entry.annotation(annotation::ROLE) {
                Some(role::CHART) => {
                    chart = Some(ChartEntry {
                        manifest: bare(entry),
                    });
                }
                Some(role::REQUEST) => request = Some(bare(entry)),
                Some(role::LOCK) => lock = Some(bare(entry)),
                Some(role::IMAGE) => images.push(image_entry(entry).map_err(malformed)?),
                other => {
                    return Err(malformed(format!(
                        "entry {} has the role {other:?}, which this version does not know",
                        entry.digest
                    )));
                }
            }
        }
        Ok(Self {
            revision: bare(revision),
            name,
            version,
            level,
            previous,
            chart: chart.ok_or_else(|| malformed("it holds no chart".to_owned()))?,
            images,
            request: request.ok_or_else(|| malformed("it holds no request".to_owned()))?,
            lock: lock.ok_or_else(|| malformed("it holds no image lock".to_owned()))?,
        })
    }

    /// Descriptor of the chart archive (`.tgz`).
    ///
    /// # Errors
    /// When the chart's manifest cannot be read or holds no archive.
    pub async fn chart_archive(&self, store: &Store) -> Result<Descriptor, PackageError> {
        archive_of(store.manifest(&self.chart.manifest).await?, &self.chart)
    }

    /// The chart.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn load_chart(&self, store: &Store) -> Result<Chart, PackageError> {
        read_chart(store, &self.chart_archive(store).await?).await
    }

    /// The image lock.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn load_lock(&self, store: &Store) -> Result<ImageLock, PackageError> {
        Ok(ImageLock::load(store, &self.lock).await?)
    }

    /// The demands the package was submitted with.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn request(&self, store: &Store) -> Result<Request, PackageError> {
        Ok(Request::load(store, &self.request).await?)
    }

    /// The revision and those it was made from, newest first.
    ///
    /// # Errors
    /// When a revision of the chain cannot be read.
    pub async fn lineage(&self, store: &Store) -> Result<Vec<Self>, PackageError> {
        let mut chain = vec![self.clone()];
        // Five levels; the bound keeps a forged chain from running on.
        while chain.len() < 16 {
            let Some(previous) = chain.last().and_then(|p| p.previous.clone()) else {
                break;
            };
            chain.push(Self::load_digest(store, &previous).await?);
        }
        Ok(chain)
    }
}

fn image_entry(entry: &Descriptor) -> Result<PackageImage, String> {
    let annotated = |key: &str| {
        entry
            .annotation(key)
            .ok_or_else(|| format!("image {} has no annotation {key}", entry.digest))
    };
    let reference = annotated(annotation::REFERENCE)?
        .parse()
        .map_err(|e| format!("{e}"))?;
    let original = annotated(annotation::ORIGINAL_DIGEST)?
        .parse()
        .map_err(|e| format!("{e}"))?;
    Ok(PackageImage {
        reference,
        original,
        descriptor: bare(entry),
    })
}

/// A descriptor without annotations: inside a revision they say what an entry is, outside they would make
/// the same content look different.
fn bare(descriptor: &Descriptor) -> Descriptor {
    Descriptor {
        annotations: BTreeMap::new(),
        ..descriptor.clone()
    }
}
