//! How far an image is minimised, and what that keeps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use quench_image::{Entry, Tree};

use crate::closure::Closure;
use crate::keep::{Keep, Reason};
use crate::packages::Packages;

/// How far an image was minimised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tier {
    /// The files that the commands need, and no shell.
    Distroless,
    /// The same, with a shell and the tools its scripts name.
    Shell,
    /// Whole packages, those that the commands need; no package manager, no setuid.
    Packages,
    /// Everything but the package manager and setuid.
    Original,
}

impl Tier {
    /// Its number, 1 to 4.
    pub fn number(self) -> u8 {
        match self {
            Self::Distroless => 1,
            Self::Shell => 2,
            Self::Packages => 3,
            Self::Original => 4,
        }
    }

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Distroless => "distroless",
            Self::Shell => "distroless with shell",
            Self::Packages => "packages pruned",
            Self::Original => "original without package manager",
        }
    }
}

/// Folders that hold the package manager's own data. `status.d` is written anew.
const MANAGER_FOLDERS: [&str; 7] = [
    "/var/lib/dpkg",
    "/var/lib/apt",
    "/var/cache/apt",
    "/var/cache/debconf",
    "/var/log/apt",
    "/var/log/dpkg.log",
    "/etc/apt",
];

/// Documentation, which copyright files are no part of.
const DOCUMENTATION: [&str; 5] = [
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/info",
    "/usr/share/lintian",
    "/usr/share/doc-base",
];

/// Whether a package manages packages, or only helps to.
fn is_manager(package: &str) -> bool {
    ["apt", "dpkg", "debconf", "aptitude"].iter().any(|name| {
        package == *name
            || package
                .strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('-'))
    }) || package.starts_with("libapt-")
}

/// Whether a package is for building software.
fn is_for_building(package: &str) -> bool {
    ["gcc", "g++", "cpp", "binutils", "make", "clang"]
        .iter()
        .any(|name| {
            package == *name
                || package
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with('-'))
        })
        && !package.ends_with("-base")
        || package.ends_with("-dev")
        || package.ends_with("-doc")
        || package.ends_with("-dbg")
}

fn in_any(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// What tiers 1 and 2 keep: the closure, and the copyright files of what is in it.
pub(crate) fn by_file(tree: &Tree, packages: &Packages, closure: &Closure) -> Keep {
    let mut keep = closure.keep.clone();
    keep_copyright(tree, packages, &mut keep);
    keep
}

/// Packages that have a file in a set: licences and folders alone do not count.
pub(crate) fn with_files(tree: &Tree, packages: &Packages, keep: &Keep) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for number in keep.entries.keys() {
        let Some(entry) = tree.entry_at(*number) else {
            continue;
        };
        if !entry.is_folder() && !in_any(&entry.path(), &DOCUMENTATION) {
            found.extend(packages.owners(entry));
        }
    }
    found
}

fn keep_copyright(tree: &Tree, packages: &Packages, keep: &mut Keep) {
    for number in with_files(tree, packages, keep) {
        let Some(package) = packages.get(number) else {
            continue;
        };
        let Ok(found) = tree.resolve(&format!("/usr/share/doc/{}/copyright", package.name)) else {
            continue;
        };
        let reason = Reason::new("licence of").detail(package.label());
        for entry in found.links.into_iter().chain([found.entry]) {
            keep.insert(entry, reason.clone());
        }
    }
}

/// What tier 3 keeps: every package that is needed, whole, and what no package owns.
pub(crate) fn by_package(
    tree: &Tree,
    packages: &Packages,
    closure: &Closure,
) -> (Keep, BTreeMap<String, String>) {
    let mut wanted: BTreeMap<u32, String> = BTreeMap::new();
    let mut queue: VecDeque<u32> = VecDeque::new();
    let mut want = |number: u32, reason: String, queue: &mut VecDeque<u32>| {
        if let std::collections::btree_map::Entry::Vacant(slot) = wanted.entry(number) {
            slot.insert(reason);
            queue.push_back(number);
        }
    };
    let mut interpreters = BTreeSet::new();
    for (number, reason) in &closure.keep.entries {
        let Some(entry) = tree.entry_at(*number) else {
            continue;
        };
        if entry.is_folder() || in_any(&entry.path(), &DOCUMENTATION) {
            continue;
        }
        for owner in packages.owners(entry) {
            let told = format!("{}: {}", entry.path(), reason.text(tree));
            want(*owner, told, &mut queue);
            if closure.interpreters.contains(number) {
                interpreters.insert(*owner);
            }
        }
    }
    // Whatever is written in an interpreter's language may be imported by what no package owns.
    let made_for = dependents(packages, &interpreters);
    for (number, package) in packages.all.iter().enumerate() {
        let number = u32::try_from(number).unwrap_or(u32::MAX);
        let essential = package
            .paragraph
            .lines()
            .any(|line| line.eq_ignore_ascii_case("essential: yes"));
        let dropped = is_manager(&package.name) || is_for_building(&package.name);
        if essential && !dropped {
            want(number, "essential".to_owned(), &mut queue);
        } else if !dropped && made_for.contains(&number) {
            want(number, "made for a kept interpreter".to_owned(), &mut queue);
        } else if !dropped && closure.unknown_commands && is_leaf(packages, &package.name) {
            want(
                number,
                "nothing depends on it: it was asked for".to_owned(),
                &mut queue,
            );
        }
    }
    while let Some(number) = queue.pop_front() {
        let Some(package) = packages.get(number) else {
            continue;
        };
        for name in package.depends.iter().flatten() {
            for found in packages.named(name) {
                let Some(needed) = packages.all.get(*found) else {
                    continue;
                };
                if !is_manager(&needed.name) && !is_for_building(&needed.name) {
                    let found = u32::try_from(*found).unwrap_or(u32::MAX);
                    want(found, format!("dependency of {}", package.name), &mut queue);
                }
            }
        }
    }
    let mut keep = closure.keep.clone();
    for entry in tree.iter() {
        let path = entry.path();
        if in_any(&path, &MANAGER_FOLDERS) || in_any(&path, &DOCUMENTATION) {
            continue;
        }
        let owners = owners_here_or_above(packages, entry);
        match owners.iter().find(|number| wanted.contains_key(number)) {
            Some(number) => {
                let name = packages.get(*number).map_or("", |package| package.label());
                keep.insert(entry, Reason::new("part of").detail(name));
            }
            None if owners.is_empty() => {
                keep.insert(entry, Reason::new("owned by no package"));
            }
            None => {}
        }
    }
    keep_copyright(tree, packages, &mut keep);
    let reasons = wanted
        .into_iter()
        .filter_map(|(number, reason)| Some((packages.get(number)?.name.clone(), reason)))
        .collect();
    (keep, reasons)
}

/// Owners of an entry, or of the nearest folder above it that has any: what appears in a package's own folder
/// goes with the package. Shared folders do not decide for what is in them.
fn owners_here_or_above<'a>(packages: &'a Packages, entry: Entry<'_>) -> &'a [u32] {
    let mut at = entry;
    loop {
        let owners = packages.owners(at);
        if !owners.is_empty() {
            return if at == entry || owners.len() == 1 {
                owners
            } else {
                &[]
            };
        }
        if at.parent() == at {
            return &[];
        }
        at = at.parent();
    }
}

/// Packages that need one of `wanted`, directly or through others; with `wanted`.
fn dependents(packages: &Packages, wanted: &BTreeSet<u32>) -> BTreeSet<u32> {
    let mut found = wanted.clone();
    loop {
        let before = found.len();
        for (number, package) in packages.all.iter().enumerate() {
            let mut needed = package.depends.iter().flatten();
            let needs = needed.any(|name| {
                let named = packages.named(name).iter();
                let mut numbers = named.filter_map(|number| u32::try_from(*number).ok());
                numbers.any(|number| found.contains(&number))
            });
            if needs && let Ok(number) = u32::try_from(number) {
                found.insert(number);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn is_leaf(packages: &Packages, name: &str) -> bool {
    !packages.all.iter().any(|package| {
        package
            .depends
            .iter()
            .flatten()
            .any(|needed| needed == name)
    })
}

/// What tier 4 keeps: everything but the package manager.
pub(crate) fn without_manager(tree: &Tree, packages: &Packages, named: BTreeSet<u32>) -> Keep {
    let mut keep = Keep {
        named,
        ..Keep::default()
    };
    for entry in tree.iter() {
        let owners = packages.owners(entry);
        let managers = !owners.is_empty()
            && owners.iter().all(|number| {
                packages
                    .get(*number)
                    .is_some_and(|package| is_manager(&package.name))
            });
        let managing = managers && !entry.is_folder() && !keep.named.contains(&entry.number());
        let own_data = !packages.is_empty() && in_any(&entry.path(), &MANAGER_FOLDERS);
        if !managing && !own_data {
            keep.insert(entry, Reason::new("original"));
        }
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_managers_and_compilers_are_known_by_whole_names() {
        assert!(is_manager("apt") && is_manager("apt-utils") && is_manager("libapt-pkg6.0"));
        assert!(!is_manager("aptly") && !is_manager("libdpkg"));
        assert!(is_for_building("gcc-12") && is_for_building("libssl-dev"));
        assert!(
            !is_for_building("gcc-12-base")
                && !is_for_building("libgcc-s1")
                && !is_for_building("makefile")
        );
    }
}
