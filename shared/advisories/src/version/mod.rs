//! Version orders, one for each way of numbering software.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A way of ordering versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Debian policy 5.6.12.
    Dpkg,
    /// Alpine.
    Apk,
    /// RPM: epoch, version, release.
    Rpm,
    /// Semantic versioning 2.0, read leniently (also Go's `v1.2.3`).
    SemVer,
    /// Python, PEP 440.
    Pep440,
    /// Maven's `ComparableVersion`.
    Maven,
    /// `Gem::Version`.
    RubyGems,
    /// NuGet: semantic versioning with a fourth number.
    NuGet,
    /// PHP's `version_compare`, as Composer uses it.
    Composer,
}

/// Why a text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {order:?} version: {reason}")]
pub struct VersionError {
    text: String,
    order: Order,
    reason: &'static str,
}

/// A version in a form that compares by its bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    order: Order,
    key: Box<[u8]>,
}

impl Version {
    /// Reads a version.
    pub fn parse(order: Order, text: &str) -> Result<Self, VersionError> {
        if text.is_empty() {
            return Err(VersionError {
                text: text.to_owned(),
                order,
                reason: "it is empty",
            });
        }
        Ok(Self {
            order,
            key: text.as_bytes().into(),
        })
    }

    /// By which rules it was read.
    pub fn order(&self) -> Order {
        self.order
    }

    /// Bytes that compare as the versions do, among versions of one order.
    pub fn key(&self) -> &[u8] {
        &self.key
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{:02x?}", self.order, self.key)
    }
}
