//! The history of a package: every revision that was published, numbered.
//!
//! The number belongs to the store, not to the revision: counting is what a place does, and if the count were part of the
//! bytes, the same input would give other bytes the second time. So each entry is a name in the store that points to
//! its revision, which also keeps a registry from collecting it. An entry's name has number and digest, so writers
//! who count alike at the same time keep both entries; who reads puts them in order.

use std::collections::BTreeSet;

use quench_content::{RefName, Store, StoreError};
use quench_model::{Digest, PackageName};

use crate::Package;

/// An entry of a package's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place, from 1 on.
    pub number: u64,
    /// The revision.
    pub revision: Digest,
}

impl Entry {
    /// The package's version with the number behind: `1.2.3-q4`.
    pub fn version(&self, package: &Package) -> String {
        format!("{}-q{}", package.version, self.number)
    }
}

/// The history of a package in a store, oldest first; empty when nothing of that name was published.
///
/// # Errors
/// When the store cannot be read.
pub async fn history(store: &Store, name: &PackageName) -> Result<Vec<Entry>, StoreError> {
    let mut entries = Vec::new();
    for entry in store.names(&RefName::history_prefix(name)).await? {
        if let Some(number) = entry.history_number(name) {
            entries.push((number, entry));
        }
    }
    entries.sort();
    let mut seen = BTreeSet::new();
    let mut history: Vec<Entry> = Vec::with_capacity(entries.len());
    for (_, name) in entries {
        let Some(revision) = store.resolve(&name).await? else {
            continue;
        };
        if seen.insert(revision.digest.clone()) {
            history.push(Entry {
                number: history.len() as u64 + 1,
                revision: revision.digest,
            });
        }
    }
    Ok(history)
}

/// Puts a revision into its package's history, unless it is there.
///
/// # Errors
/// When the store fails.
pub async fn record(store: &Store, package: &Package) -> Result<(), StoreError> {
    let present = store.names(&RefName::history_prefix(&package.name)).await?;
    match next(&present, package) {
        Some(name) => store.tag(&name, &package.revision).await,
        None => Ok(()),
    }
}

/// The name under which a revision is to be kept, given those of its package; none when it has one.
pub(crate) fn next(present: &[RefName], package: &Package) -> Option<RefName> {
    let Package { name, revision, .. } = package;
    let mut highest = 0;
    let mut count = 0;
    for entry in present {
        let Some(number) = entry.history_number(name) else {
            continue;
        };
        if *entry == RefName::history(name, number, &revision.digest) {
            return None;
        }
        highest = highest.max(number);
        count += 1;
    }
    Some(RefName::history(
        name,
        count.max(highest).saturating_add(1),
        &revision.digest,
    ))
}
