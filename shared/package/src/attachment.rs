//! What is attached to a revision: findings, SBOMs, reports.

use std::collections::BTreeMap;

use quench_content::artefact::Manifest;
use quench_content::{RefName, Store, StoreError};
use quench_model::{Descriptor, Digest, Finding, Level, annotation, media_type};

use crate::Package;

/// Most bytes of an attachment that is read whole: a findings list of a large package with a few hundred
/// thousand entries.
pub const ATTACHMENT_LIMIT: u64 = 512 << 20;

/// A document attached to a revision as an OCI 1.1 referrer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// What the document is; also its media type.
    pub kind: String,
    /// Level that made it.
    pub level: Option<Level>,
    /// Image it speaks of, by the digest the image has in that revision; none when it speaks of all.
    pub image: Option<Digest>,
    /// The document.
    pub document: Descriptor,
}

impl Attachment {
    /// Stores a document and attaches it to a revision.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn attach(
        store: &Store,
        revision: &Descriptor,
        kind: &str,
        level: Level,
        image: Option<&Digest>,
        bytes: &[u8],
    ) -> Result<Self, StoreError> {
        let document = store.put(kind, bytes).await?;
        let mut manifest = Manifest::artefact(kind, vec![document.clone()]);
        manifest.subject = Some(Descriptor {
            annotations: BTreeMap::new(),
            artifact_type: None,
            ..revision.clone()
        });
        manifest
            .annotations
            .insert(annotation::ATTACHMENT_LEVEL.to_owned(), level.to_string());
        if let Some(image) = image {
            manifest
                .annotations
                .insert(annotation::ATTACHMENT_IMAGE.to_owned(), image.to_string());
        }
        store.attach(&manifest).await?;
        Ok(Self {
            kind: kind.to_owned(),
            level: Some(level),
            image: image.cloned(),
            document,
        })
    }
}

/// What is attached to a revision, of one kind or of all, in a fixed order.
///
/// # Errors
/// When the referrers cannot be read.
pub async fn attachments(
    store: &Store,
    revision: &Digest,
    kind: Option<&str>,
) -> Result<Vec<Attachment>, StoreError> {
    let mut found = Vec::new();
    for descriptor in store.referrers(revision, kind).await? {
        let manifest = store.manifest(&descriptor).await?;
        let Some(document) = manifest.layers.first().cloned() else {
            continue;
        };
        let annotated = |key: &str| manifest.annotations.get(key);
        found.push(Attachment {
            kind: manifest.artifact_type.clone().unwrap_or_default(),
            level: annotated(annotation::ATTACHMENT_LEVEL).and_then(|text| text.parse().ok()),
            image: annotated(annotation::ATTACHMENT_IMAGE).and_then(|text| text.parse().ok()),
            document,
        });
    }
    Ok(found)
}

/// The findings of a revision as they stand now: what its level wrote, or what a later advisory epoch made
/// of it. A revision without findings attached has none, which is not the same as *clean*: ask its level.
///
/// # Errors
/// When they cannot be read.
pub async fn current_findings(
    store: &Store,
    package: &Package,
) -> Result<Vec<Finding>, StoreError> {
    let name = RefName::findings(&package.revision.digest);
    match store.resolve(&name).await? {
        Some(manifest) => {
            let manifest = store.manifest(&manifest).await?;
            match manifest.layers.first() {
                Some(document) => store.read_json(document, ATTACHMENT_LIMIT).await,
                None => Ok(Vec::new()),
            }
        }
        None => Ok(Vec::new()),
    }
}

/// Writes the findings of a revision: sorted, attached, and current from now on. What is noted about the work that made
/// the revision stays.
///
/// # Errors
/// When the store refuses.
pub async fn replace_findings(
    store: &Store,
    revision: &Descriptor,
    level: Level,
    findings: &mut [Finding],
) -> Result<Descriptor, StoreError> {
    let work = work_notes(store, &revision.digest).await?;
    write_findings(store, revision, level, findings, work).await
}

/// What is noted, beside the findings of a revision, about the work that made it: see
/// [`annotation::WORK_ENGINE`] and its neighbours.
pub(crate) async fn work_notes(
    store: &Store,
    revision: &Digest,
) -> Result<BTreeMap<String, String>, StoreError> {
    let Some(current) = store.resolve(&RefName::findings(revision)).await? else {
        return Ok(BTreeMap::new());
    };
    let mut notes = store.manifest(&current).await?.annotations;
    notes.retain(|key, _| {
        matches!(
            key.as_str(),
            annotation::WORK_ENGINE
                | annotation::WORK_INPUT
                | annotation::WORK_POLICY
                | annotation::WORK_EPOCH
        )
    });
    Ok(notes)
}

/// As [`replace_findings`], with notes about the work that made the revision.
pub(crate) async fn write_findings(
    store: &Store,
    revision: &Descriptor,
    level: Level,
    findings: &mut [Finding],
    work: BTreeMap<String, String>,
) -> Result<Descriptor, StoreError> {
    findings.sort_by(|a, b| {
        (b.severity, a.kind, &a.canonical_id, &a.subject, &a.id).cmp(&(
            a.severity,
            b.kind,
            &b.canonical_id,
            &b.subject,
            &b.id,
        ))
    });
    let document = store.put_json(media_type::FINDINGS, &findings).await?;
    let mut manifest = Manifest::artefact(media_type::FINDINGS, vec![document.clone()]);
    manifest.subject = Some(Descriptor {
        annotations: BTreeMap::new(),
        artifact_type: None,
        ..revision.clone()
    });
    manifest.annotations = work;
    manifest
        .annotations
        .insert(annotation::ATTACHMENT_LEVEL.to_owned(), level.to_string());
    let attached = store.attach(&manifest).await?;
    store
        .tag(&RefName::findings(&revision.digest), &attached)
        .await?;
    Ok(document)
}
