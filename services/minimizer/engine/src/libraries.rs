//! Where the dynamic loader finds libraries: ld.so(8) of glibc, and musl's loader.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::rc::Rc;

use quench_image::{Entry, Resolved, Tree};

use crate::elf::Elf;

/// Most bytes of a loader configuration file.
const CONF_LIMIT: u64 = 1 << 20;

/// Finds libraries in one tree, and remembers what it read of ELF files.
pub(crate) struct Libraries<'a> {
    tree: &'a Tree,
    /// Folders searched for every program, in order.
    folders: Vec<String>,
    read: RefCell<HashMap<u32, Option<Rc<Elf>>>>,
}

impl<'a> Libraries<'a> {
    /// `extra`: folders that come first, from `LD_LIBRARY_PATH`.
    pub fn of(tree: &'a Tree, extra: impl IntoIterator<Item = String>) -> Self {
        let mut folders: Vec<String> = extra.into_iter().collect();
        configured(tree, "/etc/ld.so.conf", &mut folders, 0);
        for folder in tree
            .lookup("/etc")
            .into_iter()
            .flat_map(|etc| etc.children())
        {
            // musl: one folder a line.
            if folder.name().starts_with("ld-musl-") && folder.name().ends_with(".path") {
                folders.extend(lines(tree, &folder.path()));
            }
        }
        // Debian's multiarch folders are built into its loader; any other distribution lacks them.
        for base in ["/lib", "/usr/lib"] {
            let Ok(base) = tree.resolve(base) else {
                continue;
            };
            folders.extend(
                base.entry
                    .children()
                    .filter(|child| child.is_folder() && child.name().contains("-linux-"))
                    .map(|child| child.path()),
            );
        }
        folders.extend(
            [
                "/lib64",
                "/usr/lib64",
                "/lib",
                "/usr/lib",
                "/usr/local/lib",
                "/lib32",
                "/usr/lib32",
            ]
            .map(str::to_owned),
        );
        let mut seen = BTreeSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        Self {
            tree,
            folders,
            read: RefCell::default(),
        }
    }

    /// What is read from a file, `None` when it is no ELF file or a damaged one.
    pub fn elf(&self, entry: Entry<'_>) -> Option<Rc<Elf>> {
        if let Some(known) = self.read.borrow().get(&entry.number()) {
            return known.clone();
        }
        let elf = self.tree.open(entry).ok().and_then(|file| {
            let mut start = [0; 4];
            file.read_exact_at(&mut start, 0).ok()?;
            Elf::is_elf(&start).then(|| Elf::read(&file).ok())?
        });
        let elf = elf.map(Rc::new);
        self.read.borrow_mut().insert(entry.number(), elf.clone());
        elf
    }

    /// The library of a name for a program or library at `user`: `inherited` are the RPATHs of what loaded it.
    pub fn find(
        &self,
        name: &str,
        user: Entry<'_>,
        elf: &Elf,
        inherited: &[String],
    ) -> Option<Resolved<'a>> {
        let fits = |path: &str| {
            let found = self.tree.resolve(path).ok()?;
            let library = self.elf(found.entry)?;
            (library.abi == elf.abi).then_some(found)
        };
        if name.contains('/') {
            return fits(name);
        }
        // DT_RPATH counts only where there is no DT_RUNPATH (ld.so(8)).
        let own = if elf.runpath.is_empty() {
            &elf.rpath
        } else {
            &elf.runpath
        };
        let own = own
            .iter()
            .map(|folder| origin(folder, &user.parent().path()));
        own.chain(inherited.iter().cloned())
            .chain(self.folders.iter().cloned())
            .find_map(|folder| fits(&format!("{folder}/{name}")))
    }

    /// Variants of a library for newer processors, which the loader would rather take.
    pub fn variants(&self, library: Entry<'a>) -> Vec<Entry<'a>> {
        let Some(folder) = library.parent().child("glibc-hwcaps") else {
            return Vec::new();
        };
        folder
            .children()
            .filter_map(|level| level.child(library.name()))
            .collect()
    }

    /// RPATHs that a program or library hands on to what it loads.
    pub fn handed_on(&self, user: Entry<'_>, elf: &Elf, inherited: &[String]) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        if elf.runpath.is_empty() {
            all.extend(elf.rpath.iter().map(|f| origin(f, &user.parent().path())));
        }
        all.extend(inherited.iter().cloned());
        all.truncate(64);
        all
    }
}

fn origin(folder: &str, place: &str) -> String {
    folder.replace("${ORIGIN}", place).replace("$ORIGIN", place)
}

/// Folders of `ld.so.conf`, which may include other files by pattern.
fn configured(tree: &Tree, path: &str, folders: &mut Vec<String>, depth: usize) {
    if depth > 4 {
        return;
    }
    for line in lines(tree, path) {
        let Some(pattern) = line.strip_prefix("include") else {
            folders.push(line);
            continue;
        };
        let pattern = pattern.trim();
        let (folder, name) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        let folder = if folder.starts_with('/') {
            folder.to_owned()
        } else {
            format!("/etc/{folder}")
        };
        let Ok(found) = tree.resolve(&folder) else {
            continue;
        };
        let (before, after) = name.split_once('*').unwrap_or((name, ""));
        for file in found.entry.children() {
            if file.name().starts_with(before) && file.name().ends_with(after) {
                configured(tree, &file.path(), folders, depth + 1);
            }
        }
    }
}

fn lines(tree: &Tree, path: &str) -> Vec<String> {
    let Ok(found) = tree.resolve(path) else {
        return Vec::new();
    };
    let bytes = tree.read(found.entry, CONF_LIMIT).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}
