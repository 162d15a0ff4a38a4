//! Who holds a package: the index from advisories back to stored lists of components.
//!
//! A list is what one image holds. Lists are numbered; a component's holders are kept in pieces of 1024 numbers, so
//! that adding a list rewrites little, however many hold the same component already.

use std::path::{Path, PathBuf};

use quench_model::Digest;
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Component, Error, PackageKey};

/// Ecosystem and name (each ended by a zero), component (16 bytes of its digest), piece (4 bytes) → numbers of
/// lists in that piece, 2 bytes each, ascending.
const HOLDERS: TableDefinition<&[u8], &[u8]> = TableDefinition::new("holders");
/// Digest of a component, its first 16 bytes → the component's JSON.
const COMPONENTS: TableDefinition<[u8; 16], &[u8]> = TableDefinition::new("components");
/// Number of a list → its caller's description and the keys it has in [`HOLDERS`], for taking it out again.
const LISTS: TableDefinition<u32, &[u8]> = TableDefinition::new("lists");
/// What the caller wants to remember, by its own keys.
const NOTES: TableDefinition<&str, &[u8]> = TableDefinition::new("notes");

/// Lists in one piece.
const PIECE: u32 = 1024;

/// A component, and the numbers of the lists that hold it, ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// The component.
    pub component: Component,
    /// Numbers of the lists that hold it.
    pub lists: Vec<u32>,
}

/// From package names to components to the lists that hold them. One process may have it open at a time.
pub struct ReverseIndex {
    path: PathBuf,
    database: Database,
}

impl ReverseIndex {
    /// Opens the index in a file, making it where there is none.
    ///
    /// # Errors
    /// When the file cannot be used, or another process has it open.
    pub fn open(path: &Path) -> Result<Self, Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let database = Database::create(path).map_err(Error::database(path))?;
        let index = Self {
            path: path.to_owned(),
            database,
        };
        // Tables exist from the first writing on; make them, so that reading need not ask.
        index.write(|transaction| {
            index.table(transaction.open_table(HOLDERS))?;
            index.table(transaction.open_table(COMPONENTS))?;
            index.table(transaction.open_table(LISTS))?;
            index.table(transaction.open_table(NOTES))?;
            Ok(())
        })?;
        Ok(index)
    }

    /// Adds a list of components; gives its number.
    ///
    /// # Errors
    /// When the database fails.
    pub fn insert<T: Serialize>(
        &self,
        description: &T,
        components: &[Component],
    ) -> Result<u32, Error> {
        self.write(|transaction| {
            let mut lists = self.table(transaction.open_table(LISTS))?;
            let mut holders = self.table(transaction.open_table(HOLDERS))?;
            let mut stored = self.table(transaction.open_table(COMPONENTS))?;
            let number = match lists.last().map_err(Error::database(&self.path))? {
                Some((last, _)) => last.value().saturating_add(1),
                None => 0,
            };
            let mut keys: Vec<Vec<u8>> = Vec::new();
            for component in components {
                let Some(package) = PackageKey::of(component) else {
                    continue;
                };
                let json = serde_json::to_vec(component).unwrap_or_default();
                let short = short(&json);
                stored
                    .insert(short, json.as_slice())
                    .map_err(Error::database(&self.path))?;
                let key = key(&package, &short, number / PIECE);
                let mut numbers = match holders
                    .get(key.as_slice())
                    .map_err(Error::database(&self.path))?
                {
                    Some(numbers) => numbers.value().to_vec(),
                    None => Vec::new(),
                };
                let own = u16::try_from(number % PIECE)
                    .unwrap_or_default()
                    .to_be_bytes();
                if !numbers.ends_with(&own) {
                    numbers.extend(own);
                    holders
                        .insert(key.as_slice(), numbers.as_slice())
                        .map_err(Error::database(&self.path))?;
                }
                keys.push(key);
            }
            keys.sort();
            keys.dedup();
            let description = serde_json::to_vec(description).unwrap_or_default();
            lists
                .insert(number, frame(&description, &keys).as_slice())
                .map_err(Error::database(&self.path))?;
            Ok(number)
        })
    }

    /// Takes a list out.
    ///
    /// # Errors
    /// When the database fails.
    pub fn remove(&self, number: u32) -> Result<(), Error> {
        self.write(|transaction| {
            let mut lists = self.table(transaction.open_table(LISTS))?;
            let mut holders = self.table(transaction.open_table(HOLDERS))?;
            let framed = match lists.remove(number).map_err(Error::database(&self.path))? {
                Some(framed) => framed.value().to_vec(),
                None => return Ok(()),
            };
            let (_, keys) = unframe(&framed).ok_or_else(|| self.damaged(number))?;
            let own = u16::try_from(number % PIECE)
                .unwrap_or_default()
                .to_be_bytes();
            for key in keys {
                let left: Vec<u8> = match holders.get(key).map_err(Error::database(&self.path))? {
                    Some(numbers) => numbers
                        .value()
                        .chunks_exact(2)
                        .filter(|number| **number != own)
                        .flatten()
                        .copied()
                        .collect(),
                    None => continue,
                };
                if left.is_empty() {
                    holders.remove(key).map_err(Error::database(&self.path))?;
                } else {
                    holders
                        .insert(key, left.as_slice())
                        .map_err(Error::database(&self.path))?;
                }
            }
            Ok(())
        })
    }

    /// Every component of a package, with the lists that hold it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn holders(&self, package: &PackageKey) -> Result<Vec<Indexed>, Error> {
        let transaction = self.read()?;
        let holders = self.table(transaction.open_table(HOLDERS))?;
        let components = self.table(transaction.open_table(COMPONENTS))?;
        let start = name_key(package);
        let mut end = start.clone();
        if let Some(last) = end.last_mut() {
            *last = 1;
        }
        let mut found: Vec<([u8; 16], Vec<u32>)> = Vec::new();
        let range = holders
            .range::<&[u8]>(start.as_slice()..end.as_slice())
            .map_err(Error::database(&self.path))?;
        for entry in range {
            let (key, numbers) = entry.map_err(Error::database(&self.path))?;
            let rest = key.value().get(start.len()..).unwrap_or_default();
            let parts = rest.split_at_checked(16).and_then(|(short, piece)| {
                Some((
                    <[u8; 16]>::try_from(short).ok()?,
                    u32::from_be_bytes(piece.try_into().ok()?),
                ))
            });
            let (short, piece) = parts.ok_or_else(|| self.damaged(&package.name))?;
            let numbers = numbers.value().chunks_exact(2).filter_map(|number| {
                let own = u16::from_be_bytes(number.try_into().ok()?);
                Some(piece.saturating_mul(PIECE).saturating_add(u32::from(own)))
            });
            match found.last_mut() {
                Some((last, lists)) if *last == short => lists.extend(numbers),
                _ => found.push((short, numbers.collect())),
            }
        }
        found
            .into_iter()
            .map(|(short, lists)| {
                let json = components.get(short).map_err(Error::database(&self.path))?;
                let component = json
                    .and_then(|json| serde_json::from_slice(json.value()).ok())
                    .ok_or_else(|| self.damaged(&package.name))?;
                Ok(Indexed { component, lists })
            })
            .collect()
    }

    /// Every list: its number and description, ascending.
    ///
    /// # Errors
    /// When the database fails.
    pub fn lists<T: DeserializeOwned>(&self) -> Result<Vec<(u32, T)>, Error> {
        let transaction = self.read()?;
        let lists = self.table(transaction.open_table(LISTS))?;
        let mut all = Vec::new();
        for entry in lists.iter().map_err(Error::database(&self.path))? {
            let (number, framed) = entry.map_err(Error::database(&self.path))?;
            let description = unframe(framed.value())
                .and_then(|(description, _)| serde_json::from_slice(description).ok())
                .ok_or_else(|| self.damaged(number.value()))?;
            all.push((number.value(), description));
        }
        Ok(all)
    }

    /// How many lists there are.
    ///
    /// # Errors
    /// When the database fails.
    pub fn len(&self) -> Result<u64, Error> {
        let transaction = self.read()?;
        let lists = self.table(transaction.open_table(LISTS))?;
        lists.len().map_err(Error::database(&self.path))
    }

    /// Whether there is no list.
    ///
    /// # Errors
    /// When the database fails.
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.len()? == 0)
    }

    /// What was remembered under a key. A note that cannot be read is none.
    ///
    /// # Errors
    /// When the database fails.
    pub fn note<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let transaction = self.read()?;
        let notes = self.table(transaction.open_table(NOTES))?;
        let note = notes.get(key).map_err(Error::database(&self.path))?;
        Ok(note.and_then(|note| serde_json::from_slice(note.value()).ok()))
    }

    /// Remembers something under a key, or forgets it.
    ///
    /// # Errors
    /// When the database fails.
    pub fn set_note<T: Serialize>(&self, key: &str, note: Option<&T>) -> Result<(), Error> {
        self.write(|transaction| {
            let mut notes = self.table(transaction.open_table(NOTES))?;
            match note {
                Some(note) => {
                    let json = serde_json::to_vec(note).unwrap_or_default();
                    notes.insert(key, json.as_slice()).map(|_| ())
                }
                None => notes.remove(key).map(|_| ()),
            }
            .map_err(Error::database(&self.path))
        })
    }

    fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let transaction = self
            .database
            .begin_write()
            .map_err(Error::database(&self.path))?;
        let done = work(&transaction)?;
        transaction.commit().map_err(Error::database(&self.path))?;
        Ok(done)
    }

    fn read(&self) -> Result<redb::ReadTransaction, Error> {
        self.database
            .begin_read()
            .map_err(Error::database(&self.path))
    }

    fn table<T>(&self, table: Result<T, redb::TableError>) -> Result<T, Error> {
        table.map_err(Error::database(&self.path))
    }

    fn damaged(&self, key: impl ToString) -> Error {
        Error::Damaged {
            path: self.path.clone(),
            key: key.to_string(),
        }
    }
}

fn short(json: &[u8]) -> [u8; 16] {
    let mut short = [0; 16];
    short
        .iter_mut()
        .zip(Digest::of(json).as_bytes())
        .for_each(|(to, from)| *to = *from);
    short
}

fn name_key(package: &PackageKey) -> Vec<u8> {
    let mut key = Vec::new();
    for part in [package.ecosystem.as_str(), &package.name] {
        key.extend(part.as_bytes());
        key.push(0);
    }
    key
}

fn key(package: &PackageKey, short: &[u8; 16], piece: u32) -> Vec<u8> {
    let mut key = name_key(package);
    key.extend(short);
    key.extend(piece.to_be_bytes());
    key
}

/// A description and keys in one value: each after its length.
fn frame(description: &[u8], keys: &[Vec<u8>]) -> Vec<u8> {
    let mut framed = Vec::new();
    for part in std::iter::once(description).chain(keys.iter().map(Vec::as_slice)) {
        framed.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        framed.extend(part);
    }
    framed
}

fn unframe(mut framed: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let mut parts = Vec::new();
    while !framed.is_empty() {
        let (length, rest) = framed.split_at_checked(4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?);
        let (part, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
        parts.push(part);
        framed = rest;
    }
    let mut parts = parts.into_iter();
    Some((parts.next()?, parts.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(name: &str, version: &str) -> Component {
        Component::new(format!("pkg:pypi/{name}@{version}"), name, version, None)
    }

    fn holders(index: &ReverseIndex, name: &str) -> Vec<(String, Vec<u32>)> {
        let package = PackageKey::of(&component(name, "1")).unwrap();
        let mut found: Vec<_> = index
            .holders(&package)
            .unwrap()
            .into_iter()
            .map(|found| (found.component.version, found.lists))
            .collect();
        found.sort();
        found
    }

    #[test]
    fn lists_are_found_by_what_they_hold_until_they_are_taken_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/index.redb");
        let index = ReverseIndex::open(&path).unwrap();
        let one = index
            .insert(
                &"one",
                &[
                    component("X", "1"),
                    component("y", "1"),
                    component("x", "1"),
                ],
            )
            .unwrap();
        let two = index
            .insert(&"two", &[component("x", "2"), component("y", "1")])
            .unwrap();
        assert_eq!(
            holders(&index, "x").len(),
            3,
            "X and x are written differently, and one name"
        );
        assert_eq!(holders(&index, "y"), [("1".to_owned(), vec![one, two])]);
        index.set_note("key", Some(&7)).unwrap();
        drop(index);
        let index = ReverseIndex::open(&path).unwrap();
        assert_eq!(index.note::<u32>("key").unwrap(), Some(7));
        index.remove(one).unwrap();
        index.remove(one).unwrap();
        assert_eq!(holders(&index, "y"), [("1".to_owned(), vec![two])]);
        assert_eq!(holders(&index, "x"), [("2".to_owned(), vec![two])]);
        assert_eq!(index.lists::<String>().unwrap(), [(two, "two".to_owned())]);
    }

    #[test]
    fn pieces_hold_any_number_of_lists() {
        let folder = tempfile::tempdir().unwrap();
        let index = ReverseIndex::open(&folder.path().join("index.redb")).unwrap();
        index
            .write(|transaction| {
                // Pretend that many lists are there already: numbers go on after the last.
                let mut lists = index.table(transaction.open_table(LISTS))?;
                lists
                    .insert(PIECE * 3 - 2, frame(b"\"x\"", &[]).as_slice())
                    .map(|_| ())
                    .map_err(Error::database(&index.path))
            })
            .unwrap();
        let numbers: Vec<u32> = (0..4)
            .map(|at| index.insert(&at, &[component("x", "1")]).unwrap())
            .collect();
        assert_eq!(numbers, [3071, 3072, 3073, 3074]);
        assert_eq!(holders(&index, "x"), [("1".to_owned(), numbers)]);
    }
}
