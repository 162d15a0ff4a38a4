//! Ecosystems: whose advisories speak of a component, and by which rules its versions are ordered.
//!
//! Names are OSV's (<https://ossf.github.io/osv-schema/#defined-ecosystems>), with the release suffix reduced to what an
//! os-release file can tell: `Ubuntu:22.04:LTS` is `Ubuntu:22.04`, `Red Hat:enterprise_linux:9::baseos` is `Red Hat:9`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Order;

/// The distribution an image is made of, as its os-release file tells (`os-release(5)`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Distribution {
    /// `ID`: `debian`, `alpine`, …
    pub id: String,
    /// `VERSION_ID`: `12`, `3.20.3`, …; empty where the file has none (rolling releases).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub version_id: String,
}

impl Distribution {
    /// A distribution from `ID` and `VERSION_ID`.
    pub fn new(id: impl Into<String>, version_id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            version_id: version_id.into(),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        if !self.version_id.is_empty() {
            write!(f, " {}", self.version_id)?;
        }
        Ok(())
    }
}

/// An OSV ecosystem: a family and, for distributions, a release.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ecosystem(String);

/// A text that cannot be an ecosystem's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not an OSV ecosystem; expected a name of printable characters such as PyPI or Debian:12"
)]
pub struct EcosystemError(String);

/// Longest name accepted; the longest in use has about 60 characters.
const MAX_NAME: usize = 160;

impl Ecosystem {
    /// The family: the part before the first colon (`Debian`, `PyPI`).
    pub fn family(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// The release: the part after the first colon, if any.
    pub fn release(&self) -> Option<&str> {
        self.0.split_once(':').map(|(_, release)| release)
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// By which rules its versions are ordered; nothing where that is not known, and then only listed versions match.
    pub fn order(&self) -> Option<Order> {
        Some(match self.family() {
            "Debian" | "Ubuntu" | "Echo" => Order::Dpkg,
            "Alpine"
            | "Wolfi"
            | "Chainguard"
            | "Alpaquita"
            | "MinimOS"
            | "BellSoft Hardened Containers" => Order::Apk,
            "AlmaLinux" | "Rocky Linux" | "Red Hat" | "SUSE" | "openSUSE" | "Mageia"
            | "Photon OS" | "openEuler" | "Azure Linux" => Order::Rpm,
            "npm" | "crates.io" | "Go" | "Hex" | "Pub" | "SwiftURL" | "Bitnami" | "Julia"
            | "GitHub Actions" | "ConanCenter" => Order::SemVer,
            "PyPI" => Order::Pep440,
            "Maven" => Order::Maven,
            "RubyGems" => Order::RubyGems,
            "NuGet" => Order::NuGet,
            "Packagist" => Order::Composer,
            _ => return None,
        })
    }

    /// Whether its advisories name source packages, not the binary packages built from them.
    pub fn names_source_packages(&self) -> bool {
        matches!(
            self.family(),
            "Debian"
                | "Ubuntu"
                | "Echo"
                | "Alpine"
                | "Wolfi"
                | "Chainguard"
                | "Alpaquita"
                | "MinimOS"
                | "BellSoft Hardened Containers"
                | "SUSE"
                | "openSUSE"
                | "Rocky Linux"
                | "Mageia"
                | "openEuler"
        )
    }

    /// The form in which a package's name is looked up: PEP 503 for PyPI; lower case where names do not depend on case.
    pub fn normalised_name(&self, name: &str) -> String {
        match self.family() {
            "PyPI" => {
                let mut normal = String::with_capacity(name.len());
                for c in name.chars() {
                    match c {
                        '-' | '_' | '.' if normal.ends_with('-') => {}
                        '-' | '_' | '.' => normal.push('-'),
                        c => normal.extend(c.to_lowercase()),
                    }
                }
                normal
            }
            "NuGet" | "Packagist" | "GitHub Actions" | "Hex" | "Pub" => name.to_lowercase(),
            _ => name.to_owned(),
        }
    }

    /// The ecosystem of a distribution's packages; nothing for a distribution no advisories are known of, or when a
    /// release is needed and not told.
    pub fn of_distribution(distribution: &Distribution) -> Option<Self> {
        let version = distribution.version_id.as_str();
        let major = version.split('.').next().unwrap_or_default();
        let two = || {
            let mut parts = version.split('.');
            Some(format!("{}.{}", parts.next()?, parts.next()?))
        };
        let numbered = |family: &str, release: &str| {
            release
                .starts_with(|c: char| c.is_ascii_digit())
                .then(|| format!("{family}:{release}"))
        };
        let name = match distribution.id.as_str() {
            "debian" => numbered("Debian", major)?,
            "ubuntu" => numbered("Ubuntu", version)?,
            "alpine" => numbered("Alpine", &two()?)?.replacen(':', ":v", 1),
            "wolfi" => "Wolfi".to_owned(),
            "chainguard" => "Chainguard".to_owned(),
            "minimos" => "MinimOS".to_owned(),
            "echo" => "Echo".to_owned(),
            "almalinux" => numbered("AlmaLinux", major)?,
            "rocky" => numbered("Rocky Linux", major)?,
            "rhel" => numbered("Red Hat", major)?,
            "opensuse-leap" if !version.is_empty() => format!("openSUSE:Leap {version}"),
            "opensuse-tumbleweed" => "openSUSE:Tumbleweed".to_owned(),
            "photon" => numbered("Photon OS", version)?,
            "mageia" => numbered("Mageia", major)?,
            "azurelinux" | "mariner" => numbered("Azure Linux", major)?,
            _ => return None,
        };
        name.parse().ok()
    }

    /// The ecosystem a package URL's type belongs to; `deb`, `apk` and `rpm` need the distribution. Nothing where no
    /// advisories are known of.
    pub fn of_purl(purl: &str, distribution: Option<&Distribution>) -> Option<Self> {
        let kind = purl.strip_prefix("pkg:")?.split('/').next()?;
        let wanted = match kind {
            "deb" => Order::Dpkg,
            "apk" => Order::Apk,
            "rpm" => Order::Rpm,
            _ => {
                let name = match kind {
                    "npm" => "npm",
                    "pypi" => "PyPI",
                    "golang" => "Go",
                    "cargo" => "crates.io",
                    "gem" => "RubyGems",
                    "maven" => "Maven",
                    "nuget" => "NuGet",
                    "composer" => "Packagist",
                    "pub" => "Pub",
                    "hex" => "Hex",
                    "swift" => "SwiftURL",
                    "conan" => "ConanCenter",
                    "githubactions" => "GitHub Actions",
                    "bitnami" => "Bitnami",
                    "julia" => "Julia",
                    _ => return None,
                };
                return Some(Self(name.to_owned()));
            }
        };
        Self::of_distribution(distribution?).filter(|found| found.order() == Some(wanted))
    }
}

impl FromStr for Ecosystem {
    type Err = EcosystemError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty()
            || text.len() > MAX_NAME
            || text.starts_with(':')
            || text.chars().any(char::is_control)
        {
            return Err(EcosystemError(text.chars().take(80).collect()));
        }
        Ok(Self(normalised(text)))
    }
}

/// Reduces a release suffix to what os-release can tell.
fn normalised(text: &str) -> String {
    let Some((family, release)) = text.split_once(':') else {
        return text.to_owned();
    };
    match family {
        // `22.04:LTS` and `22.04` are one release; `Pro:22.04:LTS` and `22.04:FIPS` are other archives.
        "Ubuntu" => format!(
            "{family}:{}",
            release.strip_suffix(":LTS").unwrap_or(release)
        ),
        // `enterprise_linux:9::appstream`, a CPE fragment: product, version, edition, repository.
        "Red Hat" => {
            let mut parts = release.split(':');
            match (parts.next(), parts.next()) {
                (Some("enterprise_linux"), Some(version)) => {
                    format!("{family}:{}", version.split('.').next().unwrap_or(version))
                }
                _ => text.to_owned(),
            }
        }
        _ => text.to_owned(),
    }
}

impl fmt::Display for Ecosystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Ecosystem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Ecosystem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(id: &str, version: &str) -> Option<String> {
        Ecosystem::of_distribution(&Distribution::new(id, version)).map(|e| e.to_string())
    }

    #[test]
    fn distributions_have_the_names_osv_gives_them() {
        assert_eq!(of("debian", "12").as_deref(), Some("Debian:12"));
        assert_eq!(of("alpine", "3.20.3").as_deref(), Some("Alpine:v3.20"));
        assert_eq!(of("ubuntu", "24.04").as_deref(), Some("Ubuntu:24.04"));
        assert_eq!(of("almalinux", "9.4").as_deref(), Some("AlmaLinux:9"));
        assert_eq!(of("rhel", "9.4").as_deref(), Some("Red Hat:9"));
        assert_eq!(
            of("opensuse-leap", "15.6").as_deref(),
            Some("openSUSE:Leap 15.6")
        );
        assert_eq!(of("wolfi", "20230201").as_deref(), Some("Wolfi"));
        assert_eq!(of("debian", ""), None, "testing has no release to look up");
        assert_eq!(of("alpine", "edge"), None);
        assert_eq!(of("plan9", "4"), None);
    }

    #[test]
    fn one_release_has_one_name() {
        for (text, name) in [
            ("Ubuntu:22.04:LTS", "Ubuntu:22.04"),
            ("Ubuntu:24.10", "Ubuntu:24.10"),
            ("Ubuntu:Pro:16.04:LTS", "Ubuntu:Pro:16.04"),
            ("Red Hat:enterprise_linux:9::appstream", "Red Hat:9"),
            (
                "Red Hat:rhel_eus:9.2::baseos",
                "Red Hat:rhel_eus:9.2::baseos",
            ),
            ("Debian:12", "Debian:12"),
        ] {
            assert_eq!(text.parse::<Ecosystem>().unwrap().as_str(), name);
        }
        for bad in ["", ":12", "a\nb", &"x".repeat(200)] {
            assert!(bad.parse::<Ecosystem>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_package_url_of_a_distribution_needs_that_distribution() {
        let debian = Distribution::new("debian", "12");
        let of = |purl| Ecosystem::of_purl(purl, Some(&debian)).map(|e| e.to_string());
        assert_eq!(of("pkg:deb/debian/bash@5.2").as_deref(), Some("Debian:12"));
        assert_eq!(of("pkg:apk/alpine/bash@5.2"), None);
        assert_eq!(of("pkg:pypi/django@4").as_deref(), Some("PyPI"));
        assert_eq!(Ecosystem::of_purl("pkg:deb/debian/bash@5.2", None), None);
    }

    #[test]
    fn python_names_are_compared_as_pep_503_says() {
        let pypi: Ecosystem = "PyPI".parse().unwrap();
        assert_eq!(
            pypi.normalised_name("Zope.Interface__x-.y"),
            "zope-interface-x-y"
        );
        let go: Ecosystem = "Go".parse().unwrap();
        assert_eq!(
            go.normalised_name("github.com/Masterminds/x"),
            "github.com/Masterminds/x"
        );
    }
}
