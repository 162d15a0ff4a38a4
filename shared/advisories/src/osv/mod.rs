//! Reading OSV records (<https://ossf.github.io/osv-schema/>).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

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
