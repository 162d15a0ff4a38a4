//! Everything a manifest names.

use std::collections::BTreeSet;

use quench_content::artefact::{Index, Manifest};
use quench_content::{MANIFEST_LIMIT, Store, StoreError};
use quench_model::{Descriptor, Digest, media_type};
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
    let mut walk = Walk::new(root.clone());
    while let Some(descriptor) = walk.next() {
        let limit = match descriptor.media_type.as_str() {
            media_type::IMAGE_TABLE => Request::DOCUMENT_LIMIT,
            _ => MANIFEST_LIMIT,
        };
        let bytes = store.read(&descriptor, limit).await?;
        walk.open(&descriptor, &bytes)?;
    }
    Ok(walk.found)
}

/// The way through everything a manifest names, wherever its bytes come from: [`Walk::next`] tells what has to be
/// read, [`Walk::open`] takes what was read.
pub(crate) struct Walk {
    root: Digest,
    seen: BTreeSet<Digest>,
    // A manifest is visited twice: first to put what it names on the stack above it, then to be listed.
    stack: Vec<(Descriptor, usize, bool)>,
    depth: usize,
    /// What was found so far, what is named before what names it.
    pub(crate) found: Vec<Descriptor>,
}

impl Walk {
    pub(crate) fn new(root: Descriptor) -> Self {
        Self {
            root: root.digest.clone(),
            seen: BTreeSet::new(),
            stack: vec![(root, 0, false)],
            depth: 0,
            found: Vec::new(),
        }
    }

    /// The next manifest, index or table whose bytes are needed. One that is not opened then counts as found, and
    /// what it names as out of the way.
    pub(crate) fn next(&mut self) -> Option<Descriptor> {
        while let Some((descriptor, depth, opened)) = self.stack.pop() {
            if opened {
                self.found.push(descriptor);
            } else if self.seen.insert(descriptor.digest.clone()) {
                if opens(&descriptor) {
                    self.stack.push((descriptor.clone(), depth, true));
                    self.depth = depth;
                    return Some(descriptor);
                }
                self.found.push(descriptor);
            }
        }
        None
    }

    /// Goes on into what [`Walk::next`] gave last. Gives what it names.
    pub(crate) fn open(
        &mut self,
        descriptor: &Descriptor,
        bytes: &[u8],
    ) -> Result<Vec<Descriptor>, PackageError> {
        if self.depth >= DEPTH_LIMIT {
            return Err(PackageError::Malformed {
                digest: self.root.clone(),
                reason: format!("it nests more than {DEPTH_LIMIT} indexes"),
            });
        }
        let depth = self.depth + 1;
        let named = named_in(descriptor, bytes)?;
        let stacked = named.iter().rev().map(|d| (d.clone(), depth, false));
        self.stack.extend(stacked);
        Ok(named)
    }
}

fn opens(descriptor: &Descriptor) -> bool {
    descriptor.is_manifest() || descriptor.media_type == media_type::IMAGE_TABLE
}

/// What a manifest, index or image table names, given its bytes.
fn named_in(descriptor: &Descriptor, bytes: &[u8]) -> Result<Vec<Descriptor>, PackageError> {
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
        return Ok(table.named().cloned().collect());
    }
    if descriptor.is_index() {
        return Ok(parse::<Index>(descriptor, bytes)?.manifests);
    }
    let manifest: Manifest = parse(descriptor, bytes)?;
    let mut named = vec![manifest.config];
    named.extend(manifest.layers);
    Ok(named)
}
