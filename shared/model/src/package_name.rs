//! Package names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Name of a package: the lineage that its revisions share. It is the chart's name, so it follows
/// Helm's rule for chart names: lower-case letters, digits and `-` (we also accept `.` and `_`, which occur
/// in published charts), starting and ending with a letter or digit, at most 63 characters.
///
/// The form makes it safe as part of a file name, registry tag and event subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageName(String);

/// Why a text is not a [`PackageName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a package name; use 1 to 63 lower-case letters, digits, '-', '.' or '_', starting and ending with a letter or digit"
)]
pub struct PackageNameError {
    text: String,
}

impl PackageName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for PackageName {
    type Err = PackageNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let edge =
            |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        let inner =
            |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.' | '_');
        if text.len() <= 63
            && edge(text.chars().next())
            && edge(text.chars().next_back())
            && text.chars().all(inner)
            && !text.contains("..")
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(PackageNameError {
                text: text.chars().take(80).collect(),
            })
        }
    }
}

impl Serialize for PackageName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PackageName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
