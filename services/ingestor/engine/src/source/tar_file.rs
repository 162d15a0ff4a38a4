//! A tar file whose members are read in any order.
//!
//! Only headers are read to open one; content is read where it lies. Names are data of somebody else: members
//! that leave the archive, links that do, and names given twice are refused.
//!
//! # Why not `tar::Archive`?
//! It reads long names whole before anything can look at their length; here every header is bounded.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use quench_content::StoreError;
use quench_package::EngineError;
use tar::EntryType;

const BLOCK: u64 = 512;
/// Most members. An image has a few per layer.
const MEMBERS: usize = 100_000;
/// Most bytes of a long name or extended header.
const LONG_HEADER: u64 = 64 << 10;
/// Most bytes a compressed archive may unpack to, and how much more than itself: layers rarely compress
/// better than tenfold.
const UNPACKED: u64 = 256 << 30;
const RATIO: u64 = 200;
const SMALL: u64 = 1 << 30;
/// Most links to follow from one name to its content.
const LINKS: usize = 8;

/// A tar file, plain or gzip'd.
#[derive(Debug)]
pub(crate) struct TarFile {
    path: PathBuf,
    file: Arc<File>,
    members: BTreeMap<String, Member>,
}

#[derive(Debug)]
enum Member {
    File { offset: u64, size: u64 },
    Link(String),
}

/// Reads a part of a file without moving anybody's position.
pub(crate) struct Section {
    file: Arc<File>,
    offset: u64,
    end: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.offset).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let count = self
            .file
            .read_at(buffer.get_mut(..wanted).unwrap_or_default(), self.offset)?;
        self.offset += count as u64;
        Ok(count)
    }
}

impl TarFile {
    /// Opens an archive; a compressed one is unpacked to an unnamed file in `scratch` first.
    pub(crate) fn open(path: &Path, scratch: &Path) -> Result<Self, EngineError> {
        let failed = |action, source| io_error(action, path, source);
        let mut file = File::open(path).map_err(|e| failed("read", e))?;
        let meta = file.metadata().map_err(|e| failed("read", e))?;
        if !meta.is_file() {
            return Err(EngineError::Input(format!(
                "{}: not a file",
                path.display()
            )));
        }
        let mut magic = [0; 4];
        let count = file.read_at(&mut magic, 0).map_err(|e| failed("read", e))?;
        let compressed = count >= 2 && magic.starts_with(&[0x1f, 0x8b]);
        if magic == [0x28, 0xb5, 0x2f, 0xfd] {
            return Err(EngineError::Input(format!(
                "{}: compressed with zstd; unpack it first (zstd -d)",
                path.display()
            )));
        }
        if compressed {
            file = unpack(path, file, meta.len(), scratch)?;
        }
        let mut archive = Self {
            path: path.to_owned(),
            file: Arc::new(file),
            members: BTreeMap::new(),
        };
        archive.scan()?;
        Ok(archive)
    }

    /// The archive's path, for messages.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Size of a member and its content; links are followed.
    pub(crate) fn member(&self, name: &str) -> Result<Option<(u64, Section)>, EngineError> {
        let mut name = name.to_owned();
        for _ in 0..LINKS {
            match self.members.get(&name) {
                Some(Member::File { offset, size }) => {
                    let section = Section {
                        file: self.file.clone(),
                        offset: *offset,
                        end: offset + size,
                    };
                    return Ok(Some((*size, section)));
                }
                Some(Member::Link(target)) => name.clone_from(target),
                None => return Ok(None),
            }
        }
        Err(self.fault(&name, "its links do not end"))
    }

    /// A member whole, at most `limit` bytes.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, EngineError> {
        let Some((size, mut section)) = self.member(name)? else {
            return Ok(None);
        };
        if size > limit {
            return Err(self.fault(
                name,
                &format!("it has {size} bytes; at most {limit} are accepted for it"),
            ));
        }
        let mut bytes = Vec::new();
        section
            .read_to_end(&mut bytes)
            .map_err(|e| io_error("read", &self.path, e))?;
        if bytes.len() as u64 != size {
            return Err(self.fault(name, "the archive ends within it"));
        }
        Ok(Some(bytes))
    }

    /// An error about a member.
    pub(crate) fn fault(&self, name: &str, reason: &str) -> EngineError {
        let name: String = name.chars().take(200).collect();
        EngineError::Input(format!("{}: entry {name:?}: {reason}", self.path.display()))
    }

    fn scan(&mut self) -> Result<(), EngineError> {
        let file = self.file.clone();
        let length = file
            .metadata()
            .map_err(|e| io_error("read", &self.path, e))?
            .len();
        let mut at = 0;
        let mut next = Pending::default();
        let mut any = false;
        loop {
            let mut header = tar::Header::new_old();
            let count = file
                .read_at(header.as_mut_bytes(), at)
                .map_err(|e| io_error("read", &self.path, e))?;
            if count == 0 || (count as u64 == BLOCK && header.as_bytes().iter().all(|b| *b == 0)) {
                break;
            }
            if (count as u64) < BLOCK {
                return Err(self.fault("", "the archive ends within a header"));
            }
            check_sum(&header).map_err(|reason| {
                self.fault("", if any { reason } else { "it is no tar archive" })
            })?;
            any = true;
            at += BLOCK;
            let written = header
                .entry_size()
                .map_err(|_| self.fault("", "its size is no number"))?;
            let kind = header.entry_type();
            let size = match kind {
                EntryType::Regular | EntryType::Continuous => next.size.unwrap_or(written),
                _ => written,
            };
            let offset = at;
            // A size near the end of the numbers must not wrap around to a place already read.
            at = size
                .div_ceil(BLOCK)
                .checked_mul(BLOCK)
                .and_then(|padded| offset.checked_add(padded))
                .filter(|end| *end <= length.saturating_add(BLOCK))
                .ok_or_else(|| self.fault("", "the archive ends within it"))?;
            match kind {
                EntryType::GNULongName => next.name = Some(self.long_text(offset, size)?),
                EntryType::GNULongLink => next.link = Some(self.long_text(offset, size)?),
                EntryType::XHeader => self.extended(offset, size, &mut next)?,
                EntryType::XGlobalHeader => {}
                _ => {
                    let name = match next.name.take() {
                        Some(name) => name,
                        None => self.text(&header.path_bytes())?,
                    };
                    let link = match (next.link.take(), header.link_name_bytes()) {
                        (Some(link), _) => Some(link),
                        (None, Some(bytes)) => Some(self.text(&bytes)?),
                        (None, None) => None,
                    };
                    next = Pending::default();
                    self.add(&name, kind, link, offset, size, length)?;
                }
            }
        }
        if any {
            Ok(())
        } else {
            Err(self.fault("", "it is no tar archive"))
        }
    }

    fn add(
        &mut self,
        name: &str,
        kind: EntryType,
        link: Option<String>,
        offset: u64,
        size: u64,
        length: u64,
    ) -> Result<(), EngineError> {
        let Some(clean) = within(name) else {
            return Err(self.fault(name, "its path leaves the archive"));
        };
        let member = match kind {
            EntryType::Regular | EntryType::Continuous => {
                if offset.saturating_add(size) > length {
                    return Err(self.fault(name, "the archive ends within it"));
                }
                Member::File { offset, size }
            }
            EntryType::Directory => return Ok(()),
            EntryType::Symlink | EntryType::Link => {
                let link = link.unwrap_or_default();
                // A hard link's target counts from the archive's root, a symbolic link's from its folder.
                let target = match (kind, clean.rsplit_once('/')) {
                    _ if link.starts_with('/') => None,
                    (EntryType::Symlink, Some((folder, _))) => within(&format!("{folder}/{link}")),
                    _ => within(&link),
                };
                match target {
                    Some(target) => Member::Link(target),
                    None => return Err(self.fault(name, "its link leaves the archive")),
                }
            }
            other => {
                return Err(self.fault(name, &format!("entries of type {other:?} are refused")));
            }
        };
        if self.members.len() >= MEMBERS {
            return Err(self.fault(name, &format!("more than {MEMBERS} entries")));
        }
        if self.members.insert(clean, member).is_some() {
            return Err(self.fault(name, "it is in the archive twice"));
        }
        Ok(())
    }

    fn long_text(&self, offset: u64, size: u64) -> Result<String, EngineError> {
        let bytes = self.header_bytes(offset, size)?;
        let text = bytes.split(|b| *b == 0).next().unwrap_or_default();
        self.text(text)
    }

    fn header_bytes(&self, offset: u64, size: u64) -> Result<Vec<u8>, EngineError> {
        if size > LONG_HEADER {
            return Err(self.fault("", "a name is longer than 64 KiB"));
        }
        let mut bytes = Vec::new();
        Section {
            file: self.file.clone(),
            offset,
            end: offset + size,
        }
        .read_to_end(&mut bytes)
        .map_err(|e| io_error("read", &self.path, e))?;
        Ok(bytes)
    }

    /// Takes name, link and size out of a pax header: records of the form `length key=value\n`.
    fn extended(&self, offset: u64, size: u64, next: &mut Pending) -> Result<(), EngineError> {
        let bytes = self.header_bytes(offset, size)?;
        for record in tar::PaxExtensions::new(&bytes) {
            let record = record.map_err(|_| self.fault("", "an extended header is damaged"))?;
            match record.key_bytes() {
                b"path" => next.name = Some(self.text(record.value_bytes())?),
                b"linkpath" => next.link = Some(self.text(record.value_bytes())?),
                b"size" => {
                    let size = std::str::from_utf8(record.value_bytes())
                        .ok()
                        .and_then(|text| text.parse().ok())
                        .ok_or_else(|| self.fault("", "an extended header's size is no number"))?;
                    next.size = Some(size);
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn text(&self, bytes: &[u8]) -> Result<String, EngineError> {
        String::from_utf8(bytes.to_vec()).map_err(|e| {
            self.fault(
                &String::from_utf8_lossy(e.as_bytes()),
                "its name is no UTF-8",
            )
        })
    }
}

/// What headers before a member say about it.
#[derive(Default)]
struct Pending {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

fn check_sum(header: &tar::Header) -> Result<(), &'static str> {
    let bytes = header.as_bytes();
    // The sum counts its own eight bytes as spaces.
    let sum: u32 = bytes
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    match header.cksum() {
        Ok(written) if written == sum => Ok(()),
        _ => Err("a header's checksum is wrong"),
    }
}

/// A path without `.` and `..`; none when it leaves the archive or is empty.
fn within(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    // The archive's own folder (`./`) is a place, though not one with content.
    Some(parts.join("/"))
}

fn unpack(path: &Path, file: File, length: u64, scratch: &Path) -> Result<File, EngineError> {
    let limit = length.saturating_mul(RATIO).clamp(SMALL, UNPACKED);
    let mut plain = tempfile::tempfile_in(scratch).map_err(|e| io_error("write", scratch, e))?;
    let mut source = MultiGzDecoder::new(io::BufReader::with_capacity(1 << 17, file));
    let mut buffer = vec![0; 1 << 17];
    let mut total = 0;
    loop {
        let count = source.read(&mut buffer).map_err(|e| {
            EngineError::Input(format!("{}: cannot be unpacked: {e}", path.display()))
        })?;
        if count == 0 {
            break;
        }
        total += count as u64;
        if total > limit {
            return Err(EngineError::Input(format!(
                "{}: unpacks to more than {limit} bytes, which is refused",
                path.display()
            )));
        }
        plain
            .write_all(buffer.get(..count).unwrap_or_default())
            .map_err(|e| io_error("write", scratch, e))?;
    }
    plain
        .seek(SeekFrom::Start(0))
        .map_err(|e| io_error("read", scratch, e))?;
    Ok(plain)
}

/// A failed file operation as the store tells them, so that a full disk is tried again.
pub(crate) fn io_error(action: &'static str, path: &Path, source: io::Error) -> EngineError {
    EngineError::Store(StoreError::Io {
        action,
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_within() {
        for (path, expected) in [
            ("./a/b", Some("a/b")),
            ("a//b/", Some("a/b")),
            ("a/../b", Some("b")),
            ("a/../../b", None),
            ("/etc/passwd", None),
            ("..", None),
        ] {
            assert_eq!(within(path).as_deref(), expected, "{path}");
        }
    }

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            // Written by hand: the builder refuses the names these tests need.
            let field = &mut header.as_old_mut().name;
            field[..name.len()].copy_from_slice(name.as_bytes());
            let body = match kind {
                EntryType::Symlink | EntryType::Link => {
                    let field = &mut header.as_old_mut().linkname;
                    field[..content.len()].copy_from_slice(content.as_bytes());
                    ""
                }
                _ => content,
            };
            header.set_size(body.len() as u64);
            header.set_cksum();
            builder.append(&header, body.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn open(bytes: &[u8]) -> Result<TarFile, EngineError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar");
        std::fs::write(&path, bytes).unwrap();
        TarFile::open(&path, folder.path())
    }

    #[test]
    fn members_are_found_through_links_within_the_archive() {
        let bytes = archive(&[
            ("one/layer.tar", EntryType::Regular, "content"),
            ("two/layer.tar", EntryType::Symlink, "../one/layer.tar"),
            ("three", EntryType::Link, "two/layer.tar"),
            ("loop", EntryType::Symlink, "loop"),
        ]);
        let opened = open(&bytes).unwrap();
        assert_eq!(opened.read("three", 10).unwrap().unwrap(), b"content");
        assert_eq!(opened.read("absent", 10).unwrap(), None);
        assert!(opened.read("three", 3).is_err());
        assert!(
            opened
                .read("loop", 3)
                .unwrap_err()
                .to_string()
                .contains("do not end")
        );
    }

    #[test]
    fn archives_that_lead_astray_are_refused_with_the_entry_named() {
        let long = "x".repeat(70_000);
        for (entries, expected) in [
            (
                vec![("../evil", EntryType::Regular, "x")],
                "\"../evil\": its path leaves",
            ),
            (
                vec![("/etc/passwd", EntryType::Regular, "x")],
                "its path leaves",
            ),
            (
                vec![("a", EntryType::Symlink, "../../etc/passwd")],
                "its link leaves",
            ),
            (
                vec![("a", EntryType::Symlink, "/etc/passwd")],
                "its link leaves",
            ),
            (vec![("a", EntryType::Char, "")], "type Char"),
            (vec![("a", EntryType::Fifo, "")], "type Fifo"),
            (
                vec![
                    ("a", EntryType::Regular, ""),
                    ("./a", EntryType::Regular, ""),
                ],
                "twice",
            ),
            (
                vec![("n", EntryType::GNULongName, &long)],
                "longer than 64 KiB",
            ),
        ] {
            let error = open(&archive(&entries)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("a.tar"), "{error}");
        }
    }

    #[test]
    fn damaged_archives_are_refused() {
        let whole = archive(&[("a", EntryType::Regular, &"x".repeat(2000))]);
        for (bytes, expected) in [
            (whole[..1500].to_vec(), "ends within it"),
            (whole[..300].to_vec(), "ends within a header"),
            (b"hello".to_vec(), "ends within a header"),
            (vec![7; 4096], "no tar archive"),
            (Vec::new(), "no tar archive"),
            (vec![0x1f, 0x8b, 8, 0, 0], "cannot be unpacked"),
        ] {
            let error = open(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        let mut huge = whole.clone();
        huge[124..136].copy_from_slice(b"77777777777\0");
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&huge[..512]);
        header.set_cksum();
        huge[..512].copy_from_slice(header.as_bytes());
        let error = open(&huge).unwrap_err().to_string();
        assert!(error.contains("ends within it"), "{error}");
    }
}
