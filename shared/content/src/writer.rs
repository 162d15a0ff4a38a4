//! Writing bytes whose digest is not known yet.

use std::io::{self, Write};

use quench_model::{Descriptor, Digest, Hasher};
use tempfile::NamedTempFile;

/// Takes bytes, hashes them on the way to a staging file, and becomes a blob on commit. Dropped without a
/// commit it leaves nothing behind.
pub struct BlobWriter {
    file: NamedTempFile,
    hasher: Hasher,
    written: u64,
}

impl BlobWriter {
    pub(crate) fn new(file: NamedTempFile) -> Self {
        Self {
            file,
            hasher: Hasher::new(),
            written: 0,
        }
    }

    /// A writer that goes on after bytes that are in the file already.
    pub(crate) fn resumed(file: NamedTempFile, hasher: Hasher, written: u64) -> Self {
        Self {
            file,
            hasher,
            written,
        }
    }

    /// Number of bytes written so far.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Digest of the bytes written so far.
    pub fn digest(&self) -> Digest {
        self.hasher.clone().finish()
    }

    pub(crate) fn into_parts(self, media_type: &str) -> (NamedTempFile, Descriptor) {
        let descriptor = Descriptor {
            media_type: media_type.to_owned(),
            digest: self.hasher.finish(),
            size: self.written,
            artifact_type: None,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
        };
        (self.file, descriptor)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
