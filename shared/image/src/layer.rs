//! Layers: unpacked once, kept as an uncompressed tar with an index beside it. A layer that is stored as a plain tar is
//! read where it is stored, and only its index is kept.
//!
//! Files are read out of the uncompressed tar at their offsets: nothing of an image is ever extracted to the
//! host's file system, so no path, link, device or owner of an image can act there.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use quench_content::Store;
use quench_model::{Descriptor, Digest, Hasher};

use crate::archive::{RawEntry, Walk};
use crate::layer_index::{
    IndexEntry, IndexReader, IndexWriter, TRAILER, Totals, What, read_trailer,
};
use crate::{ImageError, Limits};

/// One layer of an image, unpacked.
#[derive(Debug, Clone)]
pub struct Layer {
    /// The layer as the manifest names it.
    pub descriptor: Descriptor,
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    pub(crate) totals: Totals,
    pub(crate) tar: Arc<File>,
    index: PathBuf,
}

impl Layer {
    /// Bytes of the uncompressed tar.
    pub fn unpacked_size(&self) -> u64 {
        self.totals.tar_size
    }

    /// Files, folders, links and whiteouts in the layer.
    pub fn entries(&self) -> u64 {
        self.totals.entries
    }

    /// Opens a layer: from the cache when it was seen before, else in one pass over its blob that
    /// uncompresses, verifies both digests and indexes it.
    pub(crate) async fn open(
        store: &Store,
        descriptor: &Descriptor,
        diff_id: &Digest,
        limits: &Limits,
    ) -> Result<Self, ImageError> {
        let cache = LayerCache::of(store, descriptor, diff_id);
        if let Some(layer) = cache.load(limits)? {
            return Ok(layer);
        }
        let blob = store.file(descriptor).await?;
        let limits = limits.clone();
        quench_content::blocking(move || cache.unpack(&blob, &limits)).await
    }

    pub(crate) fn read_index(
        &self,
        limits: &Limits,
    ) -> Result<IndexReader<BufReader<File>>, ImageError> {
        File::open(&self.index)
            .and_then(|file| IndexReader::new(BufReader::with_capacity(1 << 16, file), limits))
            .map_err(ImageError::cache("read", &self.index))
    }

    pub(crate) fn index_error(&self, error: io::Error) -> ImageError {
        ImageError::cache("read", &self.index)(error)
    }
}

/// Where a layer's tar and index are kept.
///
/// The tar and the index are named by the uncompressed digest, so layers that differ in compression only share
/// them; a small file named by the blob's digest says which tar the blob was *seen* to unpack to. Without it an
/// image could name a harmless layer's uncompressed digest beside another blob and be read as harmless.
struct LayerCache {
    descriptor: Descriptor,
    diff_id: Digest,
    folder: PathBuf,
    /// Where the uncompressed tar lies when it is content of the store itself.
    stored: PathBuf,
}

impl LayerCache {
    fn of(store: &Store, descriptor: &Descriptor, diff_id: &Digest) -> Self {
        Self {
            descriptor: descriptor.clone(),
            diff_id: diff_id.clone(),
            folder: store.cache_dir().join("layers"),
            stored: store.local_path(diff_id),
        }
    }

    fn path(&self, digest: &Digest, extension: &str) -> PathBuf {
        self.folder.join(format!("{}.{extension}", digest.hex()))
    }

    fn seen(&self) -> PathBuf {
        self.path(&self.descriptor.digest, "diffid")
    }

    /// The layer from the cache. Whatever is missing or does not fit makes it be unpacked anew.
    fn load(&self, limits: &Limits) -> Result<Option<Layer>, ImageError> {
        match std::fs::read_to_string(self.seen()) {
            Ok(text) if text == self.diff_id.to_string() => {}
            _ => return Ok(None),
        }
        let index = self.path(&self.diff_id, "index");
        let Ok(Some(totals)) = trailer(&index, &self.diff_id) else {
            return Ok(None);
        };
        let whole = |path: &Path| {
            let file = File::open(path).ok()?;
            let size = file.metadata().ok()?.len();
            (size == totals.tar_size).then_some(file)
        };
        let kept = self.path(&self.diff_id, "tar");
        let Some(tar) = whole(&self.stored).or_else(|| whole(&kept)) else {
            return Ok(None);
        };
        check(&self.descriptor.digest, &totals, limits)?;
        Ok(Some(Layer {
            descriptor: self.descriptor.clone(),
            diff_id: self.diff_id.clone(),
            totals,
            tar: Arc::new(tar),
            index,
        }))
    }

    fn unpack(&self, blob: &Path, limits: &Limits) -> Result<Layer, ImageError> {
        std::fs::create_dir_all(&self.folder)
            .map_err(ImageError::cache("create folder", &self.folder))?;
        let staged = |what| {
            tempfile::NamedTempFile::new_in(&self.folder)
                .map_err(ImageError::cache(what, &self.folder))
        };
        // Gigabytes that are in the store already need no copy.
        let is_plain = self.descriptor.digest == self.diff_id;
        let mut tar = match is_plain {
            true => None,
            false => Some(staged("write a layer's tar in")?),
        };
        let index = staged("write a layer's index in")?;

        let file = File::open(blob).map_err(ImageError::cache("read", blob))?;
        let mut compressed = Hashing::new(file);
        let (walked, unpacked) = {
            let mut tee = Tee {
                inner: self.decompress(BufReader::with_capacity(1 << 18, &mut compressed))?,
                out: tar.as_mut().map(tempfile::NamedTempFile::as_file_mut),
                hasher: Hasher::new(),
                write_error: None,
            };
            let walked = self.walk(&mut tee, BufWriter::new(index.as_file()), limits);
            if let Some(error) = tee.write_error {
                let failed = ImageError::cache("write a layer's tar in", &self.folder);
                return Err(failed(error));
            }
            (walked, tee.hasher.finish())
        };
        let (tar_size, writer) = walked?;
        let packed = compressed
            .finish()
            .map_err(ImageError::cache("read", blob))?;
        self.expect("blob", packed, &self.descriptor.digest)?;
        self.expect("uncompressed tar", unpacked, &self.diff_id)?;
        writer
            .finish(&self.diff_id, tar_size)
            .map_err(ImageError::cache("write a layer's index in", &self.folder))?;

        // The tar first: an index without its tar would be found incomplete, a tar without index is no harm.
        if let Some(tar) = tar {
            self.keep(tar, &self.path(&self.diff_id, "tar"))?;
        }
        self.keep(index, &self.path(&self.diff_id, "index"))?;
        let mut seen = staged("write in")?;
        seen.write_all(self.diff_id.to_string().as_bytes())
            .map_err(ImageError::cache("write in", &self.folder))?;
        self.keep(seen, &self.seen())?;
        self.load(limits)?.ok_or_else(|| {
            ImageError::layer(
                &self.descriptor.digest,
                format!(
                    "vanished from the cache {} while it was written",
                    self.folder.display()
                ),
            )
        })
    }

    /// Walks the tar into the index and to its end.
    fn walk<W: Write>(
        &self,
        tee: &mut Tee<'_, impl Read>,
        index: W,
        limits: &Limits,
    ) -> Result<(u64, IndexWriter<W>), ImageError> {
        let digest = &self.descriptor.digest;
        let refuse = |reason| ImageError::layer(digest, reason);
        let mut walk = Walk::new(BufReader::with_capacity(1 << 17, tee), limits);
        let written = ImageError::cache("write a layer's index in", &self.folder);
        let mut writer = match IndexWriter::new(index) {
            Ok(writer) => writer,
            Err(error) => return Err(written(error)),
        };
        while let Some(raw) = walk.next_entry().map_err(refuse)? {
            if let Some(entry) = index_entry(raw).map_err(refuse)? {
                if writer.entries() >= limits.entries {
                    return Err(refuse(format!("has more than {} entries", limits.entries)));
                }
                writer
                    .push(&entry)
                    .map_err(ImageError::cache("write a layer's index in", &self.folder))?;
            }
        }
        let size = walk.finish().map_err(refuse)?;
        Ok((size, writer))
    }

    fn decompress<'r, R: BufRead + 'r>(
        &self,
        mut input: R,
    ) -> Result<Box<dyn Read + 'r>, ImageError> {
        let refuse = |reason: String| ImageError::layer(&self.descriptor.digest, reason);
        let start = input
            .fill_buf()
            .map_err(|e| refuse(format!("cannot be read: {e}")))?;
        // The bytes decide, not the media type: registries and tools disagree about the latter.
        match start {
            [0x1f, 0x8b, ..] => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(input))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let decoder = zstd::stream::read::Decoder::with_buffer(input)
                    .map_err(|e| refuse(format!("cannot start zstd: {e}")))?;
                Ok(Box::new(decoder))
            }
            [0xfd, b'7', b'z', b'X', b'Z', ..] | [b'B', b'Z', b'h', ..] => Err(refuse(
                "is compressed with xz or bzip2, which OCI images do not use; repack it with gzip or zstd"
                    .to_owned(),
            )),
            _ => Ok(Box::new(input)),
        }
    }

    fn expect(
        &self,
        what: &'static str,
        actual: Digest,
        expected: &Digest,
    ) -> Result<(), ImageError> {
        if actual == *expected {
            return Ok(());
        }
        Err(ImageError::WrongDigest {
            digest: self.descriptor.digest.clone(),
            what,
            actual,
            expected: expected.clone(),
        })
    }

    fn keep(&self, file: tempfile::NamedTempFile, path: &Path) -> Result<(), ImageError> {
        file.persist(path)
            .map(drop)
            .map_err(|e| ImageError::cache("write", path)(e.error))
    }
}

fn trailer(index: &Path, diff_id: &Digest) -> io::Result<Option<Totals>> {
    let mut file = File::open(index)?;
    file.seek(SeekFrom::End(-TRAILER.cast_signed()))?;
    let mut bytes = Vec::new();
    file.take(TRAILER).read_to_end(&mut bytes)?;
    Ok(read_trailer(&bytes, diff_id))
}

fn check(digest: &Digest, totals: &Totals, limits: &Limits) -> Result<(), ImageError> {
    if totals.entries > limits.entries {
        return Err(ImageError::layer(
            digest,
            format!("has more than {} entries", limits.entries),
        ));
    }
    if totals.tar_size > limits.unpacked {
        return Err(ImageError::layer(
            digest,
            format!("unpacks to more than {} bytes", limits.unpacked),
        ));
    }
    Ok(())
}

/// What an entry of the tar means for the tree; `None` for the storage driver's own files.
fn index_entry(raw: RawEntry) -> Result<Option<IndexEntry>, String> {
    let path = relative(&raw.path)?;
    let what = What::from(raw.kind);
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
    if let Some(hidden) = name.strip_prefix(".wh.") {
        let (path, what) = match hidden {
            ".wh..opq" => (parent.to_owned(), What::Opaque),
            "" | "." | ".." => return Err(format!("has the impossible whiteout {path:?}")),
            // Left by the aufs storage driver; runtimes skip them too.
            _ if hidden.starts_with(".wh.") => return Ok(None),
            _ if parent.is_empty() => (hidden.to_owned(), What::Whiteout),
            _ => (format!("{parent}/{hidden}"), What::Whiteout),
        };
        return Ok(Some(IndexEntry {
            path,
            what,
            ..IndexEntry::default()
        }));
    }
    if path.is_empty() && what != What::Is(crate::Kind::Folder) {
        return Err("has an entry that would replace the root folder".to_owned());
    }
    let target = match what {
        What::HardLink => relative(&raw.target)?,
        What::Is(crate::Kind::Symlink) => crate::name::from_bytes(&raw.target).into_owned(),
        _ => String::new(),
    };
    let offset = match what {
        What::Is(crate::Kind::CharDevice | crate::Kind::BlockDevice) => {
            u64::from(raw.device.0) << 32 | u64::from(raw.device.1)
        }
        _ => raw.offset,
    };
    Ok(Some(IndexEntry {
        path,
        what,
        mode: raw.mode,
        uid: raw.uid,
        gid: raw.gid,
        mtime: raw.mtime,
        size: raw.size,
        offset,
        target,
        capability: raw.capability.unwrap_or_default(),
    }))
}

/// A path of the archive relative to the root, without `.` and doubled slashes; `..` is refused.
fn relative(path: &[u8]) -> Result<String, String> {
    let text = crate::name::from_bytes(path);
    let mut out = String::with_capacity(text.len());
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(format!("has a path that climbs out with '..': {text:?}")),
            // The length limit of Linux file systems, on the real bytes.
            _ if part.len() > 255 && crate::name::to_bytes(part).len() > 255 => {
                return Err(format!("has a file name of more than 255 bytes: {text:?}"));
            }
            _ => {
                if !out.is_empty() {
                    out.push('/');
                }
                out.push_str(part);
            }
        }
    }
    Ok(out)
}

/// Hashes what is read through it.
struct Hashing<R> {
    inner: R,
    hasher: Hasher,
}

impl<R: Read> Hashing<R> {
    fn new(inner: R) -> Self {
        Self {
            inner,
            hasher: Hasher::new(),
        }
    }

    /// Reads what is left and gives the digest of everything.
    fn finish(mut self) -> io::Result<Digest> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finish())
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

/// Hashes what is read through it, and writes it down where it is kept.
struct Tee<'a, R> {
    inner: R,
    out: Option<&'a mut File>,
    hasher: Hasher,
    /// Kept apart from read errors: a full disk is not the image's fault.
    write_error: Option<io::Error>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        self.hasher.update(bytes);
        if let Some(out) = &mut self.out
            && let Err(error) = out.write_all(bytes)
        {
            self.write_error = Some(error);
            return Err(io::Error::other("cannot write the uncompressed layer"));
        }
        Ok(count)
    }
}
