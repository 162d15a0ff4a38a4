//! Version orders, one for each way of numbering software.
//!
//! A version is read once, into bytes that compare as the versions do. What holds for bytes holds for versions:
//! the order is total, whatever text comes in.

mod apk;
mod composer;
mod dpkg;
mod key;
mod maven;
mod pep440;
mod rpm;
mod rubygems;
mod semver;

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
    /// Maven.
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
#[error("{text:?} is not a version that {order:?} order knows: {reason}")]
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

/// Longest version that is read; the longest that was seen in any ecosystem has about 200 bytes.
const MAX_LENGTH: usize = 1024;

impl Version {
    /// Reads a version.
    pub fn parse(order: Order, text: &str) -> Result<Self, VersionError> {
        let key = if text.trim().is_empty() {
            Err("it is empty")
        } else if text.len() > MAX_LENGTH {
            Err("it is longer than 1024 bytes")
        } else if text.chars().any(char::is_control) {
            Err("it holds control characters")
        } else {
            match order {
                Order::Dpkg => dpkg::key(text),
                Order::Apk => apk::key(text),
                Order::Rpm => rpm::key(text),
                Order::SemVer => semver::key(text),
                Order::Pep440 => pep440::key(text),
                Order::Maven => maven::key(text),
                Order::RubyGems => rubygems::key(text),
                Order::NuGet => semver::nuget_key(text),
                Order::Composer => composer::key(text),
            }
        };
        match key {
            Ok(key) => Ok(Self { order, key }),
            Err(reason) => Err(VersionError {
                text: text.chars().take(100).collect(),
                order,
                reason,
            }),
        }
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
