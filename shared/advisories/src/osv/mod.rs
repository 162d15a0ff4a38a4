//! Reading OSV records (<https://ossf.github.io/osv-schema/>).

mod archive;
mod normalise;
mod schema;
mod source;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::epoch::Record;

pub(crate) use normalise::is_cve;
pub(crate) use source::Sources;

/// A record that could not be used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Malformed {
    /// File (and member of the archive) it is in.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What an import did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// Records that went into the epoch, withdrawn ones among them.
    pub records: usize,
    /// Records withdrawn by their publisher: kept by name, never matched.
    pub withdrawn: usize,
    /// Records that could not be used at all; the first [`ImportReport::MAX_NAMED`] are named.
    pub malformed: usize,
    /// The first of them.
    pub malformed_records: Vec<Malformed>,
    /// What was left out of usable records, by reason (GIT ranges, versions that cannot be ordered), with the number of
    /// times.
    pub notes: BTreeMap<String, usize>,
    /// Whether the content had been imported before and nothing was done.
    pub cached: bool,
}

impl ImportReport {
    /// How many malformed records are named.
    pub const MAX_NAMED: usize = 100;
}

/// Reads every record of some sources; `take` gets each usable one with its date of modification.
pub(crate) fn import(
    sources: &Sources,
    mut take: impl FnMut(Record, String) -> Result<(), Error>,
) -> Result<ImportReport, Error> {
    let mut report = ImportReport::default();
    sources.each(|place, bytes| {
        let read = bytes
            .map_err(normalise::Unusable::Malformed)
            .and_then(normalise::normalise);
        match read {
            Ok(read) => {
                for note in read.notes {
                    *report.notes.entry(note.to_owned()).or_default() += 1;
                }
                take(read.record, read.modified)
            }
            Err(normalise::Unusable::Irrelevant(note)) => {
                *report.notes.entry(note.to_owned()).or_default() += 1;
                Ok(())
            }
            Err(normalise::Unusable::Malformed(reason)) => {
                report.malformed += 1;
                if report.malformed_records.len() < ImportReport::MAX_NAMED {
                    let place = place();
                    tracing::warn!(place, reason, "advisory left out");
                    report.malformed_records.push(Malformed { place, reason });
                }
                Ok(())
            }
        }
    })?;
    report.malformed_records.sort();
    Ok(report)
}
