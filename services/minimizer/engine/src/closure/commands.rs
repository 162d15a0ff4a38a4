//! Command lines, environment and volumes: where the closure begins.

use quench_image::{Entry, accounts};

use super::{Builder, Role, paths, scripts};
use crate::demand::Command;
use crate::keep::Reason;

impl<'a> Builder<'a> {
    /// Follows one command line.
    pub(super) fn command(&mut self, command: &Command) {
        let mut words = command.argv.iter();
        let Some(first) = words.next() else {
            self.unknown(format!(
                "{} runs nothing: the image has no command either",
                command.place
            ));
            return;
        };
        let Some(program) = self.named_program(first, command) else {
            return;
        };
        let rest: Vec<&String> = words.collect();
        let script = self.libraries.elf(program).is_none();
        if scripts::is_shell_program(program) || crate::shell::is_shell(first) {
            self.shell = true;
            self.shell_arguments(&rest, command);
            return;
        }
        let wrapper = script || scripts::is_wrapper(first);
        for word in rest {
            let value = word
                .split_once('=')
                .map_or(word.as_str(), |(_, value)| value);
            for text in [word.as_str(), value] {
                if text.starts_with('/') || text.starts_with("./") {
                    self.argument(text, command);
                }
            }
            if wrapper && let Some(path) = self.on_path(word) {
                let reason = Reason::new("run by").detail(&command.place);
                if let Some(entry) = self.add(&path, Role::Program, reason) {
                    self.own(entry);
                }
            }
        }
    }

    /// The program a command line begins with.
    pub(super) fn named_program(&mut self, word: &str, command: &Command) -> Option<Entry<'a>> {
        let path = if word.starts_with('/') {
            word.to_owned()
        } else if word.contains('/') {
            format!("{}/{word}", command.folder)
        } else {
            match self.on_path(word) {
                Some(path) => path,
                None => {
                    self.notes.insert(format!(
                        "{}: {word} is not on the image's PATH",
                        command.place
                    ));
                    return None;
                }
            }
        };
        if let Some(mount) = self.mounted(&path) {
            match self.demand.texts.get(&path) {
                Some(text) => self.script_text(text, &path, None),
                None => {
                    self.unknown(format!(
                        "{} runs {path} from the volume at {mount}, whose content is not known",
                        command.place
                    ));
                }
            }
            return None;
        }
        let reason = Reason::new("run by").detail(&command.place);
        let Some(entry) = self.add(&path, Role::Program, reason) else {
            self.notes
                .insert(format!("{}: {path} is not in the image", command.place));
            return None;
        };
        self.own(entry);
        self.application_folder(entry);
        Some(entry)
    }

    /// Notes a program as one the chart itself asks for.
    pub(super) fn own(&mut self, entry: Entry<'a>) {
        self.keep.named.insert(entry.number());
        let families = self.packages.families(entry);
        self.families
            .extend(families.into_iter().map(str::to_owned));
    }

    /// The volume a path lies in.
    pub(super) fn mounted(&self, path: &str) -> Option<&'a str> {
        let demand = self.demand;
        demand
            .mounts
            .iter()
            .find(|mount| {
                path.strip_prefix(mount.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
            .map(String::as_str)
    }

    /// An argument that is a path: a file is read or run, a folder holds what is worked on.
    pub(super) fn argument(&mut self, word: &str, command: &Command) {
        let path = if word.starts_with('/') {
            word.to_owned()
        } else {
            format!("{}/{word}", command.folder)
        };
        let reason = Reason::new("argument of").detail(&command.place);
        if let Some(text) = self.demand.texts.get(&path) {
            if text.starts_with("#!") {
                self.script_text(text, &path, None);
            }
            return;
        }
        let Ok(found) = self.tree.resolve(&path) else {
            self.keep_nearest(&path, &reason);
            return;
        };
        if found.entry.is_folder() {
            self.named_folder(found.entry, &path, &reason);
        } else {
            let program = found.entry.mode() & 0o111 != 0;
            let role = if program { Role::Program } else { Role::Config };
            self.add(&path, role, reason);
            if program {
                self.own(found.entry);
                self.application_folder(found.entry);
            }
        }
    }

    /// What no package put there beside a program that no package put there belongs to it.
    pub(super) fn application_folder(&mut self, program: Entry<'a>) {
        if !self.packages.owners(program).is_empty() {
            return;
        }
        let mut folder = program.parent();
        if matches!(folder.name(), "bin" | "sbin" | "libexec") {
            folder = folder.parent();
        }
        if paths::is_system_folder(&folder.path()) || !self.packages.owners(folder).is_empty() {
            return;
        }
        let reason = Reason::of("application folder", program);
        self.add_folder(folder, Role::Library, &reason);
    }

    pub(super) fn environment(&mut self) {
        let demand = self.demand;
        for (value, place) in &demand.environment {
            for path in value
                .split([':', ',', ' ', ';'])
                .filter(|p| p.starts_with('/'))
            {
                let reason = Reason::new("named by").detail(place);
                match self.tree.resolve(path) {
                    Ok(found) if found.entry.is_folder() => {
                        self.named_folder(found.entry, path, &reason);
                    }
                    Ok(found) => {
                        let program = found.entry.mode() & 0o111 != 0;
                        let role = if program { Role::Program } else { Role::Config };
                        self.add(path, role, reason);
                    }
                    Err(_) => self.keep_nearest(path, &reason),
                }
            }
        }
        for command in &demand.commands {
            if let Ok(found) = self.tree.resolve(&command.folder) {
                let reason = Reason::new("working folder of").detail(&command.place);
                self.named_folder(found.entry, &command.folder, &reason);
            }
        }
        // Where a volume goes, with the owner and mode the image gives it.
        for mount in &demand.mounts {
            self.keep_only(mount, &Reason::new("volume of the chart"));
        }
        for uid in &demand.users {
            let home = accounts(self.tree).into_iter().find(|a| a.id == *uid);
            if let Some(home) = home {
                let reason = Reason::new("home of user").detail(&home.name);
                self.keep_only(&home.home, &reason);
            }
        }
    }

    pub(super) fn mounted_texts(&mut self) {
        let demand = self.demand;
        for (path, text) in &demand.texts {
            if text.starts_with("#!") {
                self.script_text(text, path, None);
            } else {
                self.config_text(text, path, None);
            }
        }
    }
}
