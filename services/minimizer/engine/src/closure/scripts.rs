//! Scripts: their interpreter, and what they run.

use quench_image::Entry;

use super::{Builder, Role};
use crate::demand::Command;
use crate::keep::Reason;
use crate::shell::{self, SCRIPT_LIMIT};

/// Programs that run the rest of their command line.
pub(super) fn is_wrapper(program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    matches!(
        name,
        "tini"
            | "tini-static"
            | "dumb-init"
            | "catatonit"
            | "env"
            | "gosu"
            | "su-exec"
            | "setpriv"
            | "runuser"
            | "nice"
            | "timeout"
            | "nohup"
            | "chroot"
            | "stdbuf"
            | "ionice"
            | "setsid"
            | "xargs"
            | "find"
            | "time"
    )
}

/// Interpreters of languages whose imports are not followed yet.
pub(super) fn is_runtime(name: &str) -> bool {
    const RUNTIMES: [&str; 15] = [
        "python", "perl", "ruby", "node", "nodejs", "php", "java", "lua", "luajit", "tclsh",
        "guile", "R", "Rscript", "beam.smp", "dotnet",
    ];
    let base = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    RUNTIMES.contains(&base) || RUNTIMES.contains(&name)
}

/// Whether a program's file is a shell, whatever name it was called by.
pub(super) fn is_shell_program(program: Entry<'_>) -> bool {
    // BusyBox is one file for all its commands: only the name it is called by tells.
    shell::is_shell(program.name()) && program.name() != "busybox"
}

impl<'a> Builder<'a> {
    /// A file that is run and is no ELF file.
    pub(super) fn script_file(&mut self, entry: Entry<'a>) {
        let path = entry.path();
        match self.tree.read(entry, SCRIPT_LIMIT) {
            Ok(bytes) => self.script_text(&String::from_utf8_lossy(&bytes), &path, Some(entry)),
            Err(error) => {
                self.unknown(error.to_string());
            }
        }
    }

    /// The text of a script; `entry` is its file, or none when a volume brings it.
    pub(super) fn script_text(&mut self, text: &str, path: &str, entry: Option<Entry<'a>>) {
        let reason = |what| match entry {
            Some(entry) => Reason::of(what, entry),
            None => Reason::new(what).detail(&format!("in {path}, which a volume brings")),
        };
        let first = text.lines().next().unwrap_or_default();
        let Some(line) = first.strip_prefix("#!") else {
            // Runtimes hand what has no interpreter line to nobody; shells do to themselves.
            self.unknown(format!(
                "{path} is run and is neither ELF nor a script with an interpreter"
            ));
            return;
        };
        let mut words = line.split_whitespace();
        let mut interpreter = words.next().unwrap_or_default().to_owned();
        self.add(&interpreter, Role::Program, reason("interpreter"));
        if interpreter.rsplit('/').next() == Some("env") {
            let named = words.find(|word| !word.starts_with('-') && !word.contains('='));
            let Some(found) = named.and_then(|word| self.on_path(word)) else {
                self.unknown(format!("{path} names an interpreter that is not on PATH"));
                return;
            };
            interpreter = found;
            self.add(&interpreter, Role::Program, reason("interpreter"));
        }
        if shell::is_shell(&interpreter) {
            self.shell = true;
            self.shell_text(text, path, entry);
        } else {
            self.obstacles.insert(format!(
                "{path} is a script for {interpreter}, whose imports are not followed yet"
            ));
            if let Ok(found) = self.tree.resolve(&interpreter) {
                self.interpreters.insert(found.entry.number());
            }
        }
    }

    /// Arguments of a shell: `-c TEXT`, or a script's path.
    pub(super) fn shell_arguments(&mut self, arguments: &[&String], command: &Command) {
        let mut rest = arguments.iter();
        while let Some(word) = rest.next() {
            // BusyBox is called with the name of the shell first.
            if shell::is_shell(word) && !word.contains('/') {
                continue;
            }
            if word.starts_with('-') || word.starts_with('+') {
                let has_text = !word.starts_with("--") && word.contains('c');
                if has_text && let Some(text) = rest.next() {
                    self.shell_text(text, &command.place, None);
                    // $0, $1, … of the text.
                    for word in rest {
                        self.shell_word(word, &command.place, None);
                    }
                    return;
                }
                if matches!(word.as_str(), "-o" | "+o") {
                    rest.next();
                }
                continue;
            }
            let path = if word.starts_with('/') {
                (*word).clone()
            } else {
                format!("{}/{word}", command.folder)
            };
            match self.demand.texts.get(&path) {
                Some(text) => self.shell_text(text, &path, None),
                None => match self.tree.resolve(&path) {
                    Ok(found) if found.entry.is_file() && self.mounted(&path).is_none() => {
                        let entry = found.entry;
                        let reason = Reason::new("script of").detail(&command.place);
                        self.add(&path, Role::Data, reason);
                        match self.tree.read(entry, SCRIPT_LIMIT) {
                            Ok(bytes) => {
                                let text = String::from_utf8_lossy(&bytes).into_owned();
                                self.shell_text(&text, &path, Some(entry));
                            }
                            Err(error) => {
                                self.unknown(error.to_string());
                            }
                        }
                    }
                    _ => {
                        self.unknown(format!(
                            "{} reads the script {path}, which is not in the image",
                            command.place
                        ));
                    }
                },
            }
            for word in rest {
                self.shell_word(word, &command.place, None);
            }
            return;
        }
        self.unknown(format!(
            "{} starts a shell that reads its commands from elsewhere",
            command.place
        ));
    }

    /// What a shell text runs and reads.
    pub(super) fn shell_text(&mut self, text: &str, place: &str, entry: Option<Entry<'a>>) {
        let script = shell::read(text);
        for obstacle in script.obstacles {
            self.unknown(format!("{place}: {obstacle}"));
        }
        for word in &script.words {
            self.shell_word(word, place, entry);
        }
    }

    fn shell_word(&mut self, word: &str, place: &str, entry: Option<Entry<'a>>) {
        let reason = match entry {
            Some(entry) => Reason::of("word", entry).detail(word),
            None => Reason::new("word").detail(&format!("{word} in {place}")),
        };
        if let Some(path) = self.on_path(word) {
            self.add(&path, Role::Program, reason);
            return;
        }
        if !word.starts_with('/') || word.len() < 2 {
            return;
        }
        // What a redirection or a test names up to the first computed part.
        let path = word.split(['$', '*', '?']).next().unwrap_or_default();
        match self.tree.resolve(path) {
            Ok(found) if found.entry.is_folder() => self.named_folder(found.entry, path, &reason),
            Ok(found) => {
                let run = found.entry.mode() & 0o111 != 0;
                let role = if run { Role::Program } else { Role::Config };
                self.add(path, role, reason);
            }
            Err(_) => self.keep_nearest(path, &reason),
        }
    }
}
