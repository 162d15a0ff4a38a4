//! The exported form: one zstd frame of lines. The first says what it is, each other is a record's JSON, in the order
//! of ids.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use quench_model::Digest;
use serde::{Deserialize, Serialize};

use super::Epoch;
use super::record::Record;
use super::store::{Draft, epoch_hasher};
use crate::Error;

const FORMAT: &str = "quench epoch";
const VERSION: u32 = 1;
/// Fast to read whatever it is; above this, files shrink little and take long to write.
const LEVEL: i32 = 12;
/// Longest line read.
const MAX_LINE: u64 = 64 << 20;
/// Most bytes unpacked: ten times all of OSV.
const MAX_TOTAL: u64 = 16 << 30;

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u32,
    digest: Digest,
    records: u64,
}

pub(super) fn export(epoch: &Epoch, path: &Path) -> Result<(), Error> {
    let header = Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        digest: epoch.digest.clone(),
        records: epoch.store.count()?,
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io(folder))?;
    {
        let mut writer = zstd::Encoder::new(BufWriter::new(&mut file), LEVEL)
            .and_then(|mut encoder| {
                encoder.include_checksum(true)?;
                Ok(encoder)
            })
            .map_err(Error::io(path))?;
        let mut line = |json: &[u8]| {
            writer
                .write_all(json)
                .and_then(|()| writer.write_all(b"\n"))
                .map_err(Error::io(path))
        };
        line(&serde_json::to_vec(&header).unwrap_or_default())?;
        epoch.store.each_record(&mut line)?;
        writer
            .finish()
            .and_then(|mut buffer| buffer.flush())
            .map_err(Error::io(path))?;
    }
    file.persist(path)
        .map_err(|error| Error::io(path)(error.error))?;
    Ok(())
}

pub(super) fn open(path: &Path, folder: &Path) -> Result<Epoch, Error> {
    let bad = |reason: &str| Error::BadExport {
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    let file = File::open(path).map_err(Error::io(path))?;
    let decoder = zstd::Decoder::new(file).map_err(Error::io(path))?;
    let mut lines = BufReader::new(decoder.take(MAX_TOTAL));
    let mut line = Vec::new();
    let mut next = |line: &mut Vec<u8>| -> Result<bool, Error> {
        line.clear();
        lines
            .by_ref()
            .take(MAX_LINE)
            .read_until(b'\n', line)
            .map_err(|error| bad(&error.to_string()))?;
        if line.is_empty() {
            return Ok(false);
        }
        if line.pop() == Some(b'\n') {
            Ok(true)
        } else {
            Err(bad("a line is cut off"))
        }
    };
    if !next(&mut line)? {
        return Err(bad("it is empty"));
    }
    let header: Header =
        serde_json::from_slice(&line).map_err(|_| bad("it does not start as one"))?;
    if header.format != FORMAT || header.version != VERSION {
        return Err(bad("it has another format or version"));
    }
    if let Some(epoch) = Epoch::load_if_kept(&header.digest, folder)? {
        return Ok(epoch);
    }
    let draft = Draft::new(folder)?;
    draft.fill(|put| {
        let mut hasher = epoch_hasher();
        let mut last = String::new();
        let mut count = 0;
        while next(&mut line)? {
            let record: Record =
                serde_json::from_slice(&line).map_err(|error| bad(&error.to_string()))?;
            if record.id <= last || record.to_json() != line {
                return Err(bad("its records are not in their normal form and order"));
            }
            hasher.field(&line);
            put(&record.id, &line)?;
            last = record.id;
            count += 1;
        }
        if count != header.records || hasher.finish() != header.digest {
            return Err(bad("its content is not what its header promises"));
        }
        Ok(())
    })?;
    let digest = draft.finish()?;
    Epoch::load(&digest, folder)
}
