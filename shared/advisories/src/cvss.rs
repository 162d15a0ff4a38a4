//! CVSS base scores (<https://www.first.org/cvss/>).

use serde::{Deserialize, Serialize};

/// A CVSS vector and its base score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Score {
    /// The vector, with its version prefix where the version has one.
    pub vector: String,
    /// The base score, 0.0 to 10.0.
    pub score: f64,
}

/// Why a text is no CVSS vector that can be scored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{vector:?} is not a CVSS vector that can be scored: {reason}")]
pub struct CvssError {
    vector: String,
    reason: String,
}
