//! A package as one file.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use quench_content::StoreError;
use quench_content::artefact::Index;
use quench_model::{Descriptor, Digest};

use crate::delta::{self, Base, Delta};
use crate::holdings::Holdings;
use crate::tar_form::{self, blob_name};
use crate::{Context, Package, PackageError};

/// Bytes of the marker file of an OCI image layout.
pub(crate) const LAYOUT_MARKER: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

/// What was exported.
#[derive(Debug, Clone)]
pub struct ExportSummary {
    /// Bytes of the file.
    pub bytes: u64,
    /// Number of blobs in it.
    pub blobs: usize,
    /// Since what it is, if it is a delta, and what it takes for granted.
    pub delta: Option<Delta>,
}

/// Writes a package as one `.quench.tar`: an OCI image layout with the revision, the revisions it was made
/// from, everything they list and everything attached to them; with a base, without what the base has. The same
/// package gives the same bytes on any host.
///
/// # Errors
/// When content is missing from the store or is not what its digest says, or the writer fails.
pub async fn export<W: Write + Send>(
    context: &Context,
    package: &Package,
    base: Option<&Base>,
    writer: W,
) -> Result<ExportSummary, PackageError> {
    let store = &context.store;
    let mut holdings = Holdings::of(store, package).await?;
    let delta = base
        .map(|base| delta::reduce(&mut holdings, base))
        .transpose()?;
    let mut tar = TarWriter {
        writer,
        written: 0,
        name: package.revision.digest.clone(),
        context,
    };
    let total = holdings.blobs.values().map(|blob| blob.size).sum();
    context.progress.start("export", total);
    for (digest, descriptor) in &holdings.blobs {
        let name = blob_name(digest);
        if let Some(bytes) = holdings.made.get(digest) {
            tar.bytes(&name, bytes)?;
        } else {
            tar.blob(&name, descriptor, &store.file(descriptor).await?)?;
        }
    }
    let index = Index::of(holdings.named);
    let index = serde_json::to_vec(&index).map_err(|e| PackageError::Malformed {
        digest: package.revision.digest.clone(),
        reason: e.to_string(),
    })?;
    // Sorted by name like the blobs before them.
    tar.bytes("index.json", &index)?;
    tar.bytes("oci-layout", LAYOUT_MARKER)?;
    let bytes = tar.finish()?;
    context.progress.finish();
    Ok(ExportSummary {
        bytes,
        blobs: holdings.blobs.len(),
        delta,
    })
}

/// Writes a package to a file, see [`export`]. The file appears when it is whole; an existing one is replaced.
///
/// # Errors
/// As [`export`], naming the file.
pub async fn export_file(
    context: &Context,
    package: &Package,
    base: Option<&Base>,
    path: &Path,
) -> Result<ExportSummary, PackageError> {
    let failed = |source: std::io::Error| {
        PackageError::Store(StoreError::Io {
            action: "write",
            path: path.to_owned(),
            source,
        })
    };
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .prefix(".quench-export-")
        .tempfile_in(parent)
        .map_err(failed)?;
    let summary = export(context, package, base, file.as_file_mut()).await?;
    set_usual_mode(file.as_file()).map_err(failed)?;
    file.as_file().sync_data().map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(summary)
}

/// A temporary file is private; an export is for handing on.
fn set_usual_mode(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

struct TarWriter<'c, W> {
    writer: W,
    written: u64,
    name: Digest,
    context: &'c Context,
}

impl<W: Write> TarWriter<'_, W> {
    fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), PackageError> {
        self.header(name, bytes.len() as u64)?;
        self.write(bytes)?;
        self.pad(bytes.len() as u64)
    }

    /// Copies a blob, checking on the way that it is what its name says: a file in a store may have been
    /// changed since it was put there.
    fn blob(
        &mut self,
        name: &str,
        descriptor: &Descriptor,
        path: &Path,
    ) -> Result<(), PackageError> {
        let io = |source| StoreError::Io {
            action: "read",
            path: path.to_owned(),
            source,
        };
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        self.header(name, size)?;
        let mut hasher = quench_model::Hasher::new();
        let mut buffer = vec![0; 1 << 18];
        let mut copied = 0;
        loop {
            let count = file.read(&mut buffer).map_err(io)?;
            if count == 0 {
                break;
            }
            let chunk = buffer.get(..count).unwrap_or_default();
            if self.context.cancel.is_cancelled() {
                return Err(PackageError::Cancelled);
            }
            hasher.update(chunk);
            self.write(chunk)?;
            self.context.progress.advance(count as u64);
            copied += count as u64;
        }
        let actual = hasher.finish();
        if actual != descriptor.digest || copied != size {
            return Err(PackageError::Store(StoreError::WrongDigest {
                expected: descriptor.digest.clone(),
                actual,
                place: path.display().to_string(),
            }));
        }
        self.pad(size)
    }

    fn header(&mut self, name: &str, size: u64) -> Result<(), PackageError> {
        let header = tar_form::header(name, size).ok_or_else(|| PackageError::Malformed {
            digest: self.name.clone(),
            reason: format!("the entry name {name:?} does not fit a tar header"),
        })?;
        self.write(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> Result<(), PackageError> {
        self.zeros(tar_form::padding(size))
    }

    fn finish(mut self) -> Result<u64, PackageError> {
        self.zeros(tar_form::END)?;
        self.writer.flush().map_err(write_failed)?;
        Ok(self.written)
    }

    fn zeros(&mut self, mut count: u64) -> Result<(), PackageError> {
        const ZEROS: [u8; 512] = [0; 512];
        while count > 0 {
            let part = count.min(512);
            let part_len = usize::try_from(part).unwrap_or(512);
            self.write(ZEROS.get(..part_len).unwrap_or(&ZEROS))?;
            count -= part;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PackageError> {
        self.writer.write_all(bytes).map_err(write_failed)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn write_failed(source: std::io::Error) -> PackageError {
    PackageError::Store(StoreError::Io {
        action: "write",
        path: "the export".into(),
        source,
    })
}
