//! The loader check: every ELF file of the new image finds what it found in the old one.

use std::collections::BTreeSet;

use quench_image::{Entry, Tree};

use crate::elf::Elf;
use crate::libraries::Libraries;

/// Why the loader would fail in the new image where it did not in the old one; nothing when it would not.
pub(crate) fn loader(original: &Tree, minimized: &Tree) -> Vec<String> {
    let before = Libraries::of(original, []);
    let after = Libraries::of(minimized, []);
    let mut failures = Vec::new();
    // Libraries that only their users' paths lead to: a name that is there counts as found.
    let names = |tree: &Tree, libraries: &Libraries<'_>| -> BTreeSet<String> {
        tree.iter()
            .filter(|entry| entry.is_file() && entry.name().contains(".so"))
            .filter_map(|entry| libraries.elf(entry)?.soname.clone())
            .collect()
    };
    let known = names(minimized, &after);
    let known_before = names(original, &before);
    for entry in minimized.iter().filter(Entry::is_file) {
        let Some(elf) = after.elf(entry) else {
            continue;
        };
        if !elf.dynamic {
            continue;
        }
        let path = entry.path();
        let Ok(old) = original.resolve(&path) else {
            continue;
        };
        if let Some(interpreter) = &elf.interpreter
            && minimized.resolve(interpreter).is_err()
            && original.resolve(interpreter).is_ok()
        {
            failures.push(format!("{path} lost its loader {interpreter}"));
        }
        for name in &elf.needed {
            match after.find(name, entry, &elf, &[]) {
                Some(found) => {
                    let library = after.elf(found.entry);
                    let lost = library.and_then(|library| lost_version(&elf, name, &library));
                    if let Some(version) = lost {
                        let here = found.entry.path();
                        let there = before
                            .find(name, old.entry, &elf, &[])
                            .map(|found| found.entry.path());
                        // The same library lacked it before: the image came that way.
                        if there.as_deref() != Some(here.as_str()) {
                            failures.push(format!(
                                "{path} needs {version} of {name}, which {here} does not have"
                            ));
                        }
                    }
                }
                None if known.contains(name) => {}
                None => {
                    let had = before.find(name, old.entry, &elf, &[]).is_some()
                        || known_before.contains(name);
                    if had {
                        failures.push(format!("{path} lost its library {name}"));
                    }
                }
            }
        }
    }
    failures
}

/// A symbol version that a library lacks.
fn lost_version<'a>(elf: &'a Elf, name: &str, library: &Elf) -> Option<&'a str> {
    elf.versions_needed
        .iter()
        .find(|(of, version)| of == name && !library.versions_defined.contains(version))
        .map(|(_, version)| version.as_str())
}
