//! Findings: something wrong, with a life.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Digest, Hasher, Level, PackageName, Severity};

/// Name of a finding, the same in every revision of a package for as long as the same thing is wrong.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FindingId(Digest);

impl fmt::Display for FindingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

/// What sort of thing is wrong. A closed set: it is a token of event subjects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A known vulnerability of a package in an image.
    Vulnerability,
    /// Malware.
    Malware,
    /// A credential or key where it does not belong.
    Secret,
    /// A configuration rule is not met.
    Configuration,
    /// A licence that is unknown or not allowed.
    Licence,
    /// Where something came from cannot be shown.
    Provenance,
    /// Something could not be looked at, so nothing can be said about it.
    Completeness,
    /// A distribution or component gets no more fixes.
    EndOfLife,
}

impl FindingKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Vulnerability,
        Self::Malware,
        Self::Secret,
        Self::Configuration,
        Self::Licence,
        Self::Provenance,
        Self::Completeness,
        Self::EndOfLife,
    ];

    /// Its name, as in event subjects.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vulnerability => "vulnerability",
            Self::Malware => "malware",
            Self::Secret => "secret",
            Self::Configuration => "configuration",
            Self::Licence => "licence",
            Self::Provenance => "provenance",
            Self::Completeness => "completeness",
            Self::EndOfLife => "end-of-life",
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a finding is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingState {
    /// Wrong, and seen for the first time.
    Opened,
    /// Still wrong, with other facts than before.
    Updated,
    /// No longer wrong.
    Resolved,
    /// Wrong, and accepted with a reason.
    Suppressed,
    /// Was resolved or suppressed, and is wrong again.
    Reopened,
}

impl FindingState {
    /// Its name, as in event subjects.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Updated => "updated",
            Self::Resolved => "resolved",
            Self::Suppressed => "suppressed",
            Self::Reopened => "reopened",
        }
    }

    /// Whether something is wrong and nobody accepted it.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Opened | Self::Updated | Self::Reopened)
    }
}

impl fmt::Display for FindingState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a finding is about. Its fields make the finding's id, so none of them may hold a revision, a time or a
/// severity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subject {
    /// Package whose revisions it is found in.
    pub package: PackageName,
    /// Image repository (`registry/repository`, no tag), for findings about an image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Package URL of the software concerned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub purl: Option<String>,
    /// Where: a path in an image, or `Kind/name[/container]` in a chart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

/// Why a finding's state changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// What sort of change it was.
    pub kind: CauseKind,
    /// What exactly: advisory id, epoch, rule, level's note.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Advisory epoch in force, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Digest>,
}

/// Sorts of causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CauseKind {
    /// An advisory appeared, changed or was withdrawn.
    Advisory,
    /// A VEX statement.
    Vex,
    /// Listed as known exploited.
    Kev,
    /// Exploit probability changed.
    Epss,
    /// Found by scanning.
    Scan,
    /// Found by scanning again.
    Rescan,
    /// A fixed version was put in place.
    Patched,
    /// The file or package was removed by minimisation.
    Minimized,
    /// The chart was hardened.
    Hardened,
    /// A waiver began or ended.
    Waiver,
}

impl CauseKind {
    /// Its name, as serialized.
    pub fn name(self) -> &'static str {
        match self {
            Self::Advisory => "advisory",
            Self::Vex => "vex",
            Self::Kev => "kev",
            Self::Epss => "epss",
            Self::Scan => "scan",
            Self::Rescan => "rescan",
            Self::Patched => "patched",
            Self::Minimized => "minimized",
            Self::Hardened => "hardened",
            Self::Waiver => "waiver",
        }
    }
}

/// A fact that decided something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evidence {
    /// Where the fact was read: an image, a file, a manifest field.
    pub source: String,
    /// What it said.
    pub fact: String,
}

impl Evidence {
    /// A fact and where it was read.
    pub fn new(source: impl Into<String>, fact: impl Into<String>) -> Self {
        Self {
            source: source.into(),
            fact: fact.into(),
        }
    }
}

/// Why a finding is suppressed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppression {
    /// Reason the waiver or VEX statement gives.
    pub reason: String,
    /// Last day it holds (`YYYY-MM-DD`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// Something wrong, with a life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The same in every revision, see [`Finding::id_of`].
    pub id: FindingId,
    /// Sort of finding.
    pub kind: FindingKind,
    /// Name of what is wrong in its field: `CVE-2023-44487`, `run-as-non-root`.
    pub canonical_id: String,
    /// Other names of the same thing, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What it is about.
    pub subject: Subject,
    /// Where it is in its life.
    pub state: FindingState,
    /// How bad it is.
    pub severity: Severity,
    /// One line for people.
    pub title: String,
    /// What was seen and what to do, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Level that found it.
    pub level: Level,
    /// Version in which it is fixed, for vulnerabilities that have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_version: Option<String>,
    /// Why it is in its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Why it is accepted, when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppression: Option<Suppression>,
    /// Facts it rests on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Where to read more: URLs and control numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub references: Vec<String>,
}

impl Finding {
    /// A finding that was just opened; the rest is filled in by its fields.
    pub fn opened(
        kind: FindingKind,
        canonical_id: impl Into<String>,
        subject: Subject,
        severity: Severity,
        level: Level,
        title: impl Into<String>,
    ) -> Self {
        let canonical_id = canonical_id.into();
        Self {
            id: Self::id_of(kind, &canonical_id, &subject),
            kind,
            canonical_id,
            aliases: Vec::new(),
            subject,
            state: FindingState::Opened,
            severity,
            title: title.into(),
            message: String::new(),
            level,
            fixed_version: None,
            cause: None,
            suppression: None,
            evidence: Vec::new(),
            references: Vec::new(),
        }
    }

    /// The id of a finding: a hash over package, image repository, kind, canonical id, package URL without
    /// its version, and location. The version is left out so that a finding survives an upgrade that does
    /// not fix it.
    pub fn id_of(kind: FindingKind, canonical_id: &str, subject: &Subject) -> FindingId {
        let mut hasher = Hasher::new();
        hasher.field(subject.package.as_str().as_bytes());
        hasher.field(subject.image.as_deref().unwrap_or_default().as_bytes());
        hasher.field(kind.name().as_bytes());
        hasher.field(canonical_id.as_bytes());
        let purl = subject.purl.as_deref().unwrap_or_default();
        hasher.field(unversioned_purl(purl).as_bytes());
        hasher.field(subject.location.as_deref().unwrap_or_default().as_bytes());
        FindingId(hasher.finish())
    }

    /// The finding in a new state, with the cause of the change.
    #[must_use]
    pub fn into_state(mut self, state: FindingState, cause: Cause) -> Self {
        self.state = state;
        self.cause = Some(cause);
        self
    }
}

/// A package URL without its version; qualifiers stay, since they tell distributions apart. In a package URL
/// `@` is percent-encoded everywhere but before the version (purl-spec).
fn unversioned_purl(purl: &str) -> String {
    let (name, qualifiers) = match purl.split_once('?') {
        Some((name, qualifiers)) => (name, Some(qualifiers)),
        None => (purl, None),
    };
    let name = name.rsplit_once('@').map_or(name, |(name, _)| name);
    qualifiers.map_or_else(|| name.to_owned(), |q| format!("{name}?{q}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_upgrades_and_rescoring_but_not_other_subjects() {
        let subject = |purl: &str| Subject {
            package: "demo".parse().unwrap(),
            image: Some("docker.io/library/nginx".into()),
            purl: Some(purl.into()),
            location: None,
        };
        let id = |purl: &str| Finding::id_of(FindingKind::Vulnerability, "CVE-1", &subject(purl));
        assert_eq!(
            id("pkg:deb/debian/openssl@3.0.11?distro=debian-12"),
            id("pkg:deb/debian/openssl@3.0.14?distro=debian-12")
        );
        assert_ne!(
            id("pkg:deb/debian/openssl@3.0.11?distro=debian-12"),
            id("pkg:deb/debian/openssl@3.0.11?distro=debian-13")
        );
        assert_ne!(
            id("pkg:deb/debian/openssl@3.0.11"),
            Finding::id_of(
                FindingKind::Malware,
                "CVE-1",
                &subject("pkg:deb/debian/openssl@3.0.11")
            )
        );
    }
}
