//! Names of vulnerabilities: which one to tell, and which advisories speak of the same.

use std::collections::{BTreeMap, BTreeSet};

use crate::osv::is_cve;

/// The best known of some names of one vulnerability: its CVE, else GitHub's, else the first.
pub(crate) fn best_name<'a>(names: impl Iterator<Item = &'a String>) -> &'a str {
    let rank = |name: &str| {
        if is_cve(name) {
            0
        } else if name.starts_with("GHSA-") {
            1
        } else {
            2
        }
    };
    names
        .map(|name| (rank(name), name.as_str()))
        .min()
        .map_or("", |(_, name)| name)
}

/// Whose word counts first: the ecosystem's or distribution's own database, then GitHub's, then a bare CVE record.
pub(super) fn vendor_rank(id: &str) -> u8 {
    if id.starts_with("GHSA-") {
        1
    } else {
        u8::from(is_cve(id)) * 2
    }
}

/// A vulnerability and those who speak of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Vulnerability {
    pub(super) names: BTreeSet<String>,
    /// Numbers given to [`unite`] by those who speak of it.
    pub(super) speakers: BTreeSet<usize>,
}

/// Unites statements that share a name. Each statement has the names of one vulnerability and the number of its
/// speaker.
pub(super) fn unite(statements: Vec<(BTreeSet<String>, usize)>) -> Vec<Vulnerability> {
    let mut united: BTreeMap<usize, Vulnerability> = BTreeMap::new();
    let mut home: BTreeMap<String, usize> = BTreeMap::new();
    for (number, (names, speaker)) in statements.into_iter().enumerate() {
        let mut merged = Vulnerability {
            names,
            speakers: BTreeSet::from([speaker]),
        };
        let met: BTreeSet<usize> = merged
            .names
            .iter()
            .filter_map(|name| home.get(name).copied())
            .collect();
        for other in met {
            if let Some(other) = united.remove(&other) {
                merged.names.extend(other.names);
                merged.speakers.extend(other.speakers);
            }
        }
        for name in &merged.names {
            home.insert(name.clone(), number);
        }
        united.insert(number, merged);
    }
    united.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn records_that_share_any_name_are_one_vulnerability() {
        let united = unite(vec![
            (set(&["GO-2024-1", "GHSA-a"]), 0),
            (set(&["CVE-2024-0001"]), 1),
            (set(&["GHSA-a", "CVE-2024-0001"]), 2),
            (set(&["CVE-2024-0002"]), 3),
        ]);
        assert_eq!(united.len(), 2);
        assert_eq!(united[0].speakers, BTreeSet::from([0, 1, 2]));
        assert_eq!(best_name(united[0].names.iter()), "CVE-2024-0001");
    }
}
