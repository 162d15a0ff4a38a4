//! Everything that belongs to a package in a store: what an export holds.

use std::collections::BTreeMap;

use quench_content::artefact::Index;
use quench_content::{RefName, Store};
use quench_model::{Descriptor, Digest, annotation, media_type};

use crate::closure::closure;
use crate::{Package, PackageError};

/// Everything that belongs to a package.
#[derive(Debug, Clone)]
pub(crate) struct Holdings {
    /// What `index.json` of an export lists: the revision, each revision's referrers, its current findings.
    pub index: Index,
    /// Every blob by digest, manifests included.
    pub blobs: BTreeMap<Digest, Descriptor>,
    /// Blobs that are made for the export and may not be in the store: indexes of referrers without those that
    /// are of the past.
    pub made: BTreeMap<Digest, Vec<u8>>,
    /// Number of revisions.
    pub revisions: usize,
    /// Number of attachments.
    pub attachments: usize,
}

impl Holdings {
    /// Collects what belongs to a package, without reading any blob that is not a manifest.
    pub(crate) async fn of(store: &Store, package: &Package) -> Result<Self, PackageError> {
        let mut named = vec![reference(
            &package.revision,
            &RefName::package(&package.name),
        )];
        let mut blobs = BTreeMap::new();
        let mut made = BTreeMap::new();
        let mut attachments = 0;
        let lineage = package.lineage(store).await?;
        for revision in &lineage {
            add(store, &revision.revision, &mut blobs).await?;
            let digest = &revision.revision.digest;
            let findings = RefName::findings(digest);
            let current = store.resolve(&findings).await?;
            let mut referrers = store.referrers(digest, None).await?;
            // Findings of past epochs stay in the store; they would make the export depend on its history.
            referrers.retain(|referrer| {
                referrer.artifact_type.as_deref() != Some(media_type::FINDINGS)
                    || current
                        .as_ref()
                        .is_some_and(|c| c.digest == referrer.digest)
            });
            for referrer in &referrers {
                add(store, referrer, &mut blobs).await?;
            }
            if let Some(current) = &current {
                add(store, current, &mut blobs).await?;
                named.push(reference(current, &findings));
            }
            attachments += referrers.len();
            if !referrers.is_empty() {
                let bytes = serde_json::to_vec(&Index::of(referrers)).map_err(|e| {
                    PackageError::Malformed {
                        digest: digest.clone(),
                        reason: format!("its referrers cannot be listed: {e}"),
                    }
                })?;
                let list = Descriptor::of(media_type::INDEX, &bytes);
                named.push(reference(&list, &RefName::referrers(digest)));
                blobs.insert(list.digest.clone(), list.clone());
                made.insert(list.digest, bytes);
            }
        }
        named.sort_by(|a, b| {
            a.annotation(annotation::REF_NAME)
                .cmp(&b.annotation(annotation::REF_NAME))
        });
        Ok(Self {
            index: Index::of(named),
            blobs,
            made,
            revisions: lineage.len(),
            attachments,
        })
    }
}

async fn add(
    store: &Store,
    root: &Descriptor,
    blobs: &mut BTreeMap<Digest, Descriptor>,
) -> Result<(), PackageError> {
    for descriptor in closure(store, root).await? {
        blobs.insert(descriptor.digest.clone(), descriptor);
    }
    Ok(())
}

/// An entry of `index.json`: only what names the content, so that equal content gives equal bytes.
fn reference(descriptor: &Descriptor, name: &RefName) -> Descriptor {
    Descriptor {
        annotations: BTreeMap::from([(annotation::REF_NAME.to_owned(), name.to_string())]),
        platform: None,
        ..descriptor.clone()
    }
}
