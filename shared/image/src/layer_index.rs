//! What a layer holds, on disk beside its uncompressed tar.
//!
//! A stream, not a table: written while the layer is walked and read while trees are merged, so that neither
//! holds more than one entry of it. Paths share their beginning with the path before.

use std::io::{self, Read, Write};

use quench_model::Digest;

use crate::Limits;
use crate::archive::{Kind, RawKind};

/// Changes whenever the form or the meaning of an index does; old ones are then made again.
const MAGIC: &[u8; 8] = b"quench1\n";

/// Totals of a layer, known at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub entries: u64,
    pub whiteouts: u64,
    pub tar_size: u64,
}

/// One entry of a layer with its path made relative to the root: no leading slash, no `.` and no `..`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub path: String,
    pub what: What,
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub mtime: i64,
    pub size: u64,
    pub offset: u64,
    /// Symbolic link's target as written, or hard link's as a path relative to the root.
    pub target: String,
    pub capability: Vec<u8>,
}

/// What an entry does to the tree below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum What {
    /// Puts something there.
    Is(Kind),
    /// Puts there what `target` already is.
    HardLink,
    /// Removes the path of lower layers.
    #[default]
    Whiteout,
    /// Removes what lower layers hold in the folder.
    Opaque,
}

impl From<RawKind> for What {
    fn from(kind: RawKind) -> Self {
        match kind {
            RawKind::Is(kind) => Self::Is(kind),
            RawKind::HardLink => Self::HardLink,
        }
    }
}

const CODES: [(u8, What); 9] = [
    (0, What::Is(Kind::File)),
    (1, What::Is(Kind::Folder)),
    (2, What::Is(Kind::Symlink)),
    (3, What::Is(Kind::CharDevice)),
    (4, What::Is(Kind::BlockDevice)),
    (5, What::Is(Kind::Fifo)),
    (6, What::HardLink),
    (7, What::Whiteout),
    (8, What::Opaque),
];
const END: u8 = 0xff;

/// Writes an index.
pub(crate) struct IndexWriter<W> {
    out: W,
    last: String,
    totals: Totals,
}

impl<W: Write> IndexWriter<W> {
    pub fn new(mut out: W) -> io::Result<Self> {
        out.write_all(MAGIC)?;
        Ok(Self {
            out,
            last: String::new(),
            totals: Totals::default(),
        })
    }

    pub fn entries(&self) -> u64 {
        self.totals.entries
    }

    pub fn push(&mut self, entry: &IndexEntry) -> io::Result<()> {
        let code = CODES.iter().find(|(_, what)| *what == entry.what);
        self.out.write_all(&[code.map_or(END, |(code, _)| *code)])?;
        let mut shared = self
            .last
            .bytes()
            .zip(entry.path.bytes())
            .take_while(|(a, b)| a == b)
            .count();
        while !entry.path.is_char_boundary(shared) {
            shared -= 1;
        }
        let rest = entry.path.get(shared..).unwrap_or_default();
        self.number(shared as u64)?;
        self.bytes(rest.as_bytes())?;
        self.last.clone_from(&entry.path);
        self.totals.entries += 1;
        if matches!(entry.what, What::Whiteout | What::Opaque) {
            self.totals.whiteouts += 1;
            return Ok(());
        }
        self.number(u64::from(entry.mode))?;
        self.number(u64::from(entry.uid))?;
        self.number(u64::from(entry.gid))?;
        self.number(entry.mtime.cast_unsigned())?;
        self.number(entry.size)?;
        self.number(entry.offset)?;
        self.bytes(entry.target.as_bytes())?;
        self.bytes(&entry.capability)
    }

    /// Ends the index. The totals come last, since that is when they are known.
    pub fn finish(mut self, diff_id: &Digest, tar_size: u64) -> io::Result<(W, Totals)> {
        self.totals.tar_size = tar_size;
        let totals = self.totals.clone();
        self.out.write_all(&[END])?;
        self.out.write_all(&totals_bytes(diff_id, &totals))?;
        self.out.flush()?;
        Ok((self.out, totals))
    }

    fn number(&mut self, mut value: u64) -> io::Result<()> {
        let mut buffer = [0u8; 10];
        let mut length = 0;
        for slot in &mut buffer {
            length += 1;
            *slot = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                break;
            }
            *slot |= 0x80;
        }
        self.out.write_all(buffer.get(..length).unwrap_or_default())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.number(bytes.len() as u64)?;
        self.out.write_all(bytes)
    }
}

/// Length of what [`IndexWriter::finish`] writes after the end mark.
pub(crate) const TRAILER: u64 = 32 + 3 * 8;

fn totals_bytes(diff_id: &Digest, totals: &Totals) -> Vec<u8> {
    let mut bytes = diff_id.as_bytes().to_vec();
    for number in [totals.entries, totals.whiteouts, totals.tar_size] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

/// Totals from the last [`TRAILER`] bytes of an index, if they are those of this layer.
pub(crate) fn read_trailer(bytes: &[u8], diff_id: &Digest) -> Option<Totals> {
    let numbers = bytes.strip_prefix(diff_id.as_bytes())?;
    let mut numbers = numbers
        .chunks_exact(8)
        .filter_map(|chunk| chunk.try_into().ok().map(u64::from_le_bytes));
    Some(Totals {
        entries: numbers.next()?,
        whiteouts: numbers.next()?,
        tar_size: numbers.next()?,
    })
}

/// Reads an index entry by entry.
pub(crate) struct IndexReader<R> {
    input: R,
    path_limit: usize,
}

impl<R: Read> IndexReader<R> {
    pub fn new(mut input: R, limits: &Limits) -> io::Result<Self> {
        let mut magic = [0; MAGIC.len()];
        input.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a layer index of this version",
            ));
        }
        Ok(Self {
            input,
            // The text form of a name that is no UTF-8 takes four bytes for one.
            path_limit: limits.path.saturating_mul(4),
        })
    }

    /// Reads the next entry over `entry`; false at the end.
    pub fn next_into(&mut self, entry: &mut IndexEntry) -> io::Result<bool> {
        let mut code = [0];
        self.input.read_exact(&mut code)?;
        let [code] = code;
        if code == END {
            return Ok(false);
        }
        entry.what = CODES
            .iter()
            .find(|(known, _)| *known == code)
            .map(|(_, what)| *what)
            .ok_or_else(damaged)?;
        let shared = self.number()?;
        let shared = usize::try_from(shared).map_err(|_| damaged())?;
        if !entry.path.is_char_boundary(shared) {
            return Err(damaged());
        }
        entry.path.truncate(shared);
        let rest = self.text()?;
        entry.path.push_str(&rest);
        if matches!(entry.what, What::Whiteout | What::Opaque) {
            return Ok(true);
        }
        entry.mode = u16::try_from(self.number()?).map_err(|_| damaged())?;
        entry.uid = u32::try_from(self.number()?).map_err(|_| damaged())?;
        entry.gid = u32::try_from(self.number()?).map_err(|_| damaged())?;
        entry.mtime = self.number()?.cast_signed();
        entry.size = self.number()?;
        entry.offset = self.number()?;
        entry.target = self.text()?;
        entry.capability = self.bytes()?;
        Ok(true)
    }

    fn number(&mut self) -> io::Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.input.read_exact(&mut byte)?;
            let [byte] = byte;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(damaged())
    }

    fn bytes(&mut self) -> io::Result<Vec<u8>> {
        let length = usize::try_from(self.number()?).map_err(|_| damaged())?;
        if length > self.path_limit {
            return Err(damaged());
        }
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self) -> io::Result<String> {
        String::from_utf8(self.bytes()?).map_err(|_| damaged())
    }
}

fn damaged() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "damaged layer index")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<IndexEntry>> {
        let entry = (
            "[a-zé/]{0,20}",
            0usize..CODES.len(),
            any::<(u16, u32, u32, i64, u64, u64)>(),
            "[a-z/]{0,10}",
            proptest::collection::vec(any::<u8>(), 0..24),
        );
        let entry = entry.prop_map(|(path, code, numbers, target, capability)| {
            let what = CODES[code].1;
            if matches!(what, What::Whiteout | What::Opaque) {
                return IndexEntry {
                    path,
                    what,
                    ..IndexEntry::default()
                };
            }
            let (mode, uid, gid, mtime, size, offset) = numbers;
            IndexEntry {
                path,
                what,
                mode,
                uid,
                gid,
                mtime,
                size,
                offset,
                target,
                capability,
            }
        });
        proptest::collection::vec(entry, 0..30)
    }

    proptest! {
        #[test]
        fn an_index_reads_back_as_it_was_written(entries in entries()) {
            let mut writer = IndexWriter::new(Vec::new()).unwrap();
            for entry in &entries {
                writer.push(entry).unwrap();
            }
            let diff_id = Digest::of(b"layer");
            let (bytes, totals) = writer.finish(&diff_id, 7).unwrap();
            let trailer = &bytes[bytes.len() - TRAILER as usize..];
            prop_assert_eq!(read_trailer(trailer, &diff_id), Some(totals));
            prop_assert_eq!(read_trailer(trailer, &Digest::of(b"other")), None);
            let mut reader = IndexReader::new(&bytes[..], &Limits::default()).unwrap();
            let mut entry = IndexEntry::default();
            for expected in &entries {
                prop_assert!(reader.next_into(&mut entry).unwrap());
                prop_assert_eq!((&entry.path, entry.what), (&expected.path, expected.what));
                if !matches!(entry.what, What::Whiteout | What::Opaque) {
                    prop_assert_eq!(&entry, expected);
                }
            }
            prop_assert!(!reader.next_into(&mut entry).unwrap());
        }

        #[test]
        fn damaged_indexes_end_in_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [MAGIC.as_slice(), &bytes].concat();
            let mut reader = IndexReader::new(&bytes[..], &Limits::default()).unwrap();
            let mut entry = IndexEntry::default();
            while let Ok(true) = reader.next_into(&mut entry) {}
        }
    }
}
