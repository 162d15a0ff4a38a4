//! An epoch: a fixed state of advisory data, named by the digest of its content.

mod answer;
mod diff;

use std::path::{Path, PathBuf};

use quench_model::Digest;

use crate::{Component, Error, ImportReport};

pub use answer::{Coverage, Match, Matches, Unchecked, UncheckedReason};
pub use diff::{AdvisoryChange, ChangeKind, PackageKey};

/// A fixed state of advisory data.
#[derive(Debug)]
pub struct Epoch {
    digest: Digest,
    coverage: Coverage,
}

impl Epoch {
    /// Imports sources (OSV records, folders and zip archives of them) into an epoch kept under `folder`. The same content
    /// is not imported twice, whatever its files are called.
    pub fn build(sources: &[PathBuf], folder: &Path) -> Result<(Self, ImportReport), Error> {
        let _ = folder;
        Err(Error::NothingUsable {
            sources: format!("{sources:?}"),
            malformed: 0,
            first: String::new(),
        })
    }

    /// Opens an exported epoch, keeping it under `folder`.
    pub fn open(export: &Path, folder: &Path) -> Result<Self, Error> {
        let _ = folder;
        Err(Error::UnknownSource {
            path: export.to_owned(),
        })
    }

    /// Opens an epoch that was built or opened under `folder` before.
    pub fn load(digest: &Digest, folder: &Path) -> Result<Self, Error> {
        Err(Error::NoSuchEpoch {
            digest: digest.clone(),
            folder: folder.to_owned(),
        })
    }

    /// Writes the epoch to one file (media type [`quench_model::media_type::EPOCH`]): the same epoch gives the same bytes.
    pub fn export(&self, path: &Path) -> Result<(), Error> {
        Err(Error::UnknownSource {
            path: path.to_owned(),
        })
    }

    /// Digest of the normalised content.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Of which ecosystems and releases it speaks.
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// What is known about components.
    pub fn matches(&self, components: &[Component]) -> Result<Matches, Error> {
        let _ = components;
        Ok(Matches::default())
    }

    /// Advisories that say something else in `new` than in this epoch, by id.
    pub fn diff(&self, new: &Self) -> Result<Vec<AdvisoryChange>, Error> {
        let _ = new;
        Ok(Vec::new())
    }
}
