//! Which advisories changed between two epochs.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{Component, Ecosystem};

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
