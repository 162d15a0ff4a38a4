//! The fixpoint: from the commands of a chart to every file they need.

mod always;
mod commands;
mod paths;
mod scripts;

use std::collections::{BTreeSet, HashMap, VecDeque};

use quench_image::{Entry, Kind, Tree};
use quench_model::ImageFacts;

use crate::demand::Demand;
use crate::elf::Elf;
use crate::keep::{Keep, Reason};
use crate::libraries::Libraries;
use crate::packages::Packages;

/// Most bytes of a configuration file that is looked into.
const CONFIG_LIMIT: u64 = 1 << 20;

/// What a file is kept as, which decides what is looked for in it. Later ones look for more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    /// Something that is read: only libraries it links to are followed, if it is ELF.
    Data,
    /// Configuration: paths in its text are followed.
    Config,
    /// A library: what it links to, loads, and names.
    Library,
    /// A program that is run: all of the above, and the programs it runs.
    Program,
}

/// What came out.
pub(crate) struct Closure {
    pub keep: Keep,
    /// What could not be followed; any of these rules out minimising by file.
    pub obstacles: Vec<String>,
    /// Whether a shell is needed.
    pub shell: bool,
    /// What people should know: things named and not there.
    pub notes: Vec<String>,
    /// Interpreters and their libraries, whose programs load what nothing here can tell.
    pub interpreters: BTreeSet<u32>,
    /// Whether commands are run that cannot be told.
    pub unknown_commands: bool,
}

struct Builder<'a> {
    tree: &'a Tree,
    packages: &'a Packages,
    demand: &'a Demand,
    libraries: Libraries<'a>,
    keep: Keep,
    roles: HashMap<u32, Role>,
    queue: VecDeque<(u32, Role, Vec<String>)>,
    obstacles: BTreeSet<String>,
    interpreters: BTreeSet<u32>,
    unknown_commands: bool,
    notes: BTreeSet<String>,
    shell: bool,
    families: BTreeSet<String>,
    /// Folders that relative names in configuration may start from.
    prefixes: BTreeSet<String>,
    /// Value of `PATH`, over all commands.
    search: Vec<String>,
}

/// Follows a demand through an image.
pub(crate) fn build(
    tree: &Tree,
    packages: &Packages,
    demand: &Demand,
    facts: &ImageFacts,
) -> Closure {
    let extra = demand
        .environment
        .iter()
        .filter(|(_, place)| place.ends_with("environment LD_LIBRARY_PATH"))
        .flat_map(|(value, _)| value.split(':').map(str::to_owned));
    let mut search: Vec<String> = Vec::new();
    for command in &demand.commands {
        for folder in command.search.split(':').filter(|f| f.starts_with('/')) {
            if !search.iter().any(|known| known == folder) {
                search.push(folder.to_owned());
            }
        }
    }
    let mut builder = Builder {
        tree,
        packages,
        demand,
        libraries: Libraries::of(tree, extra),
        keep: Keep::default(),
        roles: HashMap::new(),
        queue: VecDeque::new(),
        obstacles: BTreeSet::new(),
        interpreters: BTreeSet::new(),
        unknown_commands: false,
        notes: BTreeSet::new(),
        shell: false,
        families: BTreeSet::new(),
        prefixes: BTreeSet::new(),
        search,
    };
    for command in &demand.commands {
        builder.command(command);
    }
    builder.run();
    builder.configuration();
    builder.environment();
    builder.mounted_texts();
    builder.run();
    builder.always(facts);
    builder.run();
    builder.embedded();
    Closure {
        keep: builder.keep,
        obstacles: builder.obstacles.into_iter().collect(),
        shell: builder.shell,
        notes: builder.notes.into_iter().collect(),
        interpreters: builder.interpreters,
        unknown_commands: builder.unknown_commands,
    }
}

impl<'a> Builder<'a> {
    /// Keeps what a path leads to and every link on the way.
    fn add(&mut self, path: &str, role: Role, reason: Reason) -> Option<Entry<'a>> {
        let (found, links) = match self.tree.resolve(path) {
            Ok(found) => (Some(found.entry), found.links),
            // A link to what only a running container has, such as /dev/stdout.
            Err(lost) => (None, lost.links),
        };
        for link in links {
            self.keep.insert(link, reason.clone());
        }
        let entry = found?;
        self.add_entry(entry, role, reason, &[]);
        Some(entry)
    }

    fn add_entry(&mut self, entry: Entry<'a>, role: Role, reason: Reason, inherited: &[String]) {
        self.keep.insert(entry, reason);
        let known = self.roles.get(&entry.number());
        if entry.is_file() && known.is_none_or(|known| *known < role) {
            self.roles.insert(entry.number(), role);
            self.queue
                .push_back((entry.number(), role, inherited.to_vec()));
        }
    }

    /// Keeps everything in a folder, and what links in it lead to.
    fn add_folder(&mut self, folder: Entry<'a>, role: Role, reason: &Reason) {
        self.keep.insert(folder, reason.clone());
        for entry in folder.descendants() {
            if entry.kind() == Kind::Symlink {
                self.keep.insert(entry, reason.clone());
                let Ok(found) = self.tree.resolve(&entry.path()) else {
                    continue;
                };
                for link in found.links {
                    self.keep.insert(link, reason.clone());
                }
                if found.entry.is_file() {
                    let reason = Reason::of("target", entry);
                    self.add_entry(found.entry, role, reason, &[]);
                } else {
                    self.keep.insert(found.entry, Reason::of("target", entry));
                }
            } else {
                self.add_entry(entry, role, reason.clone(), &[]);
            }
        }
    }

    fn run(&mut self) {
        while let Some((number, role, inherited)) = self.queue.pop_front() {
            let Some(entry) = self.tree.entry_at(number) else {
                continue;
            };
            if let Some(elf) = self.libraries.elf(entry) {
                self.elf(entry, &elf, role, &inherited);
                continue;
            }
            match role {
                Role::Program => self.script_file(entry),
                Role::Config => self.config_file(entry),
                Role::Data | Role::Library => {}
            }
        }
    }

    fn elf(&mut self, entry: Entry<'a>, elf: &Elf, role: Role, inherited: &[String]) {
        if let Some(interpreter) = &elf.interpreter
            && self
                .add(interpreter, Role::Library, Reason::of("loader", entry))
                .is_none()
        {
            let path = entry.path();
            self.notes.insert(format!(
                "{path} names the loader {interpreter}, which the image does not have"
            ));
        }
        let handed_on = self.libraries.handed_on(entry, elf, inherited);
        for name in &elf.needed {
            if !self.library(name, entry, elf, inherited, &handed_on, "library") {
                let path = entry.path();
                self.notes.insert(format!(
                    "{path} needs {name}, which is in none of the loader's folders"
                ));
            }
        }
        for name in &elf.dlopen {
            self.library(
                name,
                entry,
                elf,
                inherited,
                &handed_on,
                "library loaded when running",
            );
        }
        if role >= Role::Library && !self.is_loader_or_libc(entry, elf) {
            self.elf_literals(entry, elf, role, inherited, &handed_on);
        }
        if role == Role::Program && scripts::is_runtime(entry.name()) {
            self.interpreter(entry);
        }
    }

    fn library(
        &mut self,
        name: &str,
        user: Entry<'a>,
        elf: &Elf,
        inherited: &[String],
        handed_on: &[String],
        what: &'static str,
    ) -> bool {
        let Some(found) = self.libraries.find(name, user, elf, inherited) else {
            return false;
        };
        let reason = Reason::of(what, user).detail(name);
        for link in found.links {
            self.keep.insert(link, reason.clone());
        }
        for variant in self.libraries.variants(found.entry) {
            let path = variant.path();
            self.add(
                &path,
                Role::Library,
                Reason::of("processor variant", found.entry),
            );
        }
        self.add_entry(found.entry, Role::Library, reason, handed_on);
        true
    }

    /// The C library names hundreds of paths on behalf of others; what of those matters is kept always.
    fn is_loader_or_libc(&self, entry: Entry<'_>, elf: &Elf) -> bool {
        let name = elf.soname.as_deref().unwrap_or(entry.name());
        name.starts_with("ld-") || name.starts_with("libc.so") || name.starts_with("libc.musl")
    }

    fn elf_literals(
        &mut self,
        entry: Entry<'a>,
        elf: &Elf,
        role: Role,
        inherited: &[String],
        handed_on: &[String],
    ) {
        let Ok(file) = self.tree.open(entry) else {
            return;
        };
        // What such programs run is on their command line, not in their text.
        let runs_words = role == Role::Program && !scripts::is_wrapper(entry.name());
        let runs_names = runs_words && elf.searches_path();
        let runs_lines = runs_words && elf.calls_shell();
        let mut found: BTreeSet<String> = BTreeSet::new();
        let mut libraries: BTreeSet<String> = BTreeSet::new();
        let mut words: BTreeSet<String> = BTreeSet::new();
        let read = elf.literals(&file, &mut |text| {
            paths::in_text(text, &mut |path| {
                found.insert(path.to_owned());
            });
            for word in text.split([' ', '\t', '\n', '"', '\'']) {
                if paths::is_library_name(word) {
                    libraries.insert(word.to_owned());
                }
            }
            let mut parts = text.split([' ', '\t', '\n']);
            let first = parts.next().unwrap_or_default();
            let alone = parts.next().is_none();
            // A name is looked for on PATH as it is; a command line begins with its program.
            if text.len() < 200 && (runs_names && alone || runs_lines) {
                words.insert(first.to_owned());
            }
        });
        if let Err(error) = read {
            self.unknown(format!("{} cannot be read: {error}", entry.path()));
        }
        if elf.calls_shell() {
            self.add_shell(entry);
        }
        for name in &libraries {
            self.library(name, entry, elf, inherited, handed_on, "named library");
        }
        for path in &found {
            self.literal_path(path, entry, elf, role);
        }
        for word in &words {
            if !word.contains('/')
                && let Some(path) = self.on_path(word)
            {
                self.add(
                    &path,
                    Role::Program,
                    Reason::of("named program", entry).detail(word),
                );
            }
        }
    }

    fn add_shell(&mut self, user: Entry<'a>) {
        if self
            .add("/bin/sh", Role::Program, Reason::of("shell", user))
            .is_some()
        {
            self.shell = true;
        }
    }

    /// Path of a program found by its name.
    fn on_path(&self, word: &str) -> Option<String> {
        if word.is_empty() || word.len() > 255 || word.contains(['/', '*']) || word == "." {
            return None;
        }
        self.search.iter().find_map(|folder| {
            let path = format!("{folder}/{word}");
            let found = self.tree.resolve(&path).ok()?;
            (found.entry.is_file() && found.entry.mode() & 0o111 != 0).then_some(path)
        })
    }

    /// Interpreters built into other programs.
    fn embedded(&mut self) {
        const EMBEDDED: [&str; 9] = [
            "libpython",
            "libperl",
            "libruby",
            "libjvm",
            "libnode",
            "libphp",
            "libmonosgen",
            "libcoreclr",
            "libguile",
        ];
        let found: Vec<Entry<'a>> = self
            .keep
            .entries
            .keys()
            .filter_map(|number| self.tree.entry_at(*number))
            .filter(|entry| entry.is_file())
            .filter(|entry| EMBEDDED.iter().any(|name| entry.name().starts_with(name)))
            .collect();
        for entry in found {
            self.interpreter(entry);
        }
    }

    /// Notes an interpreter of a language whose imports are not followed.
    fn interpreter(&mut self, entry: Entry<'a>) {
        self.interpreters.insert(entry.number());
        let path = entry.path();
        let reason = self.keep.entries.get(&entry.number());
        let why = reason
            .map(|reason| reason.text(self.tree))
            .unwrap_or_default();
        self.obstacles.insert(format!(
            "{path} ({why}) runs a language whose imports are not followed yet"
        ));
    }

    /// Notes a command that cannot be told.
    fn unknown(&mut self, obstacle: String) {
        self.unknown_commands = true;
        self.obstacles.insert(obstacle);
    }
}
