//! What was found in an image.

use quench_advisories::{Component, Distribution};
use quench_model::{Digest, Platform};
use serde::{Deserialize, Serialize};

/// Changes whenever the same image would give another inventory: stored inventories of another version are made anew.
pub const CATALOGUER_VERSION: u32 = 1;

/// The software of one platform's image: its package index.
///
/// The same image gives the same inventory, and that the same bytes of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// [`CATALOGUER_VERSION`] it was made with.
    pub cataloguer: u32,
    /// Digest of the image's manifest.
    pub image: Digest,
    /// Platform the image is for.
    pub platform: Platform,
    /// When the image says it was made, as `YYYY-MM-DDThh:mm:ssZ`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// The distribution, from the image's os-release file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<OsRelease>,
    /// Installed packages, sorted by package URL.
    pub packages: Vec<InstalledPackage>,
    /// How many files there are, and whose.
    pub files: FileCounts,
    /// Programs and libraries that no package owns, sorted; the first [`Inventory::MAX_NAMED`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unowned_programs: Vec<String>,
    /// Files that run with other rights than those of whoever starts them (setuid, setgid, file capabilities), sorted; the
    /// first [`Inventory::MAX_NAMED`] of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privileged_files: Vec<PrivilegedFile>,
    /// What could not be looked at. An inventory with problems is not complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
}

impl Inventory {
    /// Most unowned programs and privileged files that are named.
    pub const MAX_NAMED: usize = 1000;

    /// The packages, as advisories are asked about them, in the same order.
    pub fn components(&self) -> Vec<Component> {
        let distribution = self.distribution.as_ref().map(OsRelease::distribution);
        self.packages
            .iter()
            .map(|package| {
                let (name, version) = match &package.source {
                    Some(source) => (Some(source.name.clone()), Some(source.version.clone())),
                    None => (None, None),
                };
                Component::new(
                    &package.purl,
                    &package.name,
                    &package.version,
                    distribution.clone(),
                )
                .built_from(name, version)
            })
            .collect()
    }

    /// The package a file belongs to, by its path in the image's tree.
    pub fn owner(&self, path: &str) -> Option<&InstalledPackage> {
        self.packages.iter().find(|package| package.owns(path))
    }

    /// Whether everything in the image was looked at.
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty()
    }
}

/// An os-release file (`os-release(5)`), as far as it matters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OsRelease {
    /// `ID`: `debian`, `alpine`.
    pub id: String,
    /// `VERSION_ID`: `12`, `3.20.3`; empty for rolling releases.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version_id: String,
    /// `VERSION_CODENAME`: `bookworm`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub version_codename: String,
    /// `PRETTY_NAME`, for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub pretty_name: String,
}

impl OsRelease {
    /// The distribution, as advisories name it.
    pub fn distribution(&self) -> Distribution {
        Distribution::new(&self.id, &self.version_id)
    }
}

/// Which package manager installed a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackageKind {
    /// dpkg.
    Deb,
    /// apk.
    Apk,
}

impl PackageKind {
    /// Type in package URLs.
    pub fn purl_type(self) -> &'static str {
        match self {
            Self::Deb => "deb",
            Self::Apk => "apk",
        }
    }
}

/// An installed package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InstalledPackage {
    /// Who installed it.
    pub kind: PackageKind,
    /// Package URL with architecture and distribution.
    pub purl: String,
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Architecture in the distribution's words.
    pub architecture: String,
    /// Source package it was built from, where name or version differ.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourcePackage>,
    /// Maintainer, as `Name <address>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintainer: Option<String>,
    /// Home page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub homepage: Option<String>,
    /// One line about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Under what licence it is.
    pub licence: Licence,
    /// File that says it is installed.
    pub database: String,
    /// Files and links it owns that are there, by their paths in the image's tree, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<String>,
    /// Those among its files that are configuration, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_files: Vec<String>,
}

impl InstalledPackage {
    /// Whether it owns a file, by its path in the image's tree.
    pub fn owns(&self, path: &str) -> bool {
        self.files
            .binary_search_by(|file| file.as_str().cmp(path))
            .is_ok()
    }

    /// Name of the source package; its own where it is built from one of the same name.
    pub fn source_name(&self) -> &str {
        self.source
            .as_ref()
            .map_or(&self.name, |source| &source.name)
    }
}

/// A source package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourcePackage {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
}

/// What is known about a package's licence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Licence {
    /// SPDX licence expression over everything the package declares; none where it declares nothing a machine can read.
    /// Licences that are not on the SPDX list appear as `LicenseRef-…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expression: Option<String>,
    /// What is declared, word for word, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub declared: Vec<String>,
    /// Well-known licences that prose refers to: a hint for people, nothing to rely on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<String>,
    /// File the facts are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// A file that runs with other rights than those of whoever starts it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PrivilegedFile {
    /// Path in the image's tree.
    pub path: String,
    /// Why: `setuid`, `setgid`, `capabilities`, joined by a comma.
    pub rights: String,
}

/// How many files an image holds, and whose. Folders are not counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileCounts {
    /// Files, links and devices.
    pub total: u64,
    /// Those a package owns.
    pub owned: u64,
    /// Those no package owns.
    pub unowned: u64,
    /// Programs and libraries (ELF files) among the unowned.
    pub unowned_programs: u64,
}

/// Something that could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// What sort of thing.
    pub kind: ProblemKind,
    /// File or folder concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What is wrong, for people.
    pub reason: String,
}

/// Sorts of problems. Their names are the canonical ids of completeness findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProblemKind {
    /// No package manager's database is in the image.
    NoPackageDatabase,
    /// A database cannot be read, or contradicts itself.
    BrokenPackageDatabase,
    /// A package manager whose database Quench does not read.
    UnsupportedPackageDatabase,
    /// Packages are installed, and nothing says by which distribution.
    UnknownDistribution,
    /// Which files a package owns is not recorded.
    MissingFileList,
    /// Programs and libraries that no package owns.
    UnownedPrograms,
    /// Packages of a programming language, which are not catalogued.
    UncataloguedLanguagePackages,
}

impl ProblemKind {
    /// Its name, as serialized.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoPackageDatabase => "no-package-database",
            Self::BrokenPackageDatabase => "broken-package-database",
            Self::UnsupportedPackageDatabase => "unsupported-package-database",
            Self::UnknownDistribution => "unknown-distribution",
            Self::MissingFileList => "missing-file-list",
            Self::UnownedPrograms => "unowned-programs",
            Self::UncataloguedLanguagePackages => "uncatalogued-language-packages",
        }
    }
}

impl Problem {
    pub(crate) fn new(
        kind: ProblemKind,
        path: impl Into<Option<String>>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            path: path.into(),
            reason: reason.into(),
        }
    }
}
