//! Everything a manifest names.

use std::collections::BTreeSet;

use quench_content::artefact::{Index, Manifest};
use quench_content::{MANIFEST_LIMIT, Store};
use quench_model::{Descriptor, media_type};

use crate::submission::ImageTable;
use crate::{PackageError, Request};

/// Indexes within indexes deeper than this are refused: nothing real nests more than twice.
const DEPTH_LIMIT: usize = 8;

/// Everything a manifest or index names, itself included, each once, what is named before what names it: the
/// order in which a registry accepts it. A submission's image table counts as naming its images.
///
/// # Errors
/// When a manifest is missing, does not parse, or indexes nest too deeply. Blobs are not looked at.
pub async fn closure(store: &Store, root: &Descriptor) -> Result<Vec<Descriptor>, PackageError> {
    let mut found = Vec::new();
    let mut seen = BTreeSet::new();
    // A manifest is visited twice: first to put what it names on the stack above it, then to be listed.
    let mut stack = vec![(root.clone(), 0_usize, false)];
    while let Some((descriptor, depth, named_done)) = stack.pop() {
        if named_done || !opens(&descriptor) {
            if named_done || seen.insert(descriptor.digest.clone()) {
                found.push(descriptor);
            }
            continue;
        }
        if !seen.insert(descriptor.digest.clone()) {
            continue;
        }
        if depth >= DEPTH_LIMIT {
            return Err(PackageError::Malformed {
                digest: root.digest.clone(),
                reason: format!("it nests more than {DEPTH_LIMIT} indexes"),
            });
        }
        let named = named_by(store, &descriptor).await?;
        stack.push((descriptor, depth, true));
        stack.extend(named.into_iter().rev().map(|d| (d, depth + 1, false)));
    }
    Ok(found)
}

fn opens(descriptor: &Descriptor) -> bool {
    descriptor.is_manifest() || descriptor.media_type == media_type::IMAGE_TABLE
}

async fn named_by(store: &Store, descriptor: &Descriptor) -> Result<Vec<Descriptor>, PackageError> {
    if descriptor.media_type == media_type::IMAGE_TABLE {
        let table: ImageTable = store.read_json(descriptor, Request::DOCUMENT_LIMIT).await?;
        let unnamed = table.unnamed.into_iter().map(|image| image.descriptor);
        return Ok(table.images.into_values().chain(unnamed).collect());
    }
    if descriptor.is_index() {
        let index: Index = store.read_json(descriptor, MANIFEST_LIMIT).await?;
        return Ok(index.manifests);
    }
    let manifest: Manifest = store.read_json(descriptor, MANIFEST_LIMIT).await?;
    let mut named = vec![manifest.config];
    named.extend(manifest.layers);
    Ok(named)
}
