//! Writing layers: the same entries in the same order give the same bytes.

use std::io::{self, Read, Write};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use quench_model::{Digest, Hasher};

use crate::archive::Kind;
use crate::tree::Entry;

const BLOCK: usize = 512;

/// What is written for one file, folder or link. Nothing else of the host or the time gets into a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// Path in bytes, absolute or relative to the root.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permission bits with setuid, setgid and sticky.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Bytes of data that follow; 0 for anything but files.
    pub size: u64,
    /// Time of last change in seconds since 1970.
    pub mtime: i64,
    /// Target of a symbolic link, or the path of an earlier file of the layer that this is a hard link to.
    pub target: Vec<u8>,
    /// Whether it is a hard link to `target`.
    pub hard_link: bool,
    /// Major and minor number of a device.
    pub device: (u32, u32),
    /// Raw `security.capability` attribute.
    pub capability: Option<Vec<u8>>,
}

impl LayerEntry {
    /// A folder.
    pub fn folder(path: impl Into<Vec<u8>>, mode: u32, uid: u32, gid: u32) -> Self {
        Self {
            path: path.into(),
            kind: Kind::Folder,
            mode,
            uid,
            gid,
            size: 0,
            mtime: 0,
            target: Vec::new(),
            hard_link: false,
            device: (0, 0),
            capability: None,
        }
    }

    /// A regular file of root's.
    pub fn file(path: impl Into<Vec<u8>>, mode: u32, size: u64) -> Self {
        Self {
            kind: Kind::File,
            size,
            ..Self::folder(path, mode, 0, 0)
        }
    }

    /// What a tree holds, as it is there.
    pub fn of(entry: Entry<'_>) -> Self {
        Self {
            path: entry.path_bytes(),
            kind: entry.kind(),
            mode: entry.mode(),
            uid: entry.uid(),
            gid: entry.gid(),
            size: entry.size(),
            mtime: entry.mtime(),
            target: entry.target_bytes().unwrap_or_default(),
            hard_link: false,
            device: entry.device().unwrap_or_default(),
            capability: entry.capability().map(<[u8]>::to_vec),
        }
    }
}

/// Writes a gzip-compressed layer.
///
/// The caller gives entries in the order they shall have: each folder before what is in it, best as
/// [`crate::Tree::iter`] goes.
pub struct LayerWriter<W: Write> {
    out: GzEncoder<W>,
    hasher: Hasher,
    written: u64,
}

/// A layer that is written.
#[derive(Debug)]
pub struct WrittenLayer<W> {
    /// Where it was written to.
    pub out: W,
    /// Digest of the uncompressed tar, for the image's configuration.
    pub diff_id: Digest,
    /// Bytes of the uncompressed tar.
    pub unpacked_size: u64,
}

impl<W: Write> LayerWriter<W> {
    /// A writer of a layer into `out`.
    pub fn new(out: W) -> Self {
        Self {
            // No name, no time, "unknown" as system: GzBuilder's defaults.
            out: GzBuilder::new().write(out, Compression::default()),
            hasher: Hasher::new(),
            written: 0,
        }
    }

    /// Writes an entry, and `data` when it is a file.
    ///
    /// # Errors
    /// When it cannot be written, or `data` has another length than `entry.size`.
    pub fn push(&mut self, entry: &LayerEntry, data: &mut dyn Read) -> io::Result<()> {
        let mut path = entry.path.as_slice();
        while let Some(rest) = path.strip_prefix(b"/") {
            path = rest;
        }
        let mut path = if path.is_empty() {
            b"./".to_vec()
        } else {
            path.to_vec()
        };
        if entry.kind == Kind::Folder && !path.ends_with(b"/") {
            path.push(b'/');
        }
        let mut target = entry.target.as_slice();
        if entry.hard_link {
            while let Some(rest) = target.strip_prefix(b"/") {
                target = rest;
            }
        }
        let size = if entry.kind == Kind::File && !entry.hard_link {
            entry.size
        } else {
            0
        };
        let mut pax = Vec::new();
        if path.len() > 100 {
            push_record(&mut pax, b"path", &path);
        }
        if target.len() > 100 {
            push_record(&mut pax, b"linkpath", target);
        }
        if size > MAX_OCTAL_11 {
            push_record(&mut pax, b"size", size.to_string().as_bytes());
        }
        for (key, id) in [(b"uid", entry.uid), (b"gid", entry.gid)] {
            if u64::from(id) > MAX_OCTAL_7 {
                push_record(&mut pax, key, id.to_string().as_bytes());
            }
        }
        if let Some(capability) = &entry.capability {
            push_record(&mut pax, b"SCHILY.xattr.security.capability", capability);
        }
        if !pax.is_empty() {
            let block = header(
                b"pax",
                b'x',
                0o644,
                (0, 0),
                pax.len() as u64,
                0,
                b"",
                (0, 0),
            );
            self.write(&block)?;
            self.write(&pax)?;
            self.pad(pax.len() as u64)?;
        }
        let flag = match entry.kind {
            _ if entry.hard_link => b'1',
            Kind::File => b'0',
            Kind::Symlink => b'2',
            Kind::CharDevice => b'3',
            Kind::BlockDevice => b'4',
            Kind::Folder => b'5',
            Kind::Fifo => b'6',
        };
        let block = header(
            &path,
            flag,
            entry.mode,
            (entry.uid, entry.gid),
            size,
            entry.mtime,
            target,
            entry.device,
        );
        self.write(&block)?;
        let mut buffer = [0; 1 << 16];
        let mut left = size;
        while left > 0 {
            let wanted = buffer
                .len()
                .min(usize::try_from(left).unwrap_or(usize::MAX));
            let count = data.read(buffer.get_mut(..wanted).unwrap_or_default())?;
            if count == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "a file has fewer bytes than its entry says",
                ));
            }
            self.write(buffer.get(..count).unwrap_or_default())?;
            left -= count as u64;
        }
        self.pad(size)
    }

    /// Ends the layer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> io::Result<WrittenLayer<W>> {
        self.write(&[0; 2 * BLOCK])?;
        Ok(WrittenLayer {
            out: self.out.finish()?,
            diff_id: self.hasher.finish(),
            unpacked_size: self.written,
        })
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if over == 0 {
            return Ok(());
        }
        let zeros = [0; BLOCK];
        self.write(zeros.get(over..).unwrap_or_default())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

const MAX_OCTAL_7: u64 = 0o7_777_777;
const MAX_OCTAL_11: u64 = 0o77_777_777_777;

/// A ustar header (POSIX.1-2017 pax, "ustar Interchange Format"). What does not fit is cut here and told by a
/// pax record before.
#[expect(
    clippy::too_many_arguments,
    reason = "the fields of a tar header, used in this file only"
)]
fn header(
    path: &[u8],
    flag: u8,
    mode: u32,
    (uid, gid): (u32, u32),
    size: u64,
    mtime: i64,
    target: &[u8],
    device: (u32, u32),
) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| {
        for (slot, byte) in block.iter_mut().skip(at).zip(bytes) {
            *slot = *byte;
        }
    };
    let octal = |value: u64, digits: usize| format!("{value:0digits$o}");
    put(0, path.get(..100).unwrap_or(path));
    put(100, octal(u64::from(mode & 0o7777), 7).as_bytes());
    put(108, octal(u64::from(uid).min(MAX_OCTAL_7), 7).as_bytes());
    put(116, octal(u64::from(gid).min(MAX_OCTAL_7), 7).as_bytes());
    put(124, octal(size.min(MAX_OCTAL_11), 11).as_bytes());
    let mtime = u64::try_from(mtime).unwrap_or(0).min(MAX_OCTAL_11);
    put(136, octal(mtime, 11).as_bytes());
    put(148, b"        ");
    put(156, &[flag]);
    put(157, target.get(..100).unwrap_or(target));
    put(257, b"ustar\x0000");
    if matches!(flag, b'3' | b'4') {
        put(
            329,
            octal(u64::from(device.0).min(MAX_OCTAL_7), 7).as_bytes(),
        );
        put(
            337,
            octal(u64::from(device.1).min(MAX_OCTAL_7), 7).as_bytes(),
        );
    }
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    let checksum = format!("{sum:06o}\0 ");
    for (slot, byte) in block.iter_mut().skip(148).zip(checksum.as_bytes()) {
        *slot = *byte;
    }
    block
}

/// A pax record: its own length in decimal, a space, `key=value`, a newline.
fn push_record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let content = key.len() + value.len() + 3;
    let mut length = content + 1;
    while content + length.to_string().len() != length {
        length = content + length.to_string().len();
    }
    out.extend_from_slice(length.to_string().as_bytes());
    out.push(b' ');
    out.extend_from_slice(key);
    out.push(b'=');
    out.extend_from_slice(value);
    out.push(b'\n');
}
