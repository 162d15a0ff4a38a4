//! The database of an epoch.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use quench_model::{Digest, Hasher};
use redb::{
    Database, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, ReadableTable,
    ReadableTableMetadata, TableDefinition,
};
use tempfile::NamedTempFile;

use super::names::vendor_rank;
use super::record::Record;
use super::row::Row;
use super::{Coverage, PackageKey};
use crate::Error;
use crate::osv::is_cve;

/// Advisory id → the record's JSON, the digested form.
const RECORDS: TableDefinition<&str, &[u8]> = TableDefinition::new("records");
/// Advisory id → hash over what decides matches; told apart from the rest so that a diff reads little.
const DECISIVE: TableDefinition<&str, [u8; 32]> = TableDefinition::new("decisive");
/// Ecosystem, package name and advisory id, each but the last ended by a zero → [`Row`].
const AFFECTED: TableDefinition<&[u8], &[u8]> = TableDefinition::new("affected");
/// CVE → the CVSS vector it has where nobody who names a package gives one.
const SCORES: TableDefinition<&str, &str> = TableDefinition::new("scores");
/// CVE and advisory id, parted by a zero: who speaks of a CVE.
const SPEAKERS: TableDefinition<&[u8], ()> = TableDefinition::new("speakers");
/// What is known of the whole.
const ABOUT: TableDefinition<&str, &[u8]> = TableDefinition::new("about");

/// Changes when the database's content does for the same records: version keys, rows, tables.
const INDEX_VERSION: &str = "3";

/// Where the database of an epoch lies.
pub(super) fn path_of(digest: &Digest, folder: &Path) -> PathBuf {
    folder.join(format!("{}.{INDEX_VERSION}.redb", digest.hex()))
}

/// An epoch's database, open for reading; any number of processes may have it open.
pub(super) struct Store {
    path: PathBuf,
    database: ReadOnlyDatabase,
}

impl Store {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self {
            path: path.to_owned(),
            database: ReadOnlyDatabase::open(path).map_err(Error::database(path))?,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn table<K: redb::Key + 'static, V: redb::Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, Error> {
        let transaction = self
            .database
            .begin_read()
            .map_err(Error::database(&self.path))?;
        transaction
            .open_table(definition)
            .map_err(Error::database(&self.path))
    }

    pub(super) fn coverage(&self) -> Result<Coverage, Error> {
        let about = self.table(ABOUT)?;
        let value = about.get("coverage").map_err(Error::database(&self.path))?;
        value
            .and_then(|value| serde_json::from_slice(value.value()).ok())
            .ok_or_else(|| self.damaged("coverage"))
    }

    pub(super) fn reader(&self) -> Result<Reader<'_>, Error> {
        Ok(Reader {
            store: self,
            records: self.table(RECORDS)?,
            affected: self.table(AFFECTED)?,
            scores: self.table(SCORES)?,
            speakers: self.table(SPEAKERS)?,
        })
    }

    /// Gives every record's JSON, in the order of ids.
    pub(super) fn each_record(
        &self,
        mut take: impl FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let records = self.table(RECORDS)?;
        for entry in records.iter().map_err(Error::database(&self.path))? {
            let (_, json) = entry.map_err(Error::database(&self.path))?;
            take(json.value())?;
        }
        Ok(())
    }

    pub(super) fn count(&self) -> Result<u64, Error> {
        self.table(RECORDS)?
            .len()
            .map_err(Error::database(&self.path))
    }

    /// Ids and decisive hashes, in the order of ids.
    pub(super) fn decisive(
        &self,
    ) -> Result<impl Iterator<Item = Result<(String, [u8; 32]), Error>> + '_, Error> {
        let table = self.table(DECISIVE)?;
        let range = table
            .range::<&str>(..)
            .map_err(Error::database(&self.path))?;
        Ok(range.map(|entry| {
            let (id, hash) = entry.map_err(Error::database(&self.path))?;
            Ok((id.value().to_owned(), hash.value()))
        }))
    }

    /// CVEs and their vectors, in the order of CVEs.
    pub(super) fn scores(
        &self,
    ) -> Result<impl Iterator<Item = Result<(String, String), Error>> + '_, Error> {
        let table = self.table(SCORES)?;
        let range = table
            .range::<&str>(..)
            .map_err(Error::database(&self.path))?;
        Ok(range.map(|entry| {
            let (cve, vector) = entry.map_err(Error::database(&self.path))?;
            Ok((cve.value().to_owned(), vector.value().to_owned()))
        }))
    }

    fn damaged(&self, key: &str) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            key: key.to_owned(),
        }
    }
}

/// Tables open for many questions.
pub(super) struct Reader<'a> {
    store: &'a Store,
    records: ReadOnlyTable<&'static str, &'static [u8]>,
    affected: ReadOnlyTable<&'static [u8], &'static [u8]>,
    scores: ReadOnlyTable<&'static str, &'static str>,
    speakers: ReadOnlyTable<&'static [u8], ()>,
}

impl Reader<'_> {
    /// Every advisory that names a package, with the versions it affects.
    pub(super) fn rows(&self, package: &PackageKey) -> Result<Vec<(String, Row)>, Error> {
        let start = row_key(package, "");
        let mut end = start.clone();
        // Past every id: ids do not hold the byte that ends the name.
        if let Some(last) = end.last_mut() {
            *last = 1;
        }
        let path = &self.store.path;
        let range = self
            .affected
            .range::<&[u8]>(start.as_slice()..end.as_slice())
            .map_err(Error::database(path))?;
        let mut rows = Vec::new();
        for entry in range {
            let (key, row) = entry.map_err(Error::database(path))?;
            let id = key.value().get(start.len()..).unwrap_or_default();
            let id = String::from_utf8_lossy(id).into_owned();
            let row = Row::decode(row.value()).ok_or_else(|| self.store.damaged(&id))?;
            rows.push((id, row));
        }
        Ok(rows)
    }

    /// The vector a CVE has by the word of those who score it.
    pub(super) fn score(&self, cve: &str) -> Result<Option<String>, Error> {
        let vector = self
            .scores
            .get(cve)
            .map_err(Error::database(&self.store.path))?;
        Ok(vector.map(|vector| vector.value().to_owned()))
    }

    /// Ids of the advisories that speak of a CVE.
    pub(super) fn speakers(&self, cve: &str) -> Result<Vec<String>, Error> {
        let start = speaker_key(cve, "");
        let mut end = start.clone();
        if let Some(last) = end.last_mut() {
            *last = 1;
        }
        let range = self
            .speakers
            .range::<&[u8]>(start.as_slice()..end.as_slice())
            .map_err(Error::database(&self.store.path))?;
        let mut ids = Vec::new();
        for entry in range {
            let (key, ()) = {
                let (key, value) = entry.map_err(Error::database(&self.store.path))?;
                (key.value().to_vec(), value.value())
            };
            let id = key.get(start.len()..).unwrap_or_default();
            ids.push(String::from_utf8_lossy(id).into_owned());
        }
        Ok(ids)
    }

    /// An advisory.
    pub(super) fn record(&self, id: &str) -> Result<Option<Record>, Error> {
        let json = self
            .records
            .get(id)
            .map_err(Error::database(&self.store.path))?;
        json.map(|json| serde_json::from_slice(json.value()).map_err(|_| self.store.damaged(id)))
            .transpose()
    }
}

/// A package's key is followed by the advisory's id. Names hold no control characters, so the zeros keep parts apart.
fn row_key(package: &PackageKey, id: &str) -> Vec<u8> {
    let mut key = Vec::new();
    for part in [package.ecosystem.as_str(), &package.name] {
        key.extend(part.as_bytes());
        key.push(0);
    }
    key.extend(id.as_bytes());
    key
}

fn speaker_key(cve: &str, id: &str) -> Vec<u8> {
    [cve.as_bytes(), &[0], id.as_bytes()].concat()
}

/// A database being filled, under a temporary name until it is whole.
pub(super) struct Draft {
    file: NamedTempFile,
    database: Database,
    folder: PathBuf,
}

impl Draft {
    pub(super) fn new(folder: &Path) -> Result<Self, Error> {
        std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        let file = tempfile::Builder::new()
            .prefix(".draft-")
            .tempfile_in(folder)
            .map_err(Error::io(folder))?;
        let database = Database::create(file.path()).map_err(Error::database(file.path()))?;
        Ok(Self {
            file,
            database,
            folder: folder.to_owned(),
        })
    }

    /// Puts records in; `fill` gets a function that takes one, with its id, and whether it replaces one with that id.
    pub(super) fn fill<T>(
        &self,
        fill: impl FnOnce(&mut dyn FnMut(&str, &[u8]) -> Result<(), Error>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let path = self.file.path();
        let transaction = self.database.begin_write().map_err(Error::database(path))?;
        let filled = {
            let mut table = transaction
                .open_table(RECORDS)
                .map_err(Error::database(path))?;
            fill(&mut |id, json| {
                table
                    .insert(id, json)
                    .map(|_| ())
                    .map_err(Error::database(path))
            })?
        };
        transaction.commit().map_err(Error::database(path))?;
        Ok(filled)
    }

    /// Indexes what was put in, and gives the database its place. Returns the epoch's digest.
    pub(super) fn finish(self) -> Result<Digest, Error> {
        let path = self.file.path();
        let mut hasher = epoch_hasher();
        let mut coverage = Coverage::default();
        let transaction = self.database.begin_write().map_err(Error::database(path))?;
        {
            let records = transaction
                .open_table(RECORDS)
                .map_err(Error::database(path))?;
            let mut affected = transaction
                .open_table(AFFECTED)
                .map_err(Error::database(path))?;
            let mut decisive = transaction
                .open_table(DECISIVE)
                .map_err(Error::database(path))?;
            let mut scores = transaction
                .open_table(SCORES)
                .map_err(Error::database(path))?;
            let mut speakers = transaction
                .open_table(SPEAKERS)
                .map_err(Error::database(path))?;
            // Who gave the score that is kept: the CVE's own record before GitHub's before a vendor's, then by id.
            let mut scorers: BTreeMap<String, (u8, String)> = BTreeMap::new();
            let mut about = transaction
                .open_table(ABOUT)
                .map_err(Error::database(path))?;
            for entry in records.iter().map_err(Error::database(path))? {
                let (id, json) = entry.map_err(Error::database(path))?;
                hasher.field(json.value());
                let mut record: Record =
                    serde_json::from_slice(json.value()).map_err(|_| Error::Damaged {
                        path: path.to_owned(),
                        key: id.value().to_owned(),
                    })?;
                let ecosystems: BTreeSet<_> = record
                    .affected
                    .iter()
                    .map(|entry| &entry.package.ecosystem)
                    .collect();
                for ecosystem in ecosystems {
                    *coverage.0.entry(ecosystem.clone()).or_default() += 1;
                }
                for entry in &record.affected {
                    let row = Row::of(entry);
                    if !row.is_empty() {
                        affected
                            .insert(
                                row_key(&entry.package, &record.id).as_slice(),
                                row.encode().as_slice(),
                            )
                            .map_err(Error::database(path))?;
                    }
                }
                for cve in record.vulnerabilities.iter().filter(|name| is_cve(name)) {
                    speakers
                        .insert(speaker_key(cve, &record.id).as_slice(), ())
                        .map_err(Error::database(path))?;
                }
                if let Some((cve, vector)) = record.scores() {
                    let rank = (2 - vendor_rank(&record.id).min(2), record.id.clone());
                    if scorers.get(cve).is_none_or(|kept| rank < *kept) {
                        scores.insert(cve, vector).map_err(Error::database(path))?;
                        scorers.insert(cve.to_owned(), rank);
                    }
                }
                // Better words and more links change no finding.
                record.summary.clear();
                record.references.clear();
                let hash = Digest::of(record.to_json());
                decisive
                    .insert(id.value(), hash.as_bytes())
                    .map_err(Error::database(path))?;
            }
            let json = serde_json::to_vec(&coverage).unwrap_or_default();
            about
                .insert("coverage", json.as_slice())
                .map_err(Error::database(path))?;
        }
        transaction.commit().map_err(Error::database(path))?;
        let digest = hasher.finish();
        let target = path_of(&digest, &self.folder);
        drop(self.database);
        self.file
            .persist(&target)
            .map_err(|error| Error::io(&target)(error.error))?;
        Ok(digest)
    }
}

/// The digest of an epoch is taken over its records' JSON in the order of ids.
pub(super) fn epoch_hasher() -> Hasher {
    let mut hasher = Hasher::new();
    hasher.field(b"quench epoch 1");
    hasher
}
