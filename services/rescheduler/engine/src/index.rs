//! Who holds what, kept beside the store's cache: derived from the store, and made anew when it is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use quench_advisories::{Component, Ecosystem, Error, PackageKey, ReverseIndex};
use quench_inventory::{CATALOGUER_VERSION, Inventory};
use quench_model::Digest;
use quench_package::EngineError;
use serde::{Deserialize, Serialize};

/// Changes when what is kept does.
const VERSION: u32 = 1;
/// Note with the epoch that every revision noted as [`Known`] was looked at under.
const EPOCH: &str = "epoch";

/// One image of one revision, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct List {
    pub(crate) revision: Digest,
    /// Ecosystems of what it holds: those whose coverage matters to it.
    pub(crate) ecosystems: BTreeSet<Ecosystem>,
}

/// What is remembered of a revision that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Manifest of the findings it had then. With other findings since, somebody else looked at it.
    pub(crate) findings: Option<Digest>,
}

pub(crate) struct Index {
    reverse: ReverseIndex,
}

impl Index {
    /// Opens the index in a folder.
    pub(crate) fn open(folder: &Path) -> Result<Self, EngineError> {
        let path = folder.join(format!("holders-{VERSION}.{CATALOGUER_VERSION}.redb"));
        let reverse = match ReverseIndex::open(&path) {
            Ok(reverse) => reverse,
            Err(error) if error.is_in_use() => return Err(unavailable(&error)),
            Err(error) => {
                // Everything in it can be had from the store again.
                tracing::warn!(%error, "index of holders is made anew");
                std::fs::remove_file(&path).map_err(|_| unavailable(&error))?;
                ReverseIndex::open(&path).map_err(|error| unavailable(&error))?
            }
        };
        Ok(Self { reverse })
    }

    /// Every list, by revision.
    pub(crate) fn revisions(&self) -> Result<BTreeMap<Digest, Vec<u32>>, EngineError> {
        let mut revisions: BTreeMap<Digest, Vec<u32>> = BTreeMap::new();
        for (number, list) in self.lists()? {
            revisions.entry(list.revision).or_default().push(number);
        }
        Ok(revisions)
    }

    pub(crate) fn lists(&self) -> Result<Vec<(u32, List)>, EngineError> {
        self.reverse.lists().map_err(|error| unavailable(&error))
    }

    /// Puts a revision's images in, in the place of what was kept of it.
    pub(crate) fn put(
        &self,
        revision: &Digest,
        before: &[u32],
        inventories: &[Inventory],
    ) -> Result<(), EngineError> {
        self.remove(revision, before)?;
        for inventory in inventories {
            let components: Vec<Component> = inventory.components();
            let list = List {
                revision: revision.clone(),
                ecosystems: components
                    .iter()
                    .filter_map(|component| component.ecosystem.clone())
                    .collect(),
            };
            self.reverse
                .insert(&list, &components)
                .map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }

    /// Forgets a revision.
    pub(crate) fn remove(&self, revision: &Digest, numbers: &[u32]) -> Result<(), EngineError> {
        // The note first: without it the revision counts as not looked at, whatever of its lists is left.
        self.know(revision, None)?;
        for number in numbers {
            self.reverse
                .remove(*number)
                .map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }

    /// Components of a package, and the lists that hold them.
    pub(crate) fn holders(
        &self,
        package: &PackageKey,
    ) -> Result<Vec<quench_advisories::Indexed>, EngineError> {
        self.reverse
            .holders(package)
            .map_err(|error| unavailable(&error))
    }

    pub(crate) fn known(&self, revision: &Digest) -> Result<Option<Known>, EngineError> {
        self.reverse
            .note(&revision.to_string())
            .map_err(|error| unavailable(&error))
    }

    pub(crate) fn know(&self, revision: &Digest, known: Option<&Known>) -> Result<(), EngineError> {
        self.reverse
            .set_note(&revision.to_string(), known)
            .map_err(|error| unavailable(&error))
    }

    /// The epoch everything known was looked at under.
    pub(crate) fn epoch(&self) -> Result<Option<Digest>, EngineError> {
        self.reverse
            .note(EPOCH)
            .map_err(|error| unavailable(&error))
    }

    pub(crate) fn set_epoch(&self, epoch: &Digest) -> Result<(), EngineError> {
        self.reverse
            .set_note(EPOCH, Some(epoch))
            .map_err(|error| unavailable(&error))
    }
}

/// Advisory data and its indexes are files of this machine: what fails now may work in a while.
pub(crate) fn unavailable(error: &Error) -> EngineError {
    let reason = if error.is_in_use() {
        "another process applies advisories to this store; wait until it is done".to_owned()
    } else {
        error.to_string()
    };
    EngineError::Unavailable {
        reason,
        retry_after: Duration::from_secs(10),
    }
}
