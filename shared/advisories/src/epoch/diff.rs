//! Which advisories changed between two epochs.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::record::Record;
use super::store::Store;
use crate::{Component, Ecosystem, Error};

/// What advisories name: a package of an ecosystem, its name in the form it is looked up by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PackageKey {
    /// Ecosystem, with its release.
    pub ecosystem: Ecosystem,
    /// Name, normalised ([`Ecosystem::normalised_name`]).
    pub name: String,
}

impl PackageKey {
    /// The key a component is looked up by; nothing for a component of no known ecosystem.
    pub fn of(component: &Component) -> Option<Self> {
        let ecosystem = component.ecosystem.clone()?;
        let name = ecosystem.normalised_name(component.advised().0);
        Some(Self { ecosystem, name })
    }
}

/// How an advisory changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// What it says about versions, severity or names changed.
    Changed,
    /// It was withdrawn by its publisher.
    Withdrawn,
    /// It is no longer there.
    Removed,
    /// It is a CVE, and those who score it score it otherwise.
    Rescored,
}

/// An advisory that says something else than before.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdvisoryChange {
    /// Id of the advisory record.
    pub id: String,
    /// How it changed.
    pub kind: ChangeKind,
    /// Packages it named before or names now: the only ones whose state can have changed by it.
    pub packages: BTreeSet<PackageKey>,
}

/// Walks both epochs' ids side by side.
pub(super) fn diff(old: &Store, new: &Store) -> Result<Vec<AdvisoryChange>, Error> {
    let (old_reader, new_reader) = (old.reader()?, new.reader()?);
    let mut before = old.decisive()?.peekable();
    let mut after = new.decisive()?.peekable();
    let mut changes = Vec::new();
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => break,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(Ok((a, _))), Some(Ok((b, _)))) => a.cmp(b),
            // The error comes out below.
            (Some(Err(_)), _) => Ordering::Less,
            (_, Some(Err(_))) => Ordering::Greater,
        };
        let was = if order.is_le() {
            before.next().transpose()?
        } else {
            None
        };
        let is = if order.is_ge() {
            after.next().transpose()?
        } else {
            None
        };
        let (Some((id, _)), same) = (was.as_ref().or(is.as_ref()), was == is) else {
            continue;
        };
        if same {
            continue;
        }
        let was = match &was {
            Some((id, _)) => old_reader.record(id)?,
            None => None,
        };
        let is = match &is {
            Some((id, _)) => new_reader.record(id)?,
            None => None,
        };
        let live = |record: &Option<Record>| record.as_ref().is_some_and(|r| !r.withdrawn);
        let kind = match (live(&was), live(&is)) {
            (false, true) => ChangeKind::Added,
            (true, true) => ChangeKind::Changed,
            (true, false) if is.is_some() => ChangeKind::Withdrawn,
            (true, false) => ChangeKind::Removed,
            // It said nothing before and says nothing now.
            (false, false) => continue,
        };
        let packages: BTreeSet<PackageKey> = was
            .iter()
            .chain(&is)
            .flat_map(|record| &record.affected)
            .map(|affected| affected.package.clone())
            .collect();
        if packages.is_empty() {
            // It only scores a CVE.
            continue;
        }
        changes.push(AdvisoryChange {
            id: id.clone(),
            kind,
            packages,
        });
    }
    let changed: BTreeSet<String> = changes.iter().map(|change| change.id.clone()).collect();
    changes.extend(rescored(old, new, &changed)?);
    changes.sort();
    Ok(changes)
}

/// CVEs that have another score than before, with the packages whose advisories speak of them and did not change themselves.
fn rescored(
    old: &Store,
    new: &Store,
    changed: &BTreeSet<String>,
) -> Result<Vec<AdvisoryChange>, Error> {
    let (old_reader, new_reader) = (old.reader()?, new.reader()?);
    let mut differing: BTreeSet<String> = BTreeSet::new();
    for entry in old.scores()? {
        let (cve, vector) = entry?;
        if new_reader.score(&cve)?.is_none_or(|now| now != vector) {
            differing.insert(cve);
        }
    }
    for entry in new.scores()? {
        let (cve, _) = entry?;
        if old_reader.score(&cve)?.is_none() {
            differing.insert(cve);
        }
    }
    let mut changes = Vec::new();
    for cve in differing {
        let mut packages = BTreeSet::new();
        for reader in [&old_reader, &new_reader] {
            for id in reader.speakers(&cve)? {
                if changed.contains(&id) {
                    continue;
                }
                let record = reader.record(&id)?;
                let affected = record.into_iter().flat_map(|record| record.affected);
                packages.extend(affected.map(|affected| affected.package));
            }
        }
        if !packages.is_empty() {
            changes.push(AdvisoryChange {
                id: cve,
                kind: ChangeKind::Rescored,
                packages,
            });
        }
    }
    Ok(changes)
}
