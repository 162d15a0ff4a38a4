//! Importing sources into an epoch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use quench_model::Digest;
use serde::{Deserialize, Serialize};

use super::Epoch;
use super::store::Draft;
use crate::osv::{Sources, import};
use crate::{Error, ImportReport};

/// Changes when the importer makes other records of the same sources.
const IMPORTER: &str = "osv 2";

/// What an import is remembered by.
#[derive(Serialize, Deserialize)]
struct Remembered {
    epoch: Digest,
    report: ImportReport,
}

pub(super) fn build(sources: &[PathBuf], folder: &Path) -> Result<(Epoch, ImportReport), Error> {
    let found = Sources::find(sources)?;
    let memory = folder.join(format!("import-{}.json", found.digest(IMPORTER).hex()));
    if let Some(remembered) = recall(&memory)
        && let Some(epoch) = Epoch::load_if_kept(&remembered.epoch, folder)?
    {
        let mut report = remembered.report;
        report.cached = true;
        return Ok((epoch, report));
    }

    let draft = Draft::new(folder)?;
    // Of two records with one id the one modified later counts; if that is the same, the one with the greater bytes, so that
    // the order of files never decides.
    let mut seen: BTreeMap<String, (String, Digest)> = BTreeMap::new();
    let mut withdrawn: BTreeMap<String, bool> = BTreeMap::new();
    let mut naming = 0_usize;
    let mut report = draft.fill(|put| {
        import(&found, |record, modified| {
            let json = record.to_json();
            let rank = (modified, Digest::of(&json));
            if seen.get(&record.id).is_some_and(|kept| *kept >= rank) {
                return Ok(());
            }
            put(&record.id, &json)?;
            naming += usize::from(!record.affected.is_empty());
            seen.insert(record.id.clone(), rank);
            withdrawn.insert(record.id, record.withdrawn);
            Ok(())
        })
    })?;
    report.records = withdrawn.len();
    report.withdrawn = withdrawn.values().filter(|withdrawn| **withdrawn).count();
    // Withdrawn records and scores alone say of no package that anything is wrong with it.
    if naming == 0 {
        return Err(Error::NothingUsable {
            sources: sources
                .iter()
                .map(|source| source.display().to_string())
                .collect::<Vec<_>>()
                .join(", "),
            malformed: report.malformed,
            first: report
                .malformed_records
                .first()
                .map(|first| format!(", such as {}: {}", first.place, first.reason))
                .unwrap_or_default(),
        });
    }
    let digest = draft.finish()?;
    remember(&memory, &digest, &report)?;
    Ok((Epoch::load(&digest, folder)?, report))
}

/// A memory that cannot be read is none: the import is done again.
fn recall(memory: &Path) -> Option<Remembered> {
    serde_json::from_slice(&std::fs::read(memory).ok()?).ok()
}

fn remember(memory: &Path, epoch: &Digest, report: &ImportReport) -> Result<(), Error> {
    let json = serde_json::to_vec(&Remembered {
        epoch: epoch.clone(),
        report: report.clone(),
    })
    .unwrap_or_default();
    let folder = memory.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(Error::io(folder))?;
    std::io::Write::write_all(&mut file, &json).map_err(Error::io(memory))?;
    file.persist(memory)
        .map_err(|error| Error::io(memory)(error.error))?;
    Ok(())
}
