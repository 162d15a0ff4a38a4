//! What files an image holds, and whose.

use std::collections::{BTreeMap, HashSet};

use quench_image::{Entry, ImageError, Kind, Tree};

use super::examples;
use crate::{FileCounts, InstalledPackage, Inventory, PrivilegedFile, Problem, ProblemKind};

/// What files there are, and whose.
#[derive(Default)]
pub(super) struct Files {
    pub counts: FileCounts,
    pub unowned_programs: Vec<String>,
    pub privileged: Vec<PrivilegedFile>,
    scripts: u64,
    languages: BTreeMap<&'static str, (u64, String)>,
}

impl Files {
    pub fn of(tree: &Tree, packages: &[InstalledPackage]) -> Result<Self, ImageError> {
        let owned: HashSet<&str> = packages
            .iter()
            .flat_map(|package| package.files.iter().map(String::as_str))
            .collect();
        let mut files = Self::default();
        for entry in tree.iter() {
            if entry.is_folder() {
                continue;
            }
            files.counts.total += 1;
            let path = entry.path();
            if let Some(rights) = rights(&entry)
                && files.privileged.len() < Inventory::MAX_NAMED
            {
                files.privileged.push(PrivilegedFile {
                    path: path.clone(),
                    rights,
                });
            }
            if owned.contains(path.as_str()) {
                files.counts.owned += 1;
                continue;
            }
            files.counts.unowned += 1;
            if entry.kind() != Kind::File {
                continue;
            }
            if let Some(language) = language(&path) {
                let (count, _) = files.languages.entry(language).or_insert((0, path.clone()));
                *count += 1;
            }
            if is_program(tree, entry)? {
                files.counts.unowned_programs += 1;
                // The tree is walked in a fixed order, so these are always the same ones.
                if files.unowned_programs.len() < Inventory::MAX_NAMED {
                    files.unowned_programs.push(path);
                }
            } else if entry.mode() & 0o111 != 0 {
                files.scripts += 1;
            }
        }
        files.unowned_programs.sort();
        files.privileged.sort();
        Ok(files)
    }

    pub fn problems(&self, has_database: bool) -> Vec<Problem> {
        let mut problems = Vec::new();
        let programs = self.counts.unowned_programs;
        if !has_database && (programs > 0 || self.scripts > 0 || !self.languages.is_empty()) {
            problems.push(Problem::new(
                ProblemKind::NoPackageDatabase,
                None,
                match self.unowned_programs.as_slice() {
                    [] => "it holds no package database; what its files are is not known".to_owned(),
                    named => format!(
                        "it holds no package database; what its {programs} programs and libraries are made of is not known, such as {}",
                        examples(named)
                    ),
                },
            ));
        } else if programs > 0 {
            problems.push(Problem::new(
                ProblemKind::UnownedPrograms,
                None,
                format!(
                    "{programs} programs and libraries belong to no package, so what they are made of is not known, such as {}",
                    examples(&self.unowned_programs)
                ),
            ));
        }
        if !self.languages.is_empty() {
            let told: Vec<String> = self
                .languages
                .iter()
                .map(|(language, (count, example))| format!("{count} of {language} ({example})"))
                .collect();
            problems.push(Problem::new(
                ProblemKind::UncataloguedLanguagePackages,
                None,
                format!(
                    "packages of programming languages are not catalogued yet: {}",
                    told.join(", ")
                ),
            ));
        }
        problems
    }
}

fn rights(entry: &Entry<'_>) -> Option<String> {
    let file = entry.is_file();
    let rights = [
        (file && entry.mode() & 0o4000 != 0, "setuid"),
        (file && entry.mode() & 0o2000 != 0, "setgid"),
        (entry.capability().is_some(), "capabilities"),
    ];
    let told: Vec<&str> = rights
        .into_iter()
        .filter_map(|(has, name)| has.then_some(name))
        .collect();
    (!told.is_empty()).then(|| told.join(","))
}

/// Whether a file is an ELF file.
fn is_program(tree: &Tree, entry: Entry<'_>) -> Result<bool, ImageError> {
    const ELF: [u8; 4] = *b"\x7fELF";
    if entry.size() < 4 {
        return Ok(false);
    }
    let mut magic = [0; 4];
    let reader = tree.open(entry)?;
    match reader.read_exact_at(&mut magic, 0) {
        Ok(()) => Ok(magic == ELF),
        Err(error) => Err(ImageError::File {
            path: entry.path(),
            reason: error.to_string(),
        }),
    }
}

/// The language whose package manager puts a file with such a path into every package.
fn language(path: &str) -> Option<&'static str> {
    let ends = |tail: &str| path.ends_with(tail);
    if ends(".dist-info/METADATA") || ends(".egg-info/PKG-INFO") || ends(".egg-info") {
        Some("Python")
    } else if ends("/package.json") && path.contains("/node_modules/") {
        Some("Node.js")
    } else if ends(".jar") || ends(".war") || ends(".ear") {
        Some("Java")
    } else if ends(".gemspec") && path.contains("/specifications/") {
        Some("Ruby")
    } else if ends("/composer/installed.json") {
        Some("PHP")
    } else if ends(".deps.json") {
        Some(".NET")
    } else {
        None
    }
}
