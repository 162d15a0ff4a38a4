//! Everything a manifest names.

use std::collections::BTreeSet;

use quench_content::artefact::{Index, Manifest};
use quench_content::{MANIFEST_LIMIT, Store, StoreError};
use quench_model::{Descriptor, media_type};
use serde::de::DeserializeOwned;

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
    let limit = match descriptor.media_type.as_str() {
        media_type::IMAGE_TABLE => Request::DOCUMENT_LIMIT,
        _ => MANIFEST_LIMIT,
    };
    named_in(descriptor, &store.read(descriptor, limit).await?)
}

/// What a manifest, index or image table names, given its bytes.
pub(crate) fn named_in(
    descriptor: &Descriptor,
    bytes: &[u8],
) -> Result<Vec<Descriptor>, PackageError> {
    fn parse<T: DeserializeOwned>(
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<T, PackageError> {
        serde_json::from_slice(bytes).map_err(|e| {
            PackageError::Store(StoreError::Malformed {
                what: format!("{} ({})", descriptor.digest, descriptor.media_type),
                reason: e.to_string(),
            })
        })
    }
    if descriptor.media_type == media_type::IMAGE_TABLE {
        let table: ImageTable = parse(descriptor, bytes)?;
        return Ok(table.descriptors().cloned().collect());
    }
    if descriptor.is_index() {
        return Ok(parse::<Index>(descriptor, bytes)?.manifests);
    }
    let manifest: Manifest = parse(descriptor, bytes)?;
    let mut named = vec![manifest.config];
    named.extend(manifest.layers);
    Ok(named)
}
