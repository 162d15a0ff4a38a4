//! Everything that belongs to a package in a store: what an export holds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quench_content::artefact::Index;
use quench_content::{COSIGN_SUFFIXES, RefName, Store};
use quench_model::{Descriptor, Digest, annotation, media_type};

use crate::closure::closure;
use crate::signing::is_signed;
use crate::{Package, PackageError};

/// Everything that belongs to a package.
#[derive(Debug, Clone)]
pub(crate) struct Holdings {
    /// What `index.json` of an export lists: the revision, the referrers of each manifest, each revision's current
    /// findings, and the tags under which cosign finds what came with an image.
    pub named: Vec<Descriptor>,
    /// Every blob by digest, manifests included.
    pub blobs: BTreeMap<Digest, Descriptor>,
    /// Blobs that are made for the export and may not be in the store: indexes of referrers without those that
    /// are of the past.
    pub made: BTreeMap<Digest, Vec<u8>>,
    /// The revision and those it was made from, newest first.
    pub revisions: Vec<Package>,
    /// Everything attached: subject and referrer, subjects in the order in which they can be stored.
    pub attached: Vec<(Digest, Descriptor)>,
    /// Cosign's tags and what they point to.
    pub tags: Vec<(RefName, Descriptor)>,
    /// What a reader needs to see how the rest hangs together: revisions, referrers and their lists.
    pub frame: BTreeSet<Digest>,
}

impl Holdings {
    /// Collects what belongs to a package, without reading any blob that is not a manifest.
    pub(crate) async fn of(store: &Store, package: &Package) -> Result<Self, PackageError> {
        let mut holdings = Self {
            named: vec![reference(
                &package.revision,
                &RefName::package(&package.name),
            )],
            blobs: BTreeMap::new(),
            made: BTreeMap::new(),
            revisions: package.lineage(store).await?,
            attached: Vec::new(),
            tags: Vec::new(),
            frame: BTreeSet::new(),
        };
        let known = known_subjects(store).await?;
        let is_subject = |digest: &Digest| {
            known
                .as_ref()
                .is_none_or(|known| known.contains(RefName::referrers(digest).as_str()))
        };
        let mut asked = BTreeSet::new();
        for revision in holdings.revisions.clone() {
            holdings.frame.insert(revision.revision.digest.clone());
            let mut open = VecDeque::new();
            for part in closure(store, &revision.revision).await? {
                if part.is_manifest() {
                    open.push_back(part.digest.clone());
                }
                holdings.blobs.insert(part.digest.clone(), part);
            }
            // What is attached may have something attached itself: a signature over an SBOM.
            while let Some(subject) = open.pop_front() {
                if is_subject(&subject) && asked.insert(subject.clone()) {
                    open.extend(holdings.attachments_of(store, &subject).await?);
                }
            }
            let findings = RefName::findings(&revision.revision.digest);
            if let Some(current) = store.resolve(&findings).await? {
                holdings.add(store, &current).await?;
                holdings.named.push(reference(&current, &findings));
            }
        }
        holdings.named.sort_by(|a, b| {
            a.annotation(annotation::REF_NAME)
                .cmp(&b.annotation(annotation::REF_NAME))
        });
        Ok(holdings)
    }

    /// Adds what is attached to a manifest; gives the manifests of that.
    async fn attachments_of(
        &mut self,
        store: &Store,
        subject: &Digest,
    ) -> Result<Vec<Digest>, PackageError> {
        let mut found = Vec::new();
        let mut referrers = store.referrers(subject, None).await?;
        // Findings of past epochs stay in the store; they would make the export depend on its history.
        let findings = media_type::FINDINGS;
        if referrers
            .iter()
            .any(|r| r.artifact_type.as_deref() == Some(findings))
        {
            let current = store.resolve(&RefName::findings(subject)).await?;
            referrers.retain(|referrer| {
                referrer.artifact_type.as_deref() != Some(findings)
                    || current
                        .as_ref()
                        .is_some_and(|c| c.digest == referrer.digest)
            });
        }
        for referrer in &referrers {
            found.push(referrer.digest.clone());
            self.add(store, referrer).await?;
            self.frame.insert(referrer.digest.clone());
            if is_signed(referrer) {
                // Whoever has the file must be able to see who signed it.
                let layers = store.manifest(referrer).await?.layers;
                self.frame
                    .extend(layers.into_iter().map(|layer| layer.digest));
            }
            self.attached.push((subject.clone(), referrer.clone()));
        }
        for suffix in COSIGN_SUFFIXES {
            let Ok(name) = format!("{}.{suffix}", RefName::referrers(subject)).parse() else {
                continue;
            };
            if let Some(tagged) = store.resolve(&name).await? {
                found.push(tagged.digest.clone());
                self.add(store, &tagged).await?;
                self.frame.insert(tagged.digest.clone());
                self.named.push(reference(&untyped(&tagged), &name));
                self.tags.push((name, tagged));
            }
        }
        if !referrers.is_empty() {
            let bytes =
                serde_json::to_vec(&Index::of(referrers)).map_err(|e| PackageError::Malformed {
                    digest: subject.clone(),
                    reason: format!("its referrers cannot be listed: {e}"),
                })?;
            let list = Descriptor::of(media_type::INDEX, &bytes);
            self.frame.insert(list.digest.clone());
            self.named
                .push(reference(&list, &RefName::referrers(subject)));
            self.make(list, bytes);
        }
        Ok(found)
    }

    async fn add(&mut self, store: &Store, root: &Descriptor) -> Result<(), PackageError> {
        for descriptor in closure(store, root).await? {
            self.blobs.insert(descriptor.digest.clone(), descriptor);
        }
        Ok(())
    }

    /// Adds a blob that is made for the export.
    pub(crate) fn make(&mut self, descriptor: Descriptor, bytes: Vec<u8>) {
        self.made.insert(descriptor.digest.clone(), bytes);
        self.blobs.insert(descriptor.digest.clone(), descriptor);
    }
}

/// Names of all manifests that something is attached to, so that a registry is not asked about every manifest of every
/// image. A folder is: looking for a file costs less than a list of all.
async fn known_subjects(store: &Store) -> Result<Option<BTreeSet<String>>, PackageError> {
    if let Store::Directory(_) = store {
        return Ok(None);
    }
    let names = store.names("sha256-").await?;
    let subjects = names
        .iter()
        .filter_map(|name| name.as_str().get(..MANIFEST_NAME));
    Ok(Some(subjects.map(str::to_owned).collect()))
}

/// Length of `sha256-<hex>`.
const MANIFEST_NAME: usize = 7 + 64;

/// A descriptor as `index.json` has it for a foreign manifest: stores differ in whether they remember its type.
pub(crate) fn untyped(descriptor: &Descriptor) -> Descriptor {
    Descriptor {
        artifact_type: None,
        ..descriptor.clone()
    }
}

/// An entry of `index.json`: only what names the content, so that equal content gives equal bytes.
pub(crate) fn reference(descriptor: &Descriptor, name: &RefName) -> Descriptor {
    Descriptor {
        annotations: BTreeMap::from([(annotation::REF_NAME.to_owned(), name.to_string())]),
        platform: None,
        ..descriptor.clone()
    }
}
