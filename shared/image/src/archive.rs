//! Walking a tar stream once, without holding any file of it.
//!
//! Understands what container builders write: ustar, GNU long names and long links, pax headers of files,
//! extended attributes as `SCHILY.xattr.*`. Sparse files, which image layers have no use for, are refused
//! rather than half understood. Formats: POSIX.1-2017 pax, "ustar Interchange Format"; GNU tar manual,
//! "Basic Tar Format".

use std::io::{self, BufRead, Read};

use crate::Limits;

/// Bytes of a tar block.
const BLOCK: usize = 512;

/// Most bytes of one pax header or GNU long name: two paths of [`Limits::path`] and some attributes.
const EXTENSION_LIMIT: u64 = 1 << 20;

/// What an entry of a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A named pipe.
    Fifo,
}

/// One entry of a tar stream, with the path as it is written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RawEntry {
    pub path: Vec<u8>,
    pub kind: RawKind,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub size: u64,
    /// Where the data begins, counted from the start of the stream.
    pub offset: u64,
    pub target: Vec<u8>,
    pub device: (u32, u32),
    pub capability: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RawKind {
    Is(Kind),
    HardLink,
}

/// Fields a pax header or GNU long name gives to the next entry.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<i64>,
    capability: Option<Vec<u8>>,
}

/// Walks a tar stream. Every error tells what is wrong, in words that fit after "layer X: ".
pub(crate) struct Walk<'a, R> {
    reader: R,
    limits: &'a Limits,
    position: u64,
    /// Bytes of data and padding of the last entry that are still to be skipped.
    pending: u64,
    entries: u64,
}

impl<'a, R: BufRead> Walk<'a, R> {
    pub fn new(reader: R, limits: &'a Limits) -> Self {
        Self {
            reader,
            limits,
            position: 0,
            pending: 0,
            entries: 0,
        }
    }

    /// The next entry, or `None` at the end. Data of the entry before is skipped.
    pub fn next_entry(&mut self) -> Result<Option<RawEntry>, String> {
        let mut extension = Extension::default();
        loop {
            self.skip_pending()?;
            let Some(block) = self.read_header()? else {
                return Ok(None);
            };
            self.entries += 1;
            // Extension headers count too, so that a stream of nothing but them ends.
            if self.entries > self.limits.entries.saturating_mul(3) {
                return Err(format!("has more than {} tar headers", self.entries - 1));
            }
            let header = Header(&block);
            let size = header.size()?;
            match header.type_flag() {
                b'x' => {
                    let data = self.read_extension(size)?;
                    parse_pax(&data, &mut extension)?;
                }
                b'g' => {
                    // Global headers of image builders hold comments only; what they say about files is ignored
                    // by container runtimes as well.
                    self.read_extension(size)?;
                }
                b'L' => extension.path = Some(trim_nul(self.read_extension(size)?)),
                b'K' => extension.target = Some(trim_nul(self.read_extension(size)?)),
                flag => return self.entry(&header, flag, size, extension).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        header: &Header<'_>,
        flag: u8,
        size: u64,
        extension: Extension,
    ) -> Result<RawEntry, String> {
        let path = extension.path.unwrap_or_else(|| header.path());
        let kind = match flag {
            // '7' is "contiguous", to be read as a regular file; pre-POSIX writers mark folders by a slash.
            0 if path.ends_with(b"/") => RawKind::Is(Kind::Folder),
            b'0' | 0 | b'7' => RawKind::Is(Kind::File),
            b'1' => RawKind::HardLink,
            b'2' => RawKind::Is(Kind::Symlink),
            b'3' => RawKind::Is(Kind::CharDevice),
            b'4' => RawKind::Is(Kind::BlockDevice),
            b'5' => RawKind::Is(Kind::Folder),
            b'6' => RawKind::Is(Kind::Fifo),
            b'S' => {
                return Err(format!(
                    "{} is a sparse file; those are refused",
                    show(&path)
                ));
            }
            other => {
                let shown = other.escape_ascii();
                return Err(format!(
                    "{} has the unknown tar type '{shown}'",
                    show(&path)
                ));
            }
        };
        // The size field of anything but a file is ignored, as container runtimes do (Go's archive/tar): reading
        // it another way would show us other files than they unpack.
        let data = if matches!(flag, b'0' | 0 | b'7') {
            extension.size.unwrap_or(size)
        } else {
            0
        };
        self.pending = data
            .checked_next_multiple_of(BLOCK as u64)
            .ok_or_else(|| format!("{} has an impossible size", show(&path)))?;
        if self.position.saturating_add(self.pending) > self.limits.unpacked.saturating_add(1 << 20)
        {
            return Err(format!(
                "{} would make it unpack to more than {} bytes",
                show(&path),
                self.limits.unpacked
            ));
        }
        let id = |from_pax: Option<u64>, field: u64, what: &str| {
            u32::try_from(from_pax.unwrap_or(field))
                .map_err(|_| format!("{} has an impossible {what}", show(&path)))
        };
        let uid = id(extension.uid, header.number(108, 8)?, "user id")?;
        let gid = id(extension.gid, header.number(116, 8)?, "group id")?;
        let target = extension.target.unwrap_or_else(|| header.target());
        for (what, bytes) in [("path", &path), ("link target", &target)] {
            if bytes.len() > self.limits.path {
                return Err(format!(
                    "has a {what} of {} bytes; at most {} are accepted: {}…",
                    bytes.len(),
                    self.limits.path,
                    show(bytes.get(..80).unwrap_or(bytes))
                ));
            }
            if bytes.contains(&0) {
                return Err(format!("has a {what} with a NUL byte: {}", show(bytes)));
            }
        }
        let device = match kind {
            RawKind::Is(Kind::CharDevice | Kind::BlockDevice) => (
                u32::try_from(header.number(329, 8)?).unwrap_or(u32::MAX),
                u32::try_from(header.number(337, 8)?).unwrap_or(u32::MAX),
            ),
            _ => (0, 0),
        };
        let mode = u16::try_from(header.number(100, 8)? & 0o7777).unwrap_or(0);
        let mtime = match extension.mtime {
            Some(mtime) => mtime,
            None => i64::try_from(header.number(136, 12).unwrap_or(0)).unwrap_or(0),
        };
        Ok(RawEntry {
            kind,
            mode,
            uid,
            gid,
            mtime,
            size: data,
            offset: self.position,
            target,
            device,
            capability: extension.capability,
            path,
        })
    }

    /// Reads the stream to its end, which hashing it needs, and gives its length.
    pub fn finish(mut self) -> Result<u64, String> {
        self.skip_pending()?;
        let rest = self.limits.unpacked.saturating_sub(self.position);
        let read = self.skip(rest.saturating_add(1))?;
        if read > rest {
            return Err(format!(
                "unpacks to more than {} bytes",
                self.limits.unpacked
            ));
        }
        Ok(self.position + read)
    }

    fn skip_pending(&mut self) -> Result<(), String> {
        let wanted = std::mem::take(&mut self.pending);
        if self.skip(wanted)? != wanted {
            return Err("ends in the middle of a file".to_owned());
        }
        self.position += wanted;
        Ok(())
    }

    /// Passes over up to `wanted` bytes without copying them; fewer at the end of the stream.
    fn skip(&mut self, wanted: u64) -> Result<u64, String> {
        let mut skipped = 0;
        while skipped < wanted {
            let available = match self.reader.fill_buf() {
                Ok(bytes) => bytes.len(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(damaged(&e)),
            };
            if available == 0 {
                break;
            }
            let step = available.min(usize::try_from(wanted - skipped).unwrap_or(usize::MAX));
            self.reader.consume(step);
            skipped += step as u64;
        }
        Ok(skipped)
    }

    /// The next header block. A zero block or the end of the stream ends the archive.
    fn read_header(&mut self) -> Result<Option<[u8; BLOCK]>, String> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match self.reader.read(rest) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(damaged(&e)),
            }
        }
        self.position += filled as u64;
        if filled == 0 {
            return Ok(None);
        }
        if filled < BLOCK {
            return Err("ends in the middle of a tar header".to_owned());
        }
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        Header(&block).check()?;
        Ok(Some(block))
    }

    fn read_extension(&mut self, size: u64) -> Result<Vec<u8>, String> {
        if size > EXTENSION_LIMIT {
            return Err(format!(
                "has a tar extension header of {size} bytes; at most {EXTENSION_LIMIT} are accepted"
            ));
        }
        let padded = size.next_multiple_of(BLOCK as u64);
        let mut data = Vec::new();
        (&mut self.reader)
            .take(padded)
            .read_to_end(&mut data)
            .map_err(|e| damaged(&e))?;
        if data.len() as u64 != padded {
            return Err("ends in the middle of a tar extension header".to_owned());
        }
        self.position += padded;
        data.truncate(usize::try_from(size).unwrap_or(0));
        Ok(data)
    }
}

fn damaged(error: &io::Error) -> String {
    format!("does not unpack: {error}")
}

fn show(path: &[u8]) -> String {
    crate::name::from_bytes(path).into_owned()
}

fn trim_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

/// One ustar header block.
struct Header<'a>(&'a [u8; BLOCK]);

impl Header<'_> {
    fn field(&self, start: usize, length: usize) -> &[u8] {
        self.0.get(start..start + length).unwrap_or_default()
    }

    fn text(&self, start: usize, length: usize) -> &[u8] {
        let field = self.field(start, length);
        let end = field.iter().position(|b| *b == 0).unwrap_or(field.len());
        field.get(..end).unwrap_or_default()
    }

    fn type_flag(&self) -> u8 {
        self.field(156, 1).first().copied().unwrap_or(0)
    }

    fn path(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        // GNU headers ("ustar  ") use the prefix field for other things.
        let prefix: &[u8] = if self.field(257, 6) == b"ustar\0" {
            self.text(345, 155)
        } else {
            b""
        };
        if prefix.is_empty() {
            return name.to_vec();
        }
        [prefix, b"/", name].concat()
    }

    fn target(&self) -> Vec<u8> {
        self.text(157, 100).to_vec()
    }

    fn size(&self) -> Result<u64, String> {
        self.number(124, 12)
    }

    /// A number in octal digits, or in GNU's base 256 when the first bit is set.
    fn number(&self, start: usize, length: usize) -> Result<u64, String> {
        let field = self.field(start, length);
        let bad = || {
            format!(
                "has a tar header for {} with a number that is none",
                show(self.text(0, 100))
            )
        };
        match field.first() {
            Some(0x80) => field.iter().skip(1).try_fold(0u64, |value, byte| {
                value
                    .checked_mul(256)
                    .and_then(|v| v.checked_add(u64::from(*byte)))
                    .ok_or_else(bad)
            }),
            // Negative: only times before 1970 are, and those do not matter.
            Some(0xff) => Ok(0),
            _ => {
                let text = std::str::from_utf8(field).map_err(|_| bad())?;
                let text = text.trim_matches([' ', '\0']);
                if text.is_empty() {
                    return Ok(0);
                }
                u64::from_str_radix(text, 8).map_err(|_| bad())
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        let stated = self.number(148, 8)?;
        let sum: u64 = self
            .0
            .iter()
            .enumerate()
            .map(|(at, byte)| match at {
                148..156 => u64::from(b' '),
                _ => u64::from(*byte),
            })
            .sum();
        if sum == stated {
            Ok(())
        } else {
            Err("is no tar archive, or a damaged one: a header's checksum is wrong".to_owned())
        }
    }
}

/// Reads pax records: `length key=value\n`, where length counts the whole record.
fn parse_pax(data: &[u8], extension: &mut Extension) -> Result<(), String> {
    let bad = || "has a damaged pax header".to_owned();
    let mut rest = data;
    while !rest.is_empty() {
        let space = rest.iter().position(|b| *b == b' ').ok_or_else(bad)?;
        let length: usize = rest
            .get(..space)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok())
            .ok_or_else(bad)?;
        let record = rest
            .get(space + 1..length)
            .and_then(|record| record.strip_suffix(b"\n"))
            .ok_or_else(bad)?;
        rest = rest.get(length..).unwrap_or_default();
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(bad)?;
        let (key, value) = record.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        let number = || {
            std::str::from_utf8(value)
                .ok()
                .and_then(|text| text.parse::<u64>().ok())
                .ok_or_else(bad)
        };
        match key {
            b"path" => extension.path = Some(value.to_vec()),
            b"linkpath" => extension.target = Some(value.to_vec()),
            b"size" => extension.size = Some(number()?),
            b"uid" => extension.uid = Some(number()?),
            b"gid" => extension.gid = Some(number()?),
            b"mtime" => {
                let text = std::str::from_utf8(value).map_err(|_| bad())?;
                let seconds = text.split('.').next().unwrap_or(text);
                extension.mtime = seconds.parse().ok();
            }
            b"SCHILY.xattr.security.capability" => {
                // The kernel's structure has at most 24 bytes (linux/capability.h, vfs_ns_cap_data).
                if value.len() > 64 {
                    return Err("has a file capability of impossible length".to_owned());
                }
                extension.capability = Some(value.to_vec());
            }
            _ if key.starts_with(b"GNU.sparse.") => {
                return Err("has a sparse file; those are refused".to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}
