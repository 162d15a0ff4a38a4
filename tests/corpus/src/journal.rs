//! Results that are remembered, so that a long run can be stopped and gone on with.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A file of results by key, one a line; without a file nothing is remembered.
#[derive(Debug)]
pub struct Journal<T> {
    known: BTreeMap<String, T>,
    file: Option<Mutex<File>>,
}

/// One line as it is written.
#[derive(Serialize)]
struct Noted<'r, T> {
    key: &'r str,
    result: &'r T,
}

/// One line as it is read.
#[derive(Deserialize)]
struct Entry<T> {
    key: String,
    result: T,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Reads what is remembered in a file, which is made where there is none.
    ///
    /// # Errors
    /// It cannot be read or written.
    pub fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else {
            return Ok(Self {
                known: BTreeMap::new(),
                file: None,
            });
        };
        let known = remembered(path)?;
        let file = Some(Mutex::new(append(path)?));
        Ok(Self { known, file })
    }

    /// What was remembered under a key when the journal was opened.
    pub fn known(&self, key: &str) -> Option<&T> {
        self.known.get(key)
    }

    /// Writes a result down.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note(&self, key: &str, result: &T) -> Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut line = serde_json::to_vec(&Noted { key, result })?;
        line.push(b'\n');
        file.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .write_all(&line)
            .context("the journal cannot be written")
    }
}

fn remembered<T: DeserializeOwned>(path: &Path) -> Result<BTreeMap<String, T>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    };
    // A line that is cut off, as a killed run leaves it, is no result.
    Ok(text
        .lines()
        .filter_map(|line| serde_json::from_str::<Entry<T>>(line).ok())
        .map(|entry| (entry.key, entry.result))
        .collect())
}

fn append(path: &Path) -> Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{} cannot be made", folder.display()))?;
    }
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    // Ends a line that a killed run left open.
    file.write_all(b"\n")
        .with_context(|| format!("{} cannot be written", path.display()))?;
    Ok(file)
}
