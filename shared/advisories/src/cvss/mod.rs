//! CVSS base scores (<https://www.first.org/cvss/>).

mod v2;
mod v3;
mod v4;
mod vector;

use quench_model::Severity;
use serde::{Deserialize, Serialize};

use vector::Metrics;

/// A CVSS vector and its score.
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

/// Longest vector read: all metrics of version 4 take about 200 bytes.
const MAX_LENGTH: usize = 400;

impl Score {
    /// Scores a vector of CVSS 2.0, 3.0, 3.1 or 4.0. Threat and environmental metrics count in 4.0 only, where they are
    /// part of the one score.
    pub fn of(vector: &str) -> Result<Self, CvssError> {
        let score = if vector.len() > MAX_LENGTH {
            Err("it is too long".to_owned())
        } else if let Some(metrics) = vector.strip_prefix("CVSS:4.0/") {
            Metrics::read(metrics).and_then(|metrics| v4::score(&metrics))
        } else if let Some(metrics) = vector.strip_prefix("CVSS:3.1/") {
            Metrics::read(metrics).and_then(|metrics| v3::base(&metrics, 1))
        } else if let Some(metrics) = vector.strip_prefix("CVSS:3.0/") {
            Metrics::read(metrics).and_then(|metrics| v3::base(&metrics, 0))
        } else if vector.starts_with("AV:") {
            Metrics::read(vector).and_then(|metrics| v2::base(&metrics))
        } else {
            Err("it starts with no version that is known".to_owned())
        };
        match score {
            Ok(score) => Ok(Self {
                vector: vector.to_owned(),
                score,
            }),
            Err(reason) => Err(CvssError {
                vector: vector.chars().take(100).collect(),
                reason,
            }),
        }
    }

    /// The qualitative rating of the score.
    pub fn severity(&self) -> Severity {
        Severity::from_cvss_score(self.score)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scores that FIRST publishes: the example documents of CVSS 2.0, 3.0, 3.1 and 4.0.
    #[test]
    fn published_examples_have_their_published_scores() {
        for (vector, score) in [
            // CVE-2002-0392, CVE-2003-0818, CVE-2003-0062
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", 7.8),
            ("AV:N/AC:L/Au:N/C:C/I:C/A:C", 10.0),
            ("AV:L/AC:H/Au:N/C:C/I:C/A:C", 6.2),
            // CVE-2013-1937, CVE-2013-0375, CVE-2014-3566, CVE-2012-1516, CVE-2009-0783, CVE-2012-0384, CVE-2015-1098
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),
            ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.9),
            ("CVSS:3.1/AV:L/AC:L/PR:H/UI:N/S:U/C:L/I:L/A:L", 4.2),
            ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:H", 8.8),
            ("CVSS:3.1/AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 7.8),
            // CVE-2014-0160, CVE-2014-6271, CVE-2016-1645, CVE-2016-0128
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", 7.5),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 8.8),
            ("CVSS:3.0/AV:N/AC:H/PR:N/UI:R/S:U/C:H/I:H/A:N", 6.8),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
            // CVE-2022-41741, CVE-2020-3549, CVE-2023-3089, CVE-2021-44714, CVE-2022-21830, CVE-2014-6271, CVE-2021-44228
            (
                "CVSS:4.0/AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                7.3,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                7.7,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:P/PR:N/UI:N/VC:H/VI:L/VA:L/SC:N/SI:N/SA:N",
                8.3,
            ),
            (
                "CVSS:4.0/AV:L/AC:L/AT:N/PR:N/UI:P/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N",
                4.8,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:A/VC:N/VI:N/VA:N/SC:L/SI:L/SA:N",
                5.1,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                9.3,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H",
                10.0,
            ),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N",
                0.0,
            ),
        ] {
            assert_eq!(Score::of(vector).unwrap().score, score, "{vector}");
        }
    }

    #[test]
    fn what_cannot_be_scored_is_refused_and_never_guessed() {
        for vector in [
            "",
            "7.5",
            "high",
            "CVSS:3.1/AV:N",
            "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:Q",
            "CVSS:3.1/AV:N/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:5.0/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
            "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H",
            "AV:N/AC:L/Au:N/C:N/I:N",
        ] {
            assert!(Score::of(vector).is_err(), "{vector}");
        }
    }
}
