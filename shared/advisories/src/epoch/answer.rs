//! What an epoch answers when asked about components.

use std::collections::BTreeMap;
use std::fmt;

use quench_model::Severity;
use serde::{Deserialize, Serialize};

use crate::{Component, Ecosystem, Score};

/// A component in a version that an advisory names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Match {
    /// Name of the vulnerability: its CVE where it has one, else the vendor's id.
    pub id: String,
    /// Every other name of it, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Ids of the advisory records this rests on, the vendor's own first.
    pub advisories: Vec<String>,
    /// The component asked about.
    pub component: Component,
    /// Smallest version told to be fixed, for the package the advisory names (the source package for dpkg and apk).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_version: Option<String>,
    /// How bad it is: the vendor's word first, else the CVSS score's band; unknown where nobody said.
    pub severity: Severity,
    /// The CVSS vector and base score behind it, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<Score>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Where to read more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

/// Why nothing can be said about a component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UncheckedReason {
    /// It is not known whose advisories speak of it.
    UnknownEcosystem,
    /// The epoch holds no advisories of its ecosystem or distribution release.
    NotCovered(Ecosystem),
    /// Its version is not one its ecosystem could have.
    BadVersion(String),
    /// An advisory of its package names versions that cannot be read.
    UnreadableAdvisory(String),
    /// How its ecosystem orders versions is not known, and ranges of it exist.
    UnknownOrder(Ecosystem),
}

impl fmt::Display for UncheckedReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownEcosystem => {
                f.write_str("no advisories are known for this kind of package")
            }
            Self::NotCovered(ecosystem) => {
                write!(f, "the advisories in use do not cover {ecosystem}")
            }
            Self::BadVersion(error) => f.write_str(error),
            Self::UnreadableAdvisory(id) => {
                write!(f, "{id} names versions of it that cannot be read")
            }
            Self::UnknownOrder(ecosystem) => {
                write!(f, "how {ecosystem} orders versions is not known")
            }
        }
    }
}

/// A component nothing can be said about. It is not clean, it is unchecked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unchecked {
    /// The component asked about.
    pub component: Component,
    /// Why nothing can be said.
    pub reason: UncheckedReason,
}

/// What an epoch says about a list of components.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Matches {
    /// Components in versions an advisory names, in the order asked, then by id.
    pub matches: Vec<Match>,
    /// Components nothing can be said about, in the order asked.
    pub unchecked: Vec<Unchecked>,
}

/// Of which ecosystems and distribution releases an epoch speaks, and with how many advisories.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Coverage(pub(super) BTreeMap<Ecosystem, u64>);

impl Coverage {
    /// Whether the epoch speaks of an ecosystem (with its release).
    pub fn includes(&self, ecosystem: &Ecosystem) -> bool {
        self.0.contains_key(ecosystem)
    }

    /// The ecosystems, sorted.
    pub fn ecosystems(&self) -> impl Iterator<Item = &Ecosystem> {
        self.0.keys()
    }

    /// How many advisories speak of an ecosystem.
    pub fn advisories(&self, ecosystem: &Ecosystem) -> u64 {
        self.0.get(ecosystem).copied().unwrap_or_default()
    }
}
