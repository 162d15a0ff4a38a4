//! An advisory in the form an epoch keeps: sorted, merged, without what nobody is told.

use quench_model::Severity;
use serde::{Deserialize, Serialize};

use super::PackageKey;
use crate::Score;
use crate::osv::is_cve;

/// An advisory record. Equal content has equal JSON: every list is sorted and without doubles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) id: String,
    /// Withdrawn records keep their names and lose everything else.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) withdrawn: bool,
    /// The vulnerabilities it speaks of. Several for an update that fixes several.
    pub(crate) vulnerabilities: Vec<String>,
    /// Other names of its one vulnerability; empty where it speaks of several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) aliases: Vec<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) summary: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) references: Vec<String>,
    /// CVSS vector of a record that names no package: it scores what others say is affected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vector: Option<String>,
    /// Sorted by package, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) affected: Vec<Affected>,
}

/// Which versions of one package are affected.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Affected {
    #[serde(flatten)]
    pub(crate) package: PackageKey,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ranges: Vec<Vec<Event>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) versions: Vec<String>,
    /// The vendor's own word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) severity: Option<Severity>,
    /// CVSS vector of the newest version that can be scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) vector: Option<String>,
}

/// Where affectedness begins or ends, in the order published.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// Affected from this version on; `0` is before all.
    Introduced(String),
    /// Not affected from this version on.
    Fixed(String),
    /// Affected up to and with this version.
    LastAffected(String),
    /// The statement ends before this version; nobody says that it is fixed there.
    Limit(String),
}

impl Record {
    /// The CVE it scores, and the vector: only a record of one vulnerability says whose score it gives.
    pub(crate) fn scores(&self) -> Option<(&str, &str)> {
        let [cve] = self.vulnerabilities.as_slice() else {
            return None;
        };
        let worst = || {
            let vectors = self.affected.iter().filter_map(|a| a.vector.as_deref());
            vectors.max_by(|a, b| {
                let score = |vector| Score::of(vector).map_or(-1.0, |score| score.score);
                score(*a).total_cmp(&score(*b)).then(a.cmp(b))
            })
        };
        let vector = self.vector.as_deref().or_else(worst)?;
        is_cve(cve).then_some((cve.as_str(), vector))
    }

    /// The bytes that make the epoch's digest.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        // Only maps with keys that are no strings, and failing writers, make serde_json fail; there are neither.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
