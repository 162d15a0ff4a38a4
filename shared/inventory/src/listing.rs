//! What a package manager's database lists, before it is compared with the files that are there.

use crate::{InstalledPackage, OsRelease};
use crate::{Licence, PackageKind, PackageUrl, Problem, PurlError, SourcePackage};

/// Packages of one database, and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub packages: Vec<Listed>,
    pub problems: Vec<Problem>,
}

/// A package as its database lists it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub kind: PackageKind,
    pub name: String,
    pub version: String,
    pub architecture: String,
    pub source: Option<SourcePackage>,
    pub maintainer: Option<String>,
    pub homepage: Option<String>,
    pub summary: String,
    pub licence: Licence,
    pub database: String,
    /// Absolute paths as listed; none where no list was found.
    pub files: Option<Vec<String>>,
    pub config_files: Vec<String>,
}

impl Listed {
    /// The package with its package URL, and the files of it that are there.
    pub fn install(
        self,
        distribution: Option<&OsRelease>,
        files: Vec<String>,
    ) -> Result<InstalledPackage, PurlError> {
        let family = match self.kind {
            PackageKind::Deb => "debian",
            PackageKind::Apk => "alpine",
        };
        let vendor = distribution.map_or(family, |release| release.id.as_str());
        let mut purl = PackageUrl::new(
            self.kind.purl_type(),
            Some(vendor),
            &self.name,
            Some(&self.version),
        )?
        .with_qualifier("arch", &self.architecture)?;
        if let Some(release) = distribution {
            let distro = if release.version_id.is_empty() {
                release.id.clone()
            } else {
                format!("{}-{}", release.id, release.version_id)
            };
            purl = purl.with_qualifier("distro", &distro)?;
        }
        Ok(InstalledPackage {
            kind: self.kind,
            purl: purl.to_string(),
            name: self.name,
            version: self.version,
            architecture: self.architecture,
            source: self.source,
            maintainer: self.maintainer,
            homepage: self.homepage,
            summary: self.summary,
            licence: self.licence,
            database: self.database,
            files,
            config_files: self.config_files,
        })
    }
}
