//! What enters: a chart, the user's demands, and images given beside it.

use std::collections::BTreeMap;

use quench_content::artefact::Manifest;
use quench_content::{Store, StoreError};
use quench_model::{Descriptor, Digest, media_type};
use serde::{Deserialize, Serialize};

use crate::Request;

/// Images given beside a chart. The content is in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageTable {
    /// Images that came with a full name: canonical reference (`docker.io/library/nginx:1.27`, as
    /// `ImageReference` prints it) to manifest or index.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Descriptor>,
    /// Images that came without one, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unnamed: Vec<UnnamedImage>,
    /// What is attached to them, and to what is attached to them, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attached: Vec<GivenAttachment>,
}

impl ImageTable {
    /// The manifest or index of every image, named or not.
    pub fn descriptors(&self) -> impl Iterator<Item = &Descriptor> {
        let unnamed = self.unnamed.iter().map(|image| &image.descriptor);
        self.images.values().chain(unnamed)
    }

    /// The manifest or index of every image and of everything attached to them.
    pub fn named(&self) -> impl Iterator<Item = &Descriptor> {
        let attached = self.attached.iter().map(|given| &given.descriptor);
        self.descriptors().chain(attached)
    }
}

/// A signature, attestation, SBOM or other artefact that came with an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GivenAttachment {
    /// What it is attached to.
    pub subject: Digest,
    /// Suffix of cosign's tag it was found by; none for a referrer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// Its manifest or index.
    pub descriptor: Descriptor,
}

/// An image that came without a full name: an OCI layout may name it by a tag alone, or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UnnamedImage {
    /// Name of the folder or file it came in, without its ending: a hint of the image's name.
    pub source: String,
    /// Tag, where it came with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Manifest or index.
    pub descriptor: Descriptor,
}

/// What goes into a submission.
#[derive(Debug, Clone)]
pub struct SubmissionParts {
    /// The chart archive, already in the store, packed deterministically.
    pub chart: Descriptor,
    /// The user's demands.
    pub request: Request,
    /// Images given beside the chart; everything else comes from its registry.
    pub images: ImageTable,
}

/// A stored submission: one digest that says everything about the work asked for. The same submission ends in
/// the same package, in one process or in a fleet.
#[derive(Debug, Clone)]
pub struct Submission {
    /// Its manifest.
    pub descriptor: Descriptor,
    /// What is in it.
    pub parts: SubmissionParts,
}

impl Submission {
    /// Stores a submission.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn store(store: &Store, parts: SubmissionParts) -> Result<Self, StoreError> {
        let mut layers = vec![parts.chart.clone()];
        layers.extend(parts.request.layers(store).await?);
        layers.push(
            store
                .put_json(media_type::IMAGE_TABLE, &parts.images)
                .await?,
        );
        let descriptor = store
            .put_manifest(&Manifest::artefact(media_type::SUBMISSION, layers))
            .await?;
        Ok(Self { descriptor, parts })
    }

    /// Loads a stored submission.
    ///
    /// # Errors
    /// Not there, not what its digest names, or without a chart.
    pub async fn load(store: &Store, descriptor: &Descriptor) -> Result<Self, StoreError> {
        let manifest = store.manifest(descriptor).await?;
        let malformed = |reason: &str| StoreError::Malformed {
            what: format!("submission {}", descriptor.digest),
            reason: reason.to_owned(),
        };
        if manifest.artifact_type.as_deref() != Some(media_type::SUBMISSION) {
            return Err(malformed("its artifactType is not that of a submission"));
        }
        let find = |wanted: &str| manifest.layers.iter().find(|l| l.media_type == wanted);
        let chart = find(media_type::HELM_CHART)
            .ok_or_else(|| malformed("it holds no chart"))?
            .clone();
        let images = match find(media_type::IMAGE_TABLE) {
            Some(layer) => store.read_json(layer, Request::DOCUMENT_LIMIT).await?,
            None => ImageTable::default(),
        };
        let request = Request::from_layers(store, &manifest.layers).await?;
        Ok(Self {
            descriptor: descriptor.clone(),
            parts: SubmissionParts {
                chart,
                request,
                images,
            },
        })
    }
}
