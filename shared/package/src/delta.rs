//! What an export leaves out because the other side has it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use quench_content::{RefName, Store};
use quench_model::{Descriptor, Digest, PackageName, annotation, media_type};
use serde::{Deserialize, Serialize};

use crate::closure::closure;
use crate::exported::Exported;
use crate::holdings::{Holdings, reference};
use crate::{Package, PackageError, VerifyError};

/// Name of the document in `index.json`.
pub(crate) const NAME: &str = "delta";

/// Says since what a delta is, and what it takes for granted. It lies in the delta, so an import can tell what is
/// missing before it writes anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Delta {
    /// The revision that the other side has.
    pub base: Digest,
    /// Package of that revision.
    pub package: PackageName,
    /// Its chart's version.
    pub version: String,
    /// Blobs that the package holds and the delta does not, by digest, with their sizes.
    pub presumed: BTreeMap<Digest, u64>,
}

/// What the other side of a delta has.
#[derive(Debug, Clone)]
pub struct Base {
    revision: Digest,
    package: PackageName,
    version: String,
    blobs: BTreeSet<Digest>,
}

impl Base {
    /// What everybody has who has a revision: what it and the revisions before it list, and the documents that their
    /// levels attached. Findings and signatures may have come later, so they are taken for granted nowhere.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn of_revision(store: &Store, package: &Package) -> Result<Self, PackageError> {
        let mut blobs = BTreeSet::new();
        for revision in package.lineage(store).await? {
            let digest = &revision.revision.digest;
            for part in closure(store, &revision.revision).await? {
                blobs.insert(part.digest);
            }
            for referrer in store.referrers(digest, None).await? {
                let by_level = referrer.annotation(annotation::ATTACHMENT_LEVEL).is_some();
                if by_level && referrer.artifact_type.as_deref() != Some(media_type::FINDINGS) {
                    blobs.extend(
                        closure(store, &referrer)
                            .await?
                            .into_iter()
                            .map(|d| d.digest),
                    );
                }
            }
        }
        Ok(Self {
            revision: package.revision.digest.clone(),
            package: package.name.clone(),
            version: package.version.clone(),
            blobs,
        })
    }

    /// What everybody has who imported a file, be it a delta too. The file is verified first.
    ///
    /// # Errors
    /// What is wrong with the file.
    pub fn of_file(path: &Path) -> Result<Self, VerifyError> {
        let exported = Exported::open(path)?;
        let mut blobs: BTreeSet<Digest> = exported.blobs.into_keys().collect();
        if let Some(delta) = exported.verified.delta {
            blobs.extend(delta.presumed.into_keys());
        }
        Ok(Self {
            revision: exported.verified.revision.digest,
            package: exported.verified.package,
            version: exported.verified.version,
            blobs,
        })
    }

    /// The revision.
    pub fn revision(&self) -> &Digest {
        &self.revision
    }
}

/// Takes out of a package's holdings what a base has, and puts in the document that says so.
pub(crate) fn reduce(holdings: &mut Holdings, base: &Base) -> Result<Delta, PackageError> {
    let mut presumed = BTreeMap::new();
    holdings.blobs.retain(|digest, descriptor| {
        let left_out = base.blobs.contains(digest) && !holdings.frame.contains(digest);
        if left_out {
            presumed.insert(digest.clone(), descriptor.size);
        }
        !left_out
    });
    let delta = Delta {
        base: base.revision.clone(),
        package: base.package.clone(),
        version: base.version.clone(),
        presumed,
    };
    let malformed = |reason: String| PackageError::Malformed {
        digest: base.revision.clone(),
        reason,
    };
    let bytes = serde_json::to_vec(&delta).map_err(|e| malformed(e.to_string()))?;
    let name: RefName = NAME.parse().map_err(|e| malformed(format!("{e}")))?;
    let document = Descriptor::of(media_type::DELTA, &bytes);
    holdings.named.insert(0, reference(&document, &name));
    holdings.named.sort_by(|a, b| {
        a.annotation(annotation::REF_NAME)
            .cmp(&b.annotation(annotation::REF_NAME))
    });
    holdings.make(document, bytes);
    Ok(delta)
}
