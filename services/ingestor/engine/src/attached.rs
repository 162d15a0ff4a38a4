//! What publishers attached to their images: signatures, attestations and SBOMs come along with what they speak of.
//!
//! They are found as their registry has them, copied as the bytes they are, and attached in the store to the same
//! digests: as referrers, or under the tags cosign looks for. From there they go wherever the package goes. So does what
//! is attached to an attachment: a signature over an SBOM. What is said to be attached and cannot be read is no reason to
//! do without the image, but a finding.

mod finding;
mod given;

use std::collections::{BTreeMap, BTreeSet};

use futures::stream::{self, StreamExt as _};
use quench_content::artefact::Index;
use quench_content::{Attached, Repository, Store, StoreError};
use quench_model::{Descriptor, Digest};
use serde::Deserialize;

use crate::fetch::{document, named};

pub(crate) use finding::finding;
pub(crate) use given::attach_given;

/// Manifests asked about at the same time.
const PARALLEL: usize = 8;
/// Most attachments of one image, those of its platforms and of its attachments included.
pub(crate) const ATTACHED: usize = 2_000;
/// How far attachments of attachments are followed: image, SBOM, signature over the SBOM, and once more.
pub(crate) const DEPTH: usize = 3;
/// Most manifests that one attachment is made of.
const NODES: usize = 100;
/// Most bytes of manifests of what is attached to one image: they are held until the image is there.
const MANIFEST_BYTES: usize = 32 << 20;
/// Most bytes of annotations that are repeated where an attachment is listed.
const ANNOTATIONS: usize = 16 << 10;

/// Something attached, and what it is made of.
#[derive(Debug)]
pub(crate) struct Attachment {
    attached: Attached,
    /// Manifests in the order in which they have to be stored.
    documents: Vec<(Descriptor, Vec<u8>)>,
    pub(crate) blobs: Vec<Descriptor>,
}

/// Something that is attached to an image, or may be, and could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unread {
    /// What it is attached to.
    pub(crate) subject: Digest,
    /// The attachment; none where it is not even known which there are.
    pub(crate) attachment: Option<Digest>,
    pub(crate) reason: String,
}

/// What is attached to an image.
#[derive(Debug, Default)]
pub(crate) struct AttachedPlan {
    pub(crate) attachments: Vec<Attachment>,
    pub(crate) unread: Vec<Unread>,
    manifest_bytes: usize,
}

/// Looks up what is attached to these manifests, and to what is attached to them.
pub(crate) async fn plan(
    repository: &Repository,
    subjects: Vec<Digest>,
    store: &Store,
) -> Result<AttachedPlan, StoreError> {
    let mut plan = AttachedPlan::default();
    let mut asked: BTreeSet<Digest> = subjects.iter().cloned().collect();
    let mut open = subjects;
    for depth in 0..=DEPTH {
        if open.is_empty() {
            break;
        }
        let mut lookups = Vec::with_capacity(open.len());
        for subject in &open {
            lookups.push(async move { (subject.clone(), repository.attached(subject).await) });
        }
        let found: Vec<(Digest, Result<Vec<Attached>, StoreError>)> =
            stream::iter(lookups).buffered(PARALLEL).collect().await;
        let mut next = Vec::new();
        for (subject, listed) in found {
            let listed = match of_content(listed)? {
                Ok(listed) => listed,
                Err(reason) => {
                    plan.note(&subject, None, reason);
                    continue;
                }
            };
            if depth == DEPTH && !listed.is_empty() {
                plan.note(
                    &subject,
                    None,
                    format!("it lies deeper than {DEPTH} attachments on attachments"),
                );
                continue;
            }
            for attached in listed {
                if plan.attachments.len() + plan.unread.len() >= ATTACHED {
                    let reason = format!("more than {ATTACHED} manifests are attached");
                    plan.note(&subject, None, reason);
                    return Ok(plan);
                }
                let digest = attached.descriptor.digest.clone();
                if plan.take_in(repository, attached, store).await? && asked.insert(digest.clone())
                {
                    next.push(digest);
                }
            }
        }
        open = next;
    }
    Ok(plan)
}

impl AttachedPlan {
    fn note(&mut self, subject: &Digest, attachment: Option<&Digest>, reason: String) {
        tracing::warn!(%subject, reason, "something attached cannot be read");
        self.unread.push(Unread {
            subject: subject.clone(),
            attachment: attachment.cloned(),
            reason,
        });
    }

    /// Reads an attachment's manifest and what it names. False where it is left out: it cannot be read, or it does not say
    /// itself what it is attached to, so that nobody can verify anything by it.
    async fn take_in(
        &mut self,
        repository: &Repository,
        mut attached: Attached,
        store: &Store,
    ) -> Result<bool, StoreError> {
        let digest = attached.descriptor.digest.clone();
        let subject = attached.subject.clone();
        let bytes = match content(repository, &attached.descriptor, store).await? {
            Ok(bytes) => bytes,
            Err(reason) => {
                self.note(&subject, Some(&digest), reason);
                return Ok(false);
            }
        };
        let (described, own_subject) = described(&attached.descriptor, &bytes);
        if attached.tag.is_none() && own_subject.as_ref() != Some(&attached.subject) {
            tracing::warn!(
                %subject, attachment = %digest, place = repository.place(),
                "it is listed, but does not say that it is attached: it is left out"
            );
            return Ok(false);
        }
        let mut size = bytes.len();
        attached.descriptor = described;
        let mut nodes = vec![(attached.descriptor.clone(), bytes)];
        let mut blobs = Vec::new();
        let mut next = 0;
        while let Some((descriptor, bytes)) = nodes.get(next) {
            next += 1;
            let refused = match named(descriptor, bytes) {
                Err(error) => Some(error.to_string()),
                Ok(inner) => {
                    let (manifests, others): (Vec<_>, Vec<_>) =
                        inner.into_iter().partition(Descriptor::is_manifest);
                    blobs.extend(others);
                    let mut refused = None;
                    for part in manifests {
                        if nodes.iter().any(|(known, _)| known.digest == part.digest) {
                            continue;
                        }
                        if nodes.len() >= NODES {
                            refused = Some("it lists too many manifests".to_owned());
                            break;
                        }
                        match content(repository, &part, store).await? {
                            Ok(bytes) => {
                                size += bytes.len();
                                nodes.push((part, bytes));
                            }
                            Err(reason) => {
                                refused = Some(reason);
                                break;
                            }
                        }
                    }
                    refused
                }
            };
            if let Some(reason) = refused {
                self.note(&subject, Some(&digest), reason);
                return Ok(false);
            }
        }
        if self.manifest_bytes + size > MANIFEST_BYTES {
            let reason = format!("the manifests attached have more than {MANIFEST_BYTES} bytes");
            self.note(&subject, Some(&digest), reason);
            return Ok(false);
        }
        self.manifest_bytes += size;
        // An index stands before what it lists.
        nodes.reverse();
        self.attachments.push(Attachment {
            attached,
            documents: nodes,
            blobs,
        });
        Ok(true)
    }

    /// Attaches in the store what is there by now; `lost` are the blobs that could not be had, with the reason.
    pub(crate) async fn attach(
        mut self,
        store: &Store,
        lost: &BTreeMap<(Digest, u64), String>,
    ) -> Result<Vec<Unread>, StoreError> {
        for attachment in std::mem::take(&mut self.attachments) {
            let Attached {
                subject,
                descriptor,
                tag,
            } = &attachment.attached;
            let missing = attachment
                .blobs
                .iter()
                .find_map(|blob| Some((blob, lost.get(&(blob.digest.clone(), blob.size))?)));
            if let Some((blob, reason)) = missing {
                let reason = format!("{}: {reason}", blob.digest);
                self.note(subject, Some(&descriptor.digest), reason);
                continue;
            }
            for (descriptor, bytes) in &attachment.documents {
                if !store.contains(descriptor).await? {
                    store.put(&descriptor.media_type, bytes).await?;
                }
            }
            match tag {
                Some(tag) => store.tag(tag, descriptor).await?,
                None => store.list_referrer(subject, descriptor).await?,
            }
        }
        Ok(self.unread)
    }
}

/// A manifest's bytes; the reason where it is not there or is none.
async fn content(
    repository: &Repository,
    descriptor: &Descriptor,
    store: &Store,
) -> Result<Result<Vec<u8>, String>, StoreError> {
    let found = of_content(document(repository, descriptor, store).await)?;
    Ok(found.and_then(|found| found.ok_or_else(|| "it is listed, but not there".to_owned())))
}

/// Tells what is wrong with content, which stays so, from what is wrong with those who were asked.
pub(crate) fn of_content<T>(
    result: Result<T, StoreError>,
) -> Result<Result<T, String>, StoreError> {
    match result {
        Ok(value) => Ok(Ok(value)),
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
pub(crate) fn described(descriptor: &Descriptor, bytes: &[u8]) -> (Descriptor, Option<Digest>) {
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
