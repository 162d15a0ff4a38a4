//! The set of files an image keeps, each with the reason it is kept for.

use std::collections::{BTreeMap, BTreeSet};

use quench_image::{Entry, Tree};

/// Why a file is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reason {
    /// What it is to the one that needs it.
    pub what: &'static str,
    /// The name it was needed by, where that says more than its path.
    pub detail: Option<Box<str>>,
    /// The file that needs it.
    pub from: Option<u32>,
}

impl Reason {
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            detail: None,
            from: None,
        }
    }

    pub fn of(what: &'static str, from: Entry<'_>) -> Self {
        Self {
            from: Some(from.number()),
            ..Self::new(what)
        }
    }

    pub fn detail(mut self, detail: &str) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The reason for people: `library libssl.so.3 of /usr/sbin/nginx`.
    pub fn text(&self, tree: &Tree) -> String {
        let mut text = self.what.to_owned();
        if let Some(detail) = &self.detail {
            text.push(' ');
            text.push_str(detail);
        }
        if let Some(from) = self.from.and_then(|number| tree.entry_at(number)) {
            text.push_str(" of ");
            text.push_str(&from.path());
        }
        text
    }
}

/// Files that are kept. The first reason found stays: it is the shortest way from a command.
#[derive(Debug, Clone, Default)]
pub(crate) struct Keep {
    pub entries: BTreeMap<u32, Reason>,
    /// Programs that a command line names directly: they keep setuid and file capabilities.
    pub named: BTreeSet<u32>,
}

impl Keep {
    pub fn insert(&mut self, entry: Entry<'_>, reason: Reason) -> bool {
        match self.entries.entry(entry.number()) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(reason);
                true
            }
            std::collections::btree_map::Entry::Occupied(_) => false,
        }
    }

    pub fn contains(&self, entry: Entry<'_>) -> bool {
        self.entries.contains_key(&entry.number())
    }
}
