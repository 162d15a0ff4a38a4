//! An exported package as it is read back.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use quench_content::artefact::{Index, Manifest};
use quench_content::{COSIGN_SUFFIXES, MANIFEST_LIMIT, RefName};
use quench_model::{Descriptor, Digest, Hasher, PackageName, annotation, media_type};

use crate::closure::Walk;
use crate::delta::{self, Delta};
use crate::export::LAYOUT_MARKER;
use crate::signing::{SIGNED_LIMIT, SignedDocument, is_signed};
use crate::tar_form::{self, BLOCK, END};
use crate::verify::{Verified, VerifyError, check_count, check_lock, sort_referrers};
use crate::{Package, Request};

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
    /// Everything attached: subject and referrer.
    pub(crate) attached: Vec<(Digest, Descriptor)>,
    /// What is reached, but taken for granted.
    pub(crate) presumed: Vec<Descriptor>,
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
        let named = self.index.manifests.clone();
        let delta = self.delta(&named)?;
        let mut reached = Reached {
            granted: delta
                .as_ref()
                .map(|d| d.presumed.clone())
                .unwrap_or_default(),
            ..Reached::default()
        };
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
            .find(|digest| !reached.blobs.contains_key(*digest))
        {
            return Err(format!("{stray} does not belong to the package"));
        }
        // What an image that is left out lists is left out with it, and cannot be followed here.
        if let Some(digest) = reached
            .granted
            .keys()
            .find(|digest| self.blobs.contains_key(*digest))
        {
            return Err(format!(
                "{digest} is taken for granted, but not left out of the package"
            ));
        }
        let package = self.newest(revision)?;
        let attached = self.check_names(&named, &package.name, &lineage, &reached)?;
        let mut referrers = attached.clone();
        sort_referrers(&mut referrers);
        let mut signed = Vec::new();
        for (subject, referrer) in &referrers {
            self.add_signed(subject, referrer, &mut signed)?;
        }
        let mut revision = revision.clone();
        revision.annotations.clear();
        let verified = Verified {
            package: package.name,
            version: package.version,
            revision,
            revisions: lineage.len(),
            images: package.images.len(),
            attachments: attached.len(),
            blobs: self.blobs.len(),
            bytes: self.blobs.values().map(|place| place.size).sum(),
            lineage: lineage.iter().map(|d| d.digest.clone()).collect(),
            referrers,
            signed,
            delta,
        };
        Ok(Exported {
            verified,
            named,
            lineage,
            blobs: reached.blobs,
            attached,
            presumed: reached.presumed.into_values().collect(),
        })
    }

    /// The newest revision, with every image of its lock. A delta may take the lock for granted.
    fn newest(&mut self, revision: &Descriptor) -> Result<Package, String> {
        let index: Index = self.document(revision)?;
        let package = Package::parse(revision, &index).map_err(|e| e.to_string())?;
        if let Some(lock) = &package.lock
            && self.blobs.contains_key(&lock.digest)
        {
            let manifest: Manifest = self.document(lock)?;
            let layer = manifest
                .layers
                .first()
                .ok_or_else(|| format!("image lock {} lists no document", lock.digest))?;
            if self.blobs.contains_key(&layer.digest) {
                let bytes = self.bytes_of(&layer.digest, Request::DOCUMENT_LIMIT)?;
                let lock = serde_json::from_slice(&bytes)
                    .map_err(|e| format!("image lock {}: {e}", layer.digest))?;
                check_lock(&lock, &package)?;
            }
        }
        Ok(package)
    }

    /// Reads the signatures and statements that a referrer attaches.
    fn add_signed(
        &mut self,
        subject: &Digest,
        referrer: &Descriptor,
        signed: &mut Vec<SignedDocument>,
    ) -> Result<(), String> {
        if !is_signed(referrer) {
            return Ok(());
        }
        let manifest: Manifest = self.document(referrer)?;
        for layer in &manifest.layers {
            if let Some(kind) = SignedDocument::kind(layer) {
                signed.push(SignedDocument {
                    subject: subject.clone(),
                    referrer: referrer.digest.clone(),
                    kind,
                    digest: layer.digest.clone(),
                    bytes: self.bytes_of(&layer.digest, SIGNED_LIMIT)?,
                });
                check_count(signed)?;
            }
        }
        Ok(())
    }

    /// The document that says what is taken for granted, if the file is a delta.
    fn delta(&mut self, named: &[Descriptor]) -> Result<Option<Delta>, String> {
        let Some(entry) = named
            .iter()
            .find(|d| d.annotation(annotation::REF_NAME) == Some(delta::NAME))
        else {
            return Ok(None);
        };
        let delta: Delta = self.document(entry)?;
        // Named by its digest in an index that has none, so there must be one form of it only.
        let canonical = serde_json::to_vec(&delta).unwrap_or_default();
        if Digest::of(canonical) != entry.digest {
            return Err(format!(
                "{} is not written as an export writes it",
                entry.digest
            ));
        }
        Ok(Some(delta))
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

    fn follow(&mut self, root: &Descriptor, reached: &mut Reached) -> Result<(), String> {
        let mut walk = Walk::new(root.clone());
        self.place(root, reached)?;
        while let Some(descriptor) = walk.next() {
            let Some(place) = self.place(&descriptor, reached)? else {
                continue;
            };
            if reached.blobs.contains_key(&descriptor.digest) {
                continue;
            }
            let bytes = self.bytes(&descriptor.digest, place, MANIFEST_LIMIT)?;
            let named = walk.open(&descriptor, &bytes).map_err(|e| e.to_string())?;
            for descriptor in &named {
                self.place(descriptor, reached)?;
            }
        }
        for descriptor in walk.found {
            match self.place(&descriptor, reached)? {
                Some(Place { offset, .. }) => {
                    let digest = descriptor.digest.clone();
                    reached.blobs.entry(digest).or_insert((descriptor, offset));
                }
                None => {
                    reached
                        .presumed
                        .insert(descriptor.digest.clone(), descriptor);
                }
            }
        }
        Ok(())
    }

    /// Where something named lies; none when it is taken for granted. Every mention of it must have its size.
    fn place(&self, descriptor: &Descriptor, reached: &Reached) -> Result<Option<Place>, String> {
        let Descriptor { digest, size, .. } = descriptor;
        let found = self.blobs.get(digest).copied();
        let listed = found
            .map(|place| place.size)
            .or_else(|| reached.granted.get(digest).copied())
            .ok_or_else(|| format!("{digest} ({}) is missing", descriptor.media_type))?;
        if listed == *size {
            Ok(found)
        } else {
            Err(format!(
                "{digest} has {listed} bytes, but {size} are listed"
            ))
        }
    }

    /// `index.json` has no digest of its own, so each of its entries must be what the package makes it: its name,
    /// the referrers of its manifests, its revisions' findings, cosign's tags. Gives what is attached.
    fn check_names(
        &mut self,
        named: &[Descriptor],
        package: &PackageName,
        lineage: &[Descriptor],
        reached: &Reached,
    ) -> Result<Vec<(Digest, Descriptor)>, String> {
        if self.index != Index::of(named.to_vec()) {
            return Err("entry index.json holds more than an export writes".to_owned());
        }
        if !named.is_sorted_by(|a, b| {
            a.annotation(annotation::REF_NAME) < b.annotation(annotation::REF_NAME)
        }) {
            return Err("entry index.json names something twice or out of order".to_owned());
        }
        let revisions: BTreeSet<&Digest> = lineage.iter().map(|d| &d.digest).collect();
        let mut attached = Vec::new();
        for entry in named {
            let name = entry.annotation(annotation::REF_NAME).unwrap_or_default();
            let plain = |media_type: &str, artifact_type: Option<&str>| Descriptor {
                media_type: media_type.to_owned(),
                artifact_type: artifact_type.map(str::to_owned),
                platform: None,
                annotations: BTreeMap::from([(annotation::REF_NAME.to_owned(), name.to_owned())]),
                ..entry.clone()
            };
            let expected = match name_of(name) {
                Some(Named::Delta) => plain(media_type::DELTA, None),
                Some(Named::Findings(digest)) if revisions.contains(&digest) => {
                    plain(media_type::MANIFEST, Some(media_type::FINDINGS))
                }
                Some(Named::Referrers(digest)) if reached.is_manifest(&digest) => {
                    for referrer in self.check_referrers(entry, &digest)? {
                        attached.push((digest.clone(), referrer));
                    }
                    plain(media_type::INDEX, None)
                }
                Some(Named::Cosign(digest)) if reached.is_manifest(&digest) => {
                    let media_type = match entry.media_type.as_str() {
                        known if media_type::is_manifest(known) => known,
                        _ => media_type::MANIFEST,
                    };
                    plain(media_type, None)
                }
                None if name == RefName::package(package).as_str() => {
                    plain(media_type::INDEX, Some(media_type::PACKAGE))
                }
                _ => {
                    return Err(format!(
                        "index.json names {name:?}, which is not of this package"
                    ));
                }
            };
            if *entry != expected {
                return Err(format!("the entry {name:?} of index.json was changed"));
            }
        }
        Ok(attached)
    }

    /// Each referrer of a manifest must say itself that it is attached to it.
    fn check_referrers(
        &mut self,
        list: &Descriptor,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, String> {
        let list: Index = self.document(list)?;
        for referrer in &list.manifests {
            let manifest: Manifest = self.document(referrer)?;
            if manifest.subject.map(|s| s.digest).as_ref() != Some(subject) {
                return Err(format!(
                    "{} is listed with {subject}, but is not attached to it",
                    referrer.digest
                ));
            }
            // What decides what it is taken for is what it says itself.
            let kind = manifest.artifact_type.unwrap_or(manifest.config.media_type);
            let misnamed = referrer.artifact_type.as_deref() != Some(kind.as_str())
                || referrer
                    .annotations
                    .iter()
                    .any(|(key, value)| manifest.annotations.get(key) != Some(value));
            if misnamed {
                return Err(format!(
                    "{} is listed with {subject} as something it is not",
                    referrer.digest
                ));
            }
        }
        Ok(list.manifests)
    }

    fn document<T: serde::de::DeserializeOwned>(
        &mut self,
        descriptor: &Descriptor,
    ) -> Result<T, String> {
        let bytes = self.bytes_of(&descriptor.digest, MANIFEST_LIMIT)?;
        serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", descriptor.digest))
    }

    fn bytes_of(&mut self, digest: &Digest, limit: u64) -> Result<Vec<u8>, String> {
        match self.blobs.get(digest).copied() {
            Some(place) => self.bytes(digest, place, limit),
            None => Err(format!("{digest} is missing")),
        }
    }

    fn bytes(&mut self, digest: &Digest, place: Place, limit: u64) -> Result<Vec<u8>, String> {
        if place.size > limit {
            return Err(format!(
                "{digest} is too large for what it is ({} bytes)",
                place.size
            ));
        }
        self.reader
            .seek(SeekFrom::Start(place.offset))
            .map_err(|e| format!("cannot be read: {e}"))?;
        content(&mut self.reader, place.size, &digest.to_string())
    }
}

/// What was reached on the way through a file.
#[derive(Default)]
struct Reached {
    blobs: BTreeMap<Digest, (Descriptor, u64)>,
    presumed: BTreeMap<Digest, Descriptor>,
    /// What a delta takes for granted, with sizes.
    granted: BTreeMap<Digest, u64>,
}

impl Reached {
    fn is_manifest(&self, digest: &Digest) -> bool {
        self.blobs
            .get(digest)
            .map(|(descriptor, _)| descriptor)
            .or_else(|| self.presumed.get(digest))
            .is_some_and(Descriptor::is_manifest)
    }
}

/// What a name of `index.json` is, by its form; none for a package's.
enum Named {
    Delta,
    Findings(Digest),
    Referrers(Digest),
    Cosign(Digest),
}

fn name_of(name: &str) -> Option<Named> {
    let digest = |hex: &str| format!("sha256:{hex}").parse::<Digest>().ok();
    if name == delta::NAME {
        return Some(Named::Delta);
    }
    if let Some(hex) = name.strip_prefix("findings-") {
        return digest(hex).map(Named::Findings);
    }
    let rest = name.strip_prefix("sha256-")?;
    match rest.split_once('.') {
        None => digest(rest).map(Named::Referrers),
        Some((hex, suffix)) if COSIGN_SUFFIXES.contains(&suffix) => digest(hex).map(Named::Cosign),
        Some(_) => None,
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
