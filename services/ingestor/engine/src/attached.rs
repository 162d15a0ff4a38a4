//! What publishers attached to their images: signatures, attestations and SBOMs come along with what they speak of.
//!
//! They are found as their registry has them, copied as the bytes they are, and attached in the store to the same
//! digests: as referrers, or under the tags cosign looks for. From there they go wherever the package goes.

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use quench_content::artefact::Index;
use quench_content::{Attached, Repository, Store, StoreError};
use quench_model::{Descriptor, Digest};
use serde::Deserialize;

use crate::fetch::{document, named};

/// Manifests asked about at the same time.
const PARALLEL: usize = 8;
/// Most attachments of one image, those of its platforms included.
const ATTACHED: usize = 2_000;
/// Most manifests that one attachment is made of.
const NODES: usize = 100;
/// Most bytes of annotations that are repeated where an attachment is listed.
const ANNOTATIONS: usize = 16 << 10;

/// What is attached to an image, and what that is made of.
#[derive(Debug, Default)]
pub(crate) struct AttachedPlan {
    attached: Vec<Attached>,
    /// Manifests in the order in which they have to be stored.
    pub(crate) documents: Vec<(Descriptor, Vec<u8>)>,
    pub(crate) blobs: BTreeMap<Digest, Descriptor>,
}

/// Looks up what is attached to these manifests.
pub(crate) async fn plan(
    repository: &Repository,
    subjects: Vec<Digest>,
    store: &Store,
) -> Result<AttachedPlan, StoreError> {
    let mut plan = AttachedPlan::default();
    let mut lookups = Vec::with_capacity(subjects.len());
    for subject in &subjects {
        lookups.push(repository.attached(subject));
    }
    let found: Vec<Vec<Attached>> = stream::iter(lookups)
        .buffered(PARALLEL)
        .try_collect()
        .await?;
    for attached in found.into_iter().flatten() {
        if plan.attached.len() >= ATTACHED {
            return Err(StoreError::Malformed {
                what: format!("image {}@{}", repository.place(), attached.subject),
                reason: format!("more than {ATTACHED} manifests are attached to it"),
            });
        }
        plan.take_in(repository, attached, store).await?;
    }
    Ok(plan)
}

impl AttachedPlan {
    /// Reads an attachment's manifest and what it names. It is left out, and that is logged, where it is listed but not
    /// there, no manifest, or does not say itself what it is attached to: nobody can verify anything by it.
    async fn take_in(
        &mut self,
        repository: &Repository,
        mut attached: Attached,
        store: &Store,
    ) -> Result<(), StoreError> {
        let digest = attached.descriptor.digest.clone();
        let subject = attached.subject.clone();
        let skipped = |reason: &str| {
            tracing::warn!(
                %subject, attachment = %digest, place = repository.place(), reason,
                "an attachment is left out"
            );
            Ok(())
        };
        let bytes = match content(repository, &attached.descriptor, store).await? {
            Ok(bytes) => bytes,
            Err(reason) => return skipped(&reason),
        };
        let (described, own_subject) = described(&attached.descriptor, &bytes);
        if attached.tag.is_none() && own_subject.as_ref() != Some(&attached.subject) {
            return skipped("it is listed, but does not say that it is attached");
        }
        if attached.tag.is_none() && described.is_index() {
            return skipped("it is an index, and only manifests are taken");
        }
        attached.descriptor = described;
        let mut nodes = vec![(attached.descriptor.clone(), bytes)];
        let mut blobs = Vec::new();
        let mut next = 0;
        while let Some((descriptor, bytes)) = nodes.get(next) {
            next += 1;
            let inner = match named(descriptor, bytes) {
                Ok(inner) => inner,
                Err(error) => return skipped(&error.to_string()),
            };
            for part in inner {
                if !part.is_manifest() {
                    blobs.push(part);
                } else if nodes.iter().all(|(known, _)| known.digest != part.digest) {
                    if nodes.len() >= NODES {
                        return skipped("it lists too many manifests");
                    }
                    match content(repository, &part, store).await? {
                        Ok(bytes) => nodes.push((part, bytes)),
                        Err(reason) => return skipped(&reason),
                    }
                }
            }
        }
        self.blobs
            .extend(blobs.into_iter().map(|blob| (blob.digest.clone(), blob)));
        // An index stands before what it lists.
        self.documents.extend(nodes.into_iter().rev());
        self.attached.push(attached);
        Ok(())
    }

    /// Attaches in the store what is there by now.
    pub(crate) async fn attach(&self, store: &Store) -> Result<(), StoreError> {
        for attached in &self.attached {
            match &attached.tag {
                Some(tag) => store.tag(tag, &attached.descriptor).await?,
                None => {
                    store
                        .list_referrer(&attached.subject, &attached.descriptor)
                        .await?;
                }
            }
        }
        Ok(())
    }
}

/// A manifest's bytes; the reason where it is not there or is none.
async fn content(
    repository: &Repository,
    descriptor: &Descriptor,
    store: &Store,
) -> Result<Result<Vec<u8>, String>, StoreError> {
    match document(repository, descriptor, store).await {
        Ok(Some(bytes)) => Ok(Ok(bytes)),
        Ok(None) => Ok(Err("it is listed, but not there".to_owned())),
        Err(
            error @ (StoreError::Malformed { .. }
            | StoreError::WrongSize { .. }
            | StoreError::WrongDigest { .. }
            | StoreError::TooLarge { .. }),
        ) => Ok(Err(error.to_string())),
        Err(error) => Err(error),
    }
}

/// A manifest's descriptor with the artefact type and annotations that the manifest has, not those a list claims; and
/// what the manifest says it is attached to.
fn described(descriptor: &Descriptor, bytes: &[u8]) -> (Descriptor, Option<Digest>) {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Typed {
        artifact_type: Option<String>,
        config: Option<Config>,
        subject: Option<Descriptor>,
        annotations: BTreeMap<String, String>,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Config {
        media_type: String,
    }
    let typed: Typed = serde_json::from_slice(bytes).unwrap_or_default();
    let weight: usize = typed
        .annotations
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    let described = Descriptor {
        // Distribution-spec 1.1: where a manifest names no type, its configuration's is taken.
        artifact_type: typed
            .artifact_type
            .or_else(|| typed.config.map(|config| config.media_type)),
        annotations: if weight > ANNOTATIONS {
            BTreeMap::new()
        } else {
            typed.annotations
        },
        platform: None,
        ..descriptor.clone()
    };
    (described, typed.subject.map(|subject| subject.digest))
}

/// The manifests of an image that something may be attached to: all but the attestations that lie in its index.
pub(crate) fn subjects(documents: &[(Descriptor, Vec<u8>)]) -> Vec<Digest> {
    let mut within: BTreeSet<Digest> = BTreeSet::new();
    for (descriptor, bytes) in documents {
        if !descriptor.is_index() {
            continue;
        }
        let index: Option<Index> = serde_json::from_slice(bytes).ok();
        let entries = index.map(|index| index.manifests).unwrap_or_default();
        let unknown = |entry: &Descriptor| {
            let platform = entry.platform.as_ref();
            platform.is_some_and(|platform| platform.architecture == "unknown")
        };
        within.extend(
            entries
                .into_iter()
                .filter(unknown)
                .map(|entry| entry.digest),
        );
    }
    documents
        .iter()
        .map(|(descriptor, _)| descriptor.digest.clone())
        .filter(|digest| !within.contains(digest))
        .collect()
}
