//! Reading the members of a zip archive, one after the other, bounded.
//!
//! Just what `all.zip` exports need (PKWARE APPNOTE 6.3.10): members stored or deflated, ZIP64, no encryption, no spanning. The
//! central directory is the truth; sizes in it are promises that are checked while inflating.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::Error;

/// Most members of one archive; OSV's export of everything has about half a million.
const MAX_MEMBERS: u64 = 5_000_000;
/// Largest central directory read into memory: five times that of OSV's export of everything.
const MAX_DIRECTORY: u64 = 256 << 20;
/// Most bytes of all members together: members may share packed bytes, so the archive's own size says nothing.
const MAX_UNPACKED: u64 = 16 << 30;

const LOCAL: u32 = 0x0403_4b50;
const CENTRAL: u32 = 0x0201_4b50;
const END: u32 = 0x0605_4b50;
const END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;

/// An open archive.
pub(super) struct Archive {
    path: PathBuf,
    file: File,
    members: Vec<Member>,
}

/// A member, as the central directory describes it.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) name: String,
    method: u16,
    encrypted: bool,
    crc: u32,
    packed: u64,
    size: u64,
    offset: u64,
}

impl Archive {
    /// Reads the central directory.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let bad = |reason: &str| Error::Archive {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        let mut file = File::open(path).map_err(Error::io(path))?;
        let length = file.metadata().map_err(Error::io(path))?.len();
        // The end record has 22 bytes and a comment of at most 65,535.
        let tail_length = length.min(22 + 65_535);
        let tail_start = length.saturating_sub(tail_length);
        let tail = read_at(&mut file, tail_start, tail_length).map_err(Error::io(path))?;
        let end = tail
            .windows(4)
            .rposition(|bytes| bytes == END.to_le_bytes())
            .ok_or_else(|| bad("it has no end record; the download may be incomplete"))?;
        let mut fields = Fields(tail.get(end..).unwrap_or_default());
        let parsed = (|| {
            fields.skip(10)?;
            let count = u64::from(fields.u16()?);
            let size = u64::from(fields.u32()?);
            let offset = u64::from(fields.u32()?);
            Some((count, size, offset))
        })();
        let (mut count, mut size, mut offset) =
            parsed.ok_or_else(|| bad("its end record is cut off"))?;
        if count == 0xffff || size == 0xffff_ffff || offset == 0xffff_ffff {
            let at = end
                .checked_sub(20)
                .and_then(|at| tail.get(at..end))
                .and_then(|bytes| {
                    let mut fields = Fields(bytes);
                    (fields.u32()? == LOCATOR_64).then_some(())?;
                    fields.skip(4)?;
                    fields.u64()
                })
                .ok_or_else(|| bad("it is too large for a plain zip and has no zip64 record"))?;
            let record = read_at(&mut file, at, 56).map_err(Error::io(path))?;
            let mut fields = Fields(&record);
            (count, size, offset) = (|| {
                (fields.u32()? == END_64).then_some(())?;
                fields.skip(28)?;
                Some((fields.u64()?, fields.u64()?, fields.u64()?))
            })()
            .ok_or_else(|| bad("its zip64 record is damaged"))?;
        }
        if count > MAX_MEMBERS || size > MAX_DIRECTORY {
            return Err(bad("it has more members than any export of advisories"));
        }
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(bad("its directory lies outside of it"));
        }
        let directory = read_at(&mut file, offset, size).map_err(Error::io(path))?;
        let mut fields = Fields(&directory);
        let mut members = Vec::new();
        for _ in 0..count {
            members.push(member(&mut fields).ok_or_else(|| bad("its directory is damaged"))?);
        }
        let unpacked = members
            .iter()
            .fold(0_u64, |sum, member| sum.saturating_add(member.size));
        if unpacked > MAX_UNPACKED {
            return Err(bad("it unpacks to more than any export of advisories"));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            members,
        })
    }

    /// Its members, in the order of the directory.
    pub(super) fn members(&self) -> Vec<Member> {
        self.members.clone()
    }

    /// The bytes of a member, of at most `limit`; the inner error says why this member is bad, the outer that
    /// the archive cannot be read at all.
    pub(super) fn read(
        &mut self,
        member: &Member,
        limit: u64,
    ) -> Result<Result<Vec<u8>, String>, Error> {
        if member.encrypted {
            return Ok(Err("it is encrypted".to_owned()));
        }
        if member.size > limit {
            return Ok(Err(format!("it is larger than {limit} bytes")));
        }
        let header = read_at(&mut self.file, member.offset, 30).map_err(Error::io(&self.path))?;
        let mut fields = Fields(&header);
        let skip = (|| {
            (fields.u32()? == LOCAL).then_some(())?;
            fields.skip(22)?;
            Some(u64::from(fields.u16()?) + u64::from(fields.u16()?))
        })();
        let Some(skip) = skip else {
            return Ok(Err("its header is damaged".to_owned()));
        };
        let start = member.offset.saturating_add(30).saturating_add(skip);
        self.file
            .seek(SeekFrom::Start(start))
            .map_err(Error::io(&self.path))?;
        let packed = std::io::BufReader::new((&mut self.file).take(member.packed));
        let mut bytes = Vec::with_capacity(usize::try_from(member.size).unwrap_or_default());
        let read = match member.method {
            0 => packed.take(member.size + 1).read_to_end(&mut bytes),
            8 => flate2::bufread::DeflateDecoder::new(packed)
                .take(member.size + 1)
                .read_to_end(&mut bytes),
            method => return Ok(Err(format!("it is packed with unknown method {method}"))),
        };
        if let Err(error) = read {
            return Ok(Err(format!("it cannot be unpacked: {error}")));
        }
        let mut crc = flate2::Crc::new();
        crc.update(&bytes);
        if bytes.len() as u64 != member.size || crc.sum() != member.crc {
            return Ok(Err("its bytes are not those that were packed".to_owned()));
        }
        Ok(Ok(bytes))
    }
}

/// Reads one entry of the central directory.
fn member(fields: &mut Fields<'_>) -> Option<Member> {
    (fields.u32()? == CENTRAL).then_some(())?;
    fields.skip(4)?;
    let flags = fields.u16()?;
    let method = fields.u16()?;
    fields.skip(4)?;
    let crc = fields.u32()?;
    let mut packed = u64::from(fields.u32()?);
    let mut size = u64::from(fields.u32()?);
    let name_length = usize::from(fields.u16()?);
    let extra_length = usize::from(fields.u16()?);
    let comment_length = usize::from(fields.u16()?);
    fields.skip(8)?;
    let mut offset = u64::from(fields.u32()?);
    let name = String::from_utf8_lossy(fields.take(name_length)?).into_owned();
    let mut extra = Fields(fields.take(extra_length)?);
    fields.skip(comment_length)?;
    while let (Some(id), Some(length)) = (extra.u16(), extra.u16()) {
        let Some(value) = extra.take(usize::from(length)) else {
            break;
        };
        if id == 1 {
            // ZIP64: those of the three that did not fit above, in this order.
            let mut value = Fields(value);
            for field in [&mut size, &mut packed, &mut offset] {
                if *field == 0xffff_ffff {
                    *field = value.u64()?;
                }
            }
        }
    }
    Some(Member {
        name,
        method,
        encrypted: flags & 1 != 0,
        crc,
        packed,
        size,
        offset,
    })
}

fn read_at(file: &mut File, offset: u64, length: u64) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// Little-endian fields, read from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.take(length).map(|_| ())
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.try_into().ok().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}
