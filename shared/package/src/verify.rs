//! Whether a package is whole and unchanged.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use quench_content::artefact::{Index, Manifest};
use quench_content::{MANIFEST_LIMIT, RefName, Store, StoreError};
use quench_model::{Descriptor, Digest, Hasher, annotation, media_type};

use crate::closure::named_in;
use crate::export::LAYOUT_MARKER;
use crate::holdings::Holdings;
use crate::tar_form::{self, BLOCK, END};
use crate::{Package, PackageError};

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The revision the package stands at.
    pub revision: Descriptor,
    /// Number of revisions, this one included.
    pub revisions: usize,
    /// Number of images of the newest revision.
    pub images: usize,
    /// Number of attachments over all revisions.
    pub attachments: usize,
    /// Number of blobs, manifests included.
    pub blobs: usize,
    /// Bytes of all blobs.
    pub bytes: u64,
}

/// Why a package is not whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Something is missing, changed, doubled or does not belong.
    #[error("{package}: {reason}")]
    Broken {
        /// The file or revision.
        package: String,
        /// What is wrong, naming entry or digest.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl From<StoreError> for VerifyError {
    fn from(error: StoreError) -> Self {
        Self::Package(PackageError::Store(error))
    }
}

/// Verifies an exported package: every blob is what its name says, everything listed is there, nothing
/// else is, and every byte between is what it must be.
///
/// # Errors
/// Names the first thing that is wrong.
pub fn verify_file(path: &Path) -> Result<Verified, VerifyError> {
    Exported::open(path).map(|exported| exported.verified)
}

/// An exported package that was found whole.
pub(crate) struct Exported {
    /// What was verified.
    pub(crate) verified: Verified,
    /// What `index.json` names.
    pub(crate) named: Vec<Descriptor>,
    /// The revision and those it was made from, newest first.
    pub(crate) lineage: Vec<Descriptor>,
    /// Everything reached from them, with the byte at which its content begins.
    pub(crate) blobs: BTreeMap<Digest, (Descriptor, u64)>,
}

impl Exported {
    /// Verifies a file and tells what is in it.
    pub(crate) fn open(path: &Path) -> Result<Self, VerifyError> {
        open(path)
    }
}

fn open(path: &Path) -> Result<Exported, VerifyError> {
    let broken = |reason: String| VerifyError::Broken {
        package: path.display().to_string(),
        reason,
    };
    let file = File::open(path).map_err(|e| broken(format!("cannot be read: {e}")))?;
    let mut contents = Contents::read(BufReader::with_capacity(1 << 18, file)).map_err(broken)?;
    contents.verify().map_err(broken)
}

/// Verifies a package in a store: every blob of every revision of its lineage, and of what is attached.
///
/// # Errors
/// Names the first thing that is wrong.
pub async fn verify_package(store: &Store, package: &Package) -> Result<Verified, VerifyError> {
    let holdings = Holdings::of(store, package).await?;
    let mut bytes = 0;
    for (digest, descriptor) in &holdings.blobs {
        if !holdings.made.contains_key(digest) {
            store
                .verify(descriptor)
                .await
                .map_err(|error| VerifyError::Broken {
                    package: format!("package {}", package.name),
                    reason: error.to_string(),
                })?;
        }
        bytes += descriptor.size;
    }
    Ok(Verified {
        revision: package.revision.clone(),
        revisions: holdings.revisions,
        images: package.images.len(),
        attachments: holdings.attachments,
        blobs: holdings.blobs.len(),
        bytes,
    })
}

/// Where a blob lies in the file.
#[derive(Debug, Clone, Copy)]
struct Place {
    offset: u64,
    size: u64,
}

/// An export whose every blob has been hashed.
struct Contents<R> {
    reader: R,
    blobs: BTreeMap<Digest, Place>,
    index: Index,
}

impl<R: Read + Seek> Contents<R> {
    /// Reads a file through, comparing each byte that is not content with the form of exports.
    fn read(mut reader: R) -> Result<Self, String> {
        let mut blobs = BTreeMap::new();
        let mut documents: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut last_name = String::new();
        let mut offset = 0;
        while let Some((name, size)) = read_header(&mut reader, offset)? {
            offset += BLOCK;
            if name <= last_name {
                return Err(format!("entry {name} is doubled or not in its place"));
            }
            match name.strip_prefix("blobs/sha256/") {
                Some(hex) => {
                    let digest: Digest = format!("sha256:{hex}")
                        .parse()
                        .map_err(|_| format!("entry {name} is not named by a digest"))?;
                    let actual = hash(&mut reader, size, &name)?;
                    if actual != digest {
                        return Err(format!("entry {name} was changed: it hashes to {actual}"));
                    }
                    blobs.insert(digest, Place { offset, size });
                }
                None if name == "index.json" || name == "oci-layout" => {
                    if size > MANIFEST_LIMIT {
                        return Err(format!("entry {name} is too large ({size} bytes)"));
                    }
                    documents.insert(name.clone(), content(&mut reader, size, &name)?);
                }
                None => return Err(format!("entry {name} does not belong into a package")),
            }
            let padding = tar_form::padding(size);
            if content(&mut reader, padding, &name)?
                .iter()
                .any(|b| *b != 0)
            {
                return Err(format!("the bytes after entry {name} were changed"));
            }
            offset += size + padding;
            last_name = name;
        }
        if documents.get("oci-layout").map(Vec::as_slice) != Some(LAYOUT_MARKER) {
            return Err("entry oci-layout is missing or was changed".to_owned());
        }
        let index = documents
            .get("index.json")
            .ok_or("entry index.json is missing")?;
        let parsed: Index =
            serde_json::from_slice(index).map_err(|e| format!("entry index.json: {e}"))?;
        // One form only: what parses to the same but is written otherwise was not written by an export.
        if serde_json::to_vec(&parsed).ok().as_ref() != Some(index) {
            return Err("entry index.json is not written as an export writes it".to_owned());
        }
        Ok(Self {
            reader,
            blobs,
            index: parsed,
        })
    }

    /// Follows everything from the index: all of it must be there, and all that is there must be reached.
    fn verify(&mut self) -> Result<Exported, String> {
        let mut reached = BTreeMap::new();
        let named = self.index.manifests.clone();
        for descriptor in &named {
            self.follow(descriptor, &mut reached)?;
        }
        let revision = named
            .iter()
            .find(|d| d.artifact_type.as_deref() == Some(media_type::PACKAGE))
            .ok_or("index.json names no package revision")?;
        let lineage = self.lineage(revision)?;
        for descriptor in &lineage {
            self.follow(descriptor, &mut reached)?;
        }
        if let Some(stray) = self
            .blobs
            .keys()
            .find(|digest| !reached.contains_key(*digest))
        {
            return Err(format!("{stray} does not belong to the package"));
        }
        let images = self
            .document::<Index>(revision)?
            .manifests
            .iter()
            .filter(|d| d.annotation(annotation::ROLE) == Some("image"))
            .count();
        let attachments = self.check_names(&named, &lineage)?;
        let mut revision = revision.clone();
        revision.annotations.clear();
        let verified = Verified {
            revision,
            revisions: lineage.len(),
            images,
            attachments,
            blobs: self.blobs.len(),
            bytes: self.blobs.values().map(|place| place.size).sum(),
        };
        Ok(Exported {
            verified,
            named,
            lineage,
            blobs: reached,
        })
    }

    /// The revision and those it was made from.
    fn lineage(&mut self, revision: &Descriptor) -> Result<Vec<Descriptor>, String> {
        let mut lineage = vec![Descriptor {
            annotations: BTreeMap::new(),
            ..revision.clone()
        }];
        loop {
            let Some(last) = lineage.last().cloned() else {
                return Ok(lineage);
            };
            let index: Index = self.document(&last)?;
            let Some(previous) = index.annotations.get(annotation::PREVIOUS) else {
                return Ok(lineage);
            };
            let digest: Digest = previous
                .parse()
                .map_err(|e| format!("revision {}: {e}", last.digest))?;
            let place = self
                .blobs
                .get(&digest)
                .ok_or_else(|| format!("revision {digest} is missing"))?;
            if lineage.len() >= 16 {
                return Err("the chain of revisions does not end".to_owned());
            }
            lineage.push(Descriptor {
                digest,
                size: place.size,
                ..last
            });
        }
    }

    fn follow(
        &mut self,
        root: &Descriptor,
        reached: &mut BTreeMap<Digest, (Descriptor, u64)>,
    ) -> Result<(), String> {
        let mut open = vec![root.clone()];
        while let Some(descriptor) = open.pop() {
            let place = self.blobs.get(&descriptor.digest).copied().ok_or_else(|| {
                format!(
                    "{} ({}) is missing",
                    descriptor.digest, descriptor.media_type
                )
            })?;
            if place.size != descriptor.size {
                return Err(format!(
                    "{} has {} bytes, but {} are listed",
                    descriptor.digest, place.size, descriptor.size
                ));
            }
            let digest = descriptor.digest.clone();
            if reached.contains_key(&digest) {
                continue;
            }
            reached.insert(digest, (descriptor.clone(), place.offset));
            if descriptor.is_manifest() || descriptor.media_type == media_type::IMAGE_TABLE {
                let bytes = self.bytes(&descriptor.digest, place)?;
                let named = named_in(&descriptor, &bytes).map_err(|e| e.to_string())?;
                open.extend(named);
            }
        }
        Ok(())
    }

    /// `index.json` has no digest of its own, so each of its entries must be what the revisions make it:
    /// the package's name, each revision's referrers, each revision's findings. Gives the number of attachments.
    fn check_names(
        &mut self,
        named: &[Descriptor],
        lineage: &[Descriptor],
    ) -> Result<usize, String> {
        if self.index != Index::of(named.to_vec()) {
            return Err("entry index.json holds more than an export writes".to_owned());
        }
        let newest: Index = match lineage.first() {
            Some(newest) => self.document(newest)?,
            None => return Err("index.json names no package revision".to_owned()),
        };
        let package = newest
            .annotations
            .get(annotation::PACKAGE)
            .and_then(|name| name.parse().ok())
            .map(|name| RefName::package(&name));
        if !named.is_sorted_by(|a, b| {
            a.annotation(annotation::REF_NAME) < b.annotation(annotation::REF_NAME)
        }) {
            return Err("entry index.json names something twice or out of order".to_owned());
        }
        let mut attachments = 0;
        for entry in named {
            let name = entry.annotation(annotation::REF_NAME).unwrap_or_default();
            let plain = |media_type: &str, artifact_type: Option<&str>| Descriptor {
                media_type: media_type.to_owned(),
                artifact_type: artifact_type.map(str::to_owned),
                platform: None,
                annotations: BTreeMap::from([(annotation::REF_NAME.to_owned(), name.to_owned())]),
                ..entry.clone()
            };
            let of_revision = |wanted: fn(&Digest) -> RefName| {
                lineage.iter().find(|d| wanted(&d.digest).as_str() == name)
            };
            let expected = if package.as_ref().is_some_and(|p| p.as_str() == name) {
                plain(media_type::INDEX, Some(media_type::PACKAGE))
            } else if let Some(revision) = of_revision(RefName::referrers) {
                attachments += self.check_referrers(entry, revision)?;
                plain(media_type::INDEX, None)
            } else if of_revision(RefName::findings).is_some() {
                plain(media_type::MANIFEST, Some(media_type::FINDINGS))
            } else {
                return Err(format!(
                    "index.json names {name:?}, which is not of this package"
                ));
            };
            if *entry != expected {
                return Err(format!("the entry {name:?} of index.json was changed"));
            }
        }
        Ok(attachments)
    }

    /// Each referrer of a revision must say itself that it is attached to it.
    fn check_referrers(
        &mut self,
        list: &Descriptor,
        revision: &Descriptor,
    ) -> Result<usize, String> {
        let list: Index = self.document(list)?;
        for referrer in &list.manifests {
            let manifest: Manifest = self.document(referrer)?;
            if manifest.subject.map(|s| s.digest).as_ref() != Some(&revision.digest) {
                return Err(format!(
                    "{} is listed with revision {}, but is not attached to it",
                    referrer.digest, revision.digest
                ));
            }
        }
        Ok(list.manifests.len())
    }

    fn document<T: serde::de::DeserializeOwned>(
        &mut self,
        descriptor: &Descriptor,
    ) -> Result<T, String> {
        let place = self
            .blobs
            .get(&descriptor.digest)
            .copied()
            .ok_or_else(|| format!("{} is missing", descriptor.digest))?;
        let bytes = self.bytes(&descriptor.digest, place)?;
        serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", descriptor.digest))
    }

    fn bytes(&mut self, digest: &Digest, place: Place) -> Result<Vec<u8>, String> {
        if place.size > MANIFEST_LIMIT {
            return Err(format!(
                "{digest} is too large for a manifest ({} bytes)",
                place.size
            ));
        }
        self.reader
            .seek(SeekFrom::Start(place.offset))
            .map_err(|e| format!("cannot be read: {e}"))?;
        content(&mut self.reader, place.size, &digest.to_string())
    }
}

/// Reads the next header: name and size, or `None` at the end. It must be, to the byte, what an export writes.
fn read_header(reader: &mut impl Read, offset: u64) -> Result<Option<(String, u64)>, String> {
    let mut block = [0; 512];
    reader
        .read_exact(&mut block)
        .map_err(|_| format!("ends too early, at byte {offset}"))?;
    if block.iter().all(|b| *b == 0) {
        let mut rest = Vec::new();
        reader
            .take(END)
            .read_to_end(&mut rest)
            .map_err(|e| format!("cannot be read: {e}"))?;
        if rest.len() as u64 != END - BLOCK || rest.iter().any(|b| *b != 0) {
            return Err(format!("does not end as a package does, at byte {offset}"));
        }
        return Ok(None);
    }
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&block);
    let name = String::from_utf8(header.path_bytes().into_owned())
        .map_err(|_| format!("the header at byte {offset} was changed: its name is no text"))?;
    let size = header
        .entry_size()
        .map_err(|_| format!("the header at byte {offset} was changed: its size is no number"))?;
    let expected = tar_form::header(&name, size);
    if expected.is_none_or(|expected| expected.as_bytes() != &block) {
        return Err(format!(
            "the header of entry {name:?} at byte {offset} was changed"
        ));
    }
    Ok(Some((name, size)))
}

fn hash(reader: &mut impl Read, size: u64, name: &str) -> Result<Digest, String> {
    let mut hasher = Hasher::new();
    let mut left = size;
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        let wanted = usize::try_from(left.min(1 << 16)).unwrap_or(1 << 16);
        let part = buffer.get_mut(..wanted).unwrap_or_default();
        reader
            .read_exact(part)
            .map_err(|_| format!("ends too early, within entry {name}"))?;
        hasher.update(part);
        left -= wanted as u64;
    }
    Ok(hasher.finish())
}

fn content(reader: &mut impl Read, size: u64, name: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader
        .take(size)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("cannot be read: {e}"))?;
    if bytes.len() as u64 == size {
        Ok(bytes)
    } else {
        Err(format!("ends too early, within entry {name}"))
    }
}
