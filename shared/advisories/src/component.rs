//! What is asked about.

use serde::{Deserialize, Serialize};

use crate::{Distribution, Ecosystem};

/// One piece of installed software, as far as advisories care.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Component {
    /// Package URL; only told back, never parsed for matching.
    pub purl: String,
    /// Whose advisories speak of it; absent where that is not known, and then it cannot be checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ecosystem: Option<Ecosystem>,
    /// Name of the installed (binary) package.
    pub name: String,
    /// Version of the installed package.
    pub version: String,
    /// Name of the source package it was built from, where it differs. Advisories of dpkg and apk distributions name source
    /// packages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_name: Option<String>,
    /// Version of the source package, where it differs (binary rebuilds, `Source: gcc-12 (12.2.0-14)`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_version: Option<String>,
    /// Distribution it was installed by, for packages of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distro: Option<Distribution>,
}

impl Component {
    /// A component; the ecosystem follows from the package URL's type and the distribution
    /// ([`Ecosystem::of_purl`]).
    pub fn new(
        purl: impl Into<String>,
        name: impl Into<String>,
        version: impl Into<String>,
        distro: Option<Distribution>,
    ) -> Self {
        let purl = purl.into();
        Self {
            ecosystem: Ecosystem::of_purl(&purl, distro.as_ref()),
            purl,
            name: name.into(),
            version: version.into(),
            source_name: None,
            source_version: None,
            distro,
        }
    }

    /// The same component, built from a source package.
    #[must_use]
    pub fn built_from(mut self, name: Option<String>, version: Option<String>) -> Self {
        self.source_name = name;
        self.source_version = version;
        self
    }

    /// Name and version that the advisories of its ecosystem speak of: the source package's for dpkg and apk, else
    /// its own.
    pub fn advised(&self) -> (&str, &str) {
        if self
            .ecosystem
            .as_ref()
            .is_some_and(Ecosystem::names_source_packages)
        {
            (
                self.source_name.as_deref().unwrap_or(&self.name),
                self.source_version.as_deref().unwrap_or(&self.version),
            )
        } else {
            (&self.name, &self.version)
        }
    }
}
