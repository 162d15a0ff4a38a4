//! Who holds a package: the index from advisories back to stored component lists.

use std::collections::BTreeMap;

use crate::{Component, PackageKey};

/// A component in the lists that hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Indexed {
    /// The component.
    pub component: Component,
    /// Numbers of the lists that hold it, ascending.
    pub lists: Vec<u32>,
}

/// From package names to components to the stored lists (SBOMs) that hold them.
#[derive(Debug, Default)]
pub struct ReverseIndex {
    packages: BTreeMap<PackageKey, BTreeMap<Component, Vec<u32>>>,
}

impl ReverseIndex {
    /// Adds a stored list of components under a number of the caller's.
    pub fn insert(&mut self, list: u32, components: &[Component]) {
        for component in components {
            let Some(key) = PackageKey::of(component) else {
                continue;
            };
            let lists = self
                .packages
                .entry(key)
                .or_default()
                .entry(component.clone())
                .or_default();
            if let Err(at) = lists.binary_search(&list) {
                lists.insert(at, list);
            }
        }
    }

    /// Every component of a package, with the lists that hold it.
    pub fn holders(&self, package: &PackageKey) -> Vec<Indexed> {
        self.packages.get(package).map_or_else(Vec::new, |found| {
            found
                .iter()
                .map(|(component, lists)| Indexed {
                    component: component.clone(),
                    lists: lists.clone(),
                })
                .collect()
        })
    }
}
