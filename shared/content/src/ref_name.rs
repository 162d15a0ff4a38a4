//! Names that point to content.

use std::fmt;
use std::str::FromStr;

use quench_model::{Digest, PackageName};

/// A name that points to a manifest. It follows the grammar of registry tags (OCI distribution-spec 1.1,
/// "Pulling manifests"), so the same name works in a folder and in a registry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RefName(String);

/// A text that is not a [`RefName`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a reference name; use up to 128 letters, digits, '_', '.' and '-', not starting with '.' or '-'"
)]
pub struct RefNameError(String);

impl RefName {
    /// Points to a package's newest revision.
    pub fn package(name: &PackageName) -> Self {
        Self(format!("package-{name}"))
    }

    /// Points to the stored outcome of a level's work, by its idempotency key.
    pub fn outcome(key: &Digest) -> Self {
        Self(format!("outcome-{}", key.hex()))
    }

    /// Points to the index of a manifest's referrers: the fallback tag of the OCI distribution-spec 1.1,
    /// which every registry supports.
    pub fn referrers(subject: &Digest) -> Self {
        Self(format!("sha256-{}", subject.hex()))
    }

    /// Points to one of a manifest's referrers. No other referrer has this name, so it cannot be lost to
    /// another writer the way an entry of [`RefName::referrers`] can. Half of the referrer's digest (128
    /// bits) is what a tag has room for.
    pub fn referrer(subject: &Digest, referrer: &Digest) -> Self {
        let mut short = referrer.hex();
        short.truncate(32);
        Self(format!("sha256-{}.{short}", subject.hex()))
    }

    /// Points to the signatures (`sig`), attestations (`att`) or SBOMs (`sbom`) of a manifest where cosign looks for
    /// them (cosign `SIGNATURE_SPEC.md`, "Tag-based Discovery").
    pub fn cosign(subject: &Digest, suffix: &str) -> Self {
        Self(format!("sha256-{}.{suffix}", subject.hex()))
    }

    /// Points to a revision of a package that was promoted to a stage. All of a package begin with
    /// [`RefName::promoted_prefix`].
    pub fn promoted(package: &PackageName, revision: &Digest) -> Self {
        Self(format!(
            "{}{}",
            Self::promoted_prefix(package),
            revision.hex()
        ))
    }

    /// Beginning of the names of a package's promoted revisions: a tag has no room for the package's name itself.
    pub fn promoted_prefix(package: &PackageName) -> String {
        let mut short = Digest::of(package.as_str()).hex();
        short.truncate(32);
        format!("promoted-{short}.")
    }

    /// What the claims to be the next of a row that only one may continue begin with. A registry cannot keep a name for
    /// one writer, so each writes a name of its own below it and sees who else did. The row is told by a digest: a tag
    /// has no room for more.
    pub fn claims_prefix(row: &Digest, number: u64) -> String {
        let mut short = row.hex();
        short.truncate(32);
        format!("claim-{short}.{number}.")
    }

    /// One claim; `nonce` is nobody else's.
    pub fn claim(row: &Digest, number: u64, nonce: u64) -> Self {
        Self(format!("{}{nonce:016x}", Self::claims_prefix(row, number)))
    }

    /// Says that a claim was given up.
    pub fn given_up(&self) -> Self {
        Self(format!("{}.x", self.0))
    }

    /// Points to the current findings of a revision, which change with every advisory epoch.
    pub fn findings(revision: &Digest) -> Self {
        Self(format!("findings-{}", revision.hex()))
    }

    /// Keeps a revision in its package's history: its number there, and half of its digest, so that two
    /// writers who count alike keep both. [`RefName::history_number`] reads it.
    pub fn history(name: &PackageName, number: u64, revision: &Digest) -> Self {
        let mut short = revision.hex();
        short.truncate(32);
        Self(format!("history-{name}.q{number}.{short}"))
    }

    /// What all entries of a package's history begin with.
    pub fn history_prefix(name: &PackageName) -> String {
        format!("history-{name}.q")
    }

    /// The number an entry of a package's history has; none when the name is no such entry.
    pub fn history_number(&self, name: &PackageName) -> Option<u64> {
        let rest = self.0.strip_prefix(&Self::history_prefix(name))?;
        let (number, short) = rest.split_once('.')?;
        let fits = short.len() == 32 && short.bytes().all(|b| b.is_ascii_hexdigit());
        number.parse().ok().filter(|_| fits)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RefName {
    type Err = RefNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        if !text.is_empty()
            && text.len() <= 128
            && text.bytes().all(inner)
            && !text.starts_with(['.', '-'])
        {
            Ok(Self(text.to_owned()))
        } else {
            Err(RefNameError(text.chars().take(140).collect()))
        }
    }
}
