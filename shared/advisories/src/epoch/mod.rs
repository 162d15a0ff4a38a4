//! An epoch: a fixed state of advisory data, named by the digest of its content.
//!
//! Its truth is the sorted sequence of [`Record`]s: the digest is taken over them, and the exported form is nothing
//! else. The database beside it (redb) is an index that each machine makes for itself.

mod answer;
mod build;
mod diff;
mod export;
mod matching;
mod names;
mod record;
mod row;
mod store;

use std::fmt;
use std::path::{Path, PathBuf};

use quench_model::Digest;

use crate::{Component, Error, ImportReport};
use store::Store;

pub use answer::{Coverage, Match, Matches, Unchecked, UncheckedReason};
pub use diff::{AdvisoryChange, ChangeKind, PackageKey};
pub(crate) use names::best_name;
pub(crate) use record::{Affected, Event, Record};

/// A fixed state of advisory data.
pub struct Epoch {
    digest: Digest,
    coverage: Coverage,
    store: Store,
}

impl Epoch {
    /// Imports sources (OSV records, folders and zip archives of them) into an epoch kept under `folder`. The same content
    /// is not imported twice, whatever its files are called.
    ///
    /// # Errors
    /// When a source cannot be read, or not one usable record is in them.
    pub fn build(sources: &[PathBuf], folder: &Path) -> Result<(Self, ImportReport), Error> {
        build::build(sources, folder)
    }

    /// Opens an exported epoch, keeping it under `folder`.
    ///
    /// # Errors
    /// When the file is damaged: its content must have the digest it claims.
    pub fn open(export: &Path, folder: &Path) -> Result<Self, Error> {
        export::open(export, folder)
    }

    /// Opens an epoch that was built or opened under `folder` before.
    ///
    /// # Errors
    /// [`Error::NoSuchEpoch`] when it was not.
    pub fn load(digest: &Digest, folder: &Path) -> Result<Self, Error> {
        Self::load_if_kept(digest, folder)?.ok_or_else(|| Error::NoSuchEpoch {
            digest: digest.clone(),
            folder: folder.to_owned(),
        })
    }

    fn load_if_kept(digest: &Digest, folder: &Path) -> Result<Option<Self>, Error> {
        let path = store::path_of(digest, folder);
        if !path.exists() {
            return Ok(None);
        }
        let store = Store::open(&path)?;
        Ok(Some(Self {
            digest: digest.clone(),
            coverage: store.coverage()?,
            store,
        }))
    }

    /// Writes the epoch to one file (media type [`quench_model::media_type::EPOCH`]): the same epoch gives the same bytes.
    pub fn export(&self, path: &Path) -> Result<(), Error> {
        export::export(self, path)
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
        matching::matches(self, components)
    }

    /// Advisories that say something else in `new` than in this epoch, by id.
    pub fn diff(&self, new: &Self) -> Result<Vec<AdvisoryChange>, Error> {
        diff::diff(&self.store, &new.store)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoch")
            .field("digest", &self.digest)
            .field("coverage", &self.coverage)
            .finish_non_exhaustive()
    }
}
