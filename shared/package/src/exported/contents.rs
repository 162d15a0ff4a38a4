//! The file of an exported package: its entries, each hashed, and every byte between them.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};

use quench_content::MANIFEST_LIMIT;
use quench_content::artefact::Index;
use quench_model::{Descriptor, Digest, Hasher};

use crate::export::LAYOUT_MARKER;
use crate::tar_form::{self, BLOCK, END};

/// Where a blob lies in the file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// An export whose every blob has been hashed.
pub(super) struct Contents<R> {
    pub(super) reader: R,
    pub(super) blobs: BTreeMap<Digest, Place>,
    pub(super) index: Index,
}

impl<R: Read + Seek> Contents<R> {
    /// Reads a file through, comparing each byte that is not content with the form of exports.
    pub(super) fn read(mut reader: R) -> Result<Self, String> {
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

    pub(super) fn document<T: serde::de::DeserializeOwned>(
        &mut self,
        descriptor: &Descriptor,
    ) -> Result<T, String> {
        let bytes = self.bytes_of(&descriptor.digest, MANIFEST_LIMIT)?;
        serde_json::from_slice(&bytes).map_err(|e| format!("{}: {e}", descriptor.digest))
    }

    pub(super) fn bytes_of(&mut self, digest: &Digest, limit: u64) -> Result<Vec<u8>, String> {
        match self.blobs.get(digest).copied() {
            Some(place) => self.bytes(digest, place, limit),
            None => Err(format!("{digest} is missing")),
        }
    }

    pub(super) fn bytes(
        &mut self,
        digest: &Digest,
        place: Place,
        limit: u64,
    ) -> Result<Vec<u8>, String> {
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
