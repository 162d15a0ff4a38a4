//! Paths that programs and configuration name.

use quench_image::Entry;

use super::{Builder, CONFIG_LIMIT, Role};
use crate::elf::Elf;
use crate::keep::Reason;

/// Folders that hold what is only read by people or compilers.
const NEVER: [&str; 9] = [
    "/usr/include",
    "/usr/share/man",
    "/usr/share/info",
    "/usr/share/doc",
    "/usr/share/locale",
    "/usr/share/bash-completion",
    "/usr/share/lintian",
    "/usr/src",
    "/var/lib/dpkg",
];

/// Configuration for what is no part of a container: init, cron, log rotation, the host's firewall.
const HOST: [&str; 16] = [
    "/etc/init.d",
    "/etc/init",
    "/etc/rc0.d",
    "/etc/rc1.d",
    "/etc/rc2.d",
    "/etc/rc3.d",
    "/etc/rc4.d",
    "/etc/rc5.d",
    "/etc/rc6.d",
    "/etc/rcS.d",
    "/etc/logrotate.d",
    "/etc/ufw",
    "/etc/apparmor.d",
    "/etc/systemd",
    "/etc/bash_completion.d",
    "/etc/default",
];

/// Whether a path is configuration for the host: those above, and `cron.*`.
fn is_for_host(path: &str) -> bool {
    in_any(path, &HOST) || path.starts_with("/etc/cron.") || path.starts_with("/etc/runit/")
}

/// What the kernel mounts.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Folders that everything shares: naming one says nothing about what is in it.
pub(super) fn is_system_folder(path: &str) -> bool {
    let depth = path.split('/').filter(|part| !part.is_empty()).count();
    depth < 1
        || matches!(
            path,
            "/bin"
                | "/boot"
                | "/dev"
                | "/etc"
                | "/home"
                | "/lib"
                | "/lib32"
                | "/lib64"
                | "/libx32"
                | "/media"
                | "/mnt"
                | "/opt"
                | "/proc"
                | "/root"
                | "/run"
                | "/sbin"
                | "/srv"
                | "/sys"
                | "/tmp"
                | "/usr"
                | "/var"
        )
        || (depth == 2 && (path.starts_with("/usr/") || path.starts_with("/var/")))
        || (depth <= 3 && (path.starts_with("/usr/local/") || path == "/usr/lib/locale"))
        || (depth == 3 && path.starts_with("/usr/lib/") && path.contains("-linux-"))
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn in_any(path: &str, folders: &[&str]) -> bool {
    folders.iter().any(|folder| is_below(path, folder))
}

/// Whether a word is a library's file name: `libssl.so.3`, `mod_echo.so`.
pub(super) fn is_library_name(word: &str) -> bool {
    let name = word
        .split_once(".so")
        .filter(|(name, rest)| !name.is_empty() && (rest.is_empty() || rest.starts_with('.')));
    name.is_some()
        && word.len() < 256
        && !word.contains(['%', '*'])
        && !word.starts_with('.')
        && word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._+-".contains(c))
}

/// Absolute paths in a text: the text itself, or its words.
pub(super) fn in_text(text: &str, each: &mut dyn FnMut(&str)) {
    let ends = |c: char| {
        c.is_whitespace()
            || matches!(
                c,
                '"' | '\''
                    | '`'
                    | '='
                    | ':'
                    | ','
                    | ';'
                    | '<'
                    | '>'
                    | '('
                    | ')'
                    | '|'
                    | '&'
                    | '{'
                    | '}'
                    | '['
                    | ']'
            )
    };
    for word in text.split(ends) {
        if word.len() > 2 && word.starts_with('/') && !word.starts_with("//") {
            each(word);
        }
    }
}

impl<'a> Builder<'a> {
    /// A path that is a literal of an ELF file.
    pub(super) fn literal_path(&mut self, text: &str, from: Entry<'a>, elf: &Elf, role: Role) {
        // Up to the first part that is computed.
        let path = match text.find('%') {
            Some(at) => {
                let fixed = text.get(..at).unwrap_or_default();
                fixed.rsplit_once('/').map_or("", |(folder, _)| folder)
            }
            None => text,
        };
        let path = path.trim_end_matches(['.', '!']);
        if path.len() < 3 || in_any(path, &NEVER) || in_any(path, &KERNEL) {
            return;
        }
        let reason = Reason::of("literal", from);
        let Ok(found) = self.tree.resolve(path) else {
            self.keep_nearest(path, &reason);
            return;
        };
        let entry = found.entry;
        let target = entry.path();
        if in_any(&target, &NEVER) || in_any(&target, &KERNEL) {
            return;
        }
        if entry.is_folder() {
            self.literal_folder(entry, path, from, role, &reason);
            return;
        }
        if self
            .libraries
            .elf(entry)
            .is_some_and(|elf| elf.interpreter.is_none())
        {
            self.add(path, Role::Library, reason);
        } else if entry.mode() & 0o111 != 0 {
            // A path to a program matters to what runs programs; elsewhere it is a message.
            let runs = elf
                .calls
                .iter()
                .any(|call| call.starts_with("exec") || call.starts_with("posix_spawn"));
            if (runs || elf.calls_shell()) && !elf.go {
                self.add(path, Role::Program, reason);
                self.shell |= crate::shell::is_shell(entry.name());
            }
        } else {
            self.add(path, Role::Data, reason);
        }
    }

    fn literal_folder(
        &mut self,
        folder: Entry<'a>,
        path: &str,
        from: Entry<'a>,
        role: Role,
        reason: &Reason,
    ) {
        self.keep_only(path, reason);
        let place = folder.path();
        let is_bin = matches!(folder.name(), "bin" | "sbin" | "include" | "man");
        if is_bin || is_system_folder(&place) {
            return;
        }
        if role == Role::Program {
            self.prefixes.insert(path.trim_end_matches('/').to_owned());
        }
        let owners = self.packages.families(folder);
        let mine = self.packages.families(from);
        let own = if owners.is_empty() {
            // What no package owns belongs to the image's author; without a package database that is
            // everything, so only what is deep enough to be of one program counts.
            !self.packages.is_empty() || place.split('/').count() > 3
        } else {
            owners.is_subset(&mine)
        };
        if !own {
            return;
        }
        if role == Role::Program {
            self.add_folder(folder, Role::Data, reason);
            return;
        }
        // A library loads plugins and reads data; tools that lie beside those are for people.
        for entry in folder.descendants() {
            let tool = entry.is_file() && entry.mode() & 0o111 != 0;
            if !tool || self.libraries.elf(entry).is_some() {
                let path = entry.path();
                if entry.is_file()
                    || self
                        .tree
                        .resolve(&path)
                        .is_ok_and(|to| to.entry.is_folder())
                {
                    self.add(&path, Role::Data, reason.clone());
                    self.keep.insert(entry, reason.clone());
                } else {
                    self.link_to_data(entry, reason);
                }
            }
        }
    }

    /// A link in a folder that is kept: what it leads to is kept when it is data too.
    fn link_to_data(&mut self, link: Entry<'a>, reason: &Reason) {
        let Ok(found) = self.tree.resolve(&link.path()) else {
            self.keep.insert(link, reason.clone());
            return;
        };
        let tool = found.entry.mode() & 0o111 != 0 && self.libraries.elf(found.entry).is_none();
        if !tool {
            self.add(&link.path(), Role::Data, reason.clone());
        }
    }

    /// A folder that a command line, the environment or configuration names.
    pub(super) fn named_folder(&mut self, folder: Entry<'a>, path: &str, reason: &Reason) {
        self.keep_only(path, reason);
        let place = folder.path();
        if is_system_folder(&place) || in_any(&place, &KERNEL) {
            return;
        }
        // A folder of many packages, such as a plugin folder, is shared like a system folder.
        if self.packages.families(folder).len() <= 1 {
            self.add_folder(folder, Role::Data, reason);
        }
    }

    /// Keeps a folder, not what is in it.
    pub(super) fn keep_only(&mut self, path: &str, reason: &Reason) {
        let (entry, links) = match self.tree.resolve(path) {
            Ok(found) => (Some(found.entry), found.links),
            Err(lost) => (None, lost.links),
        };
        for kept in links.into_iter().chain(entry) {
            self.keep.insert(kept, reason.clone());
        }
    }

    /// Keeps the folder in which a program would look for, or make, what is not there.
    pub(super) fn keep_nearest(&mut self, path: &str, reason: &Reason) {
        let mut at = path.trim_end_matches('/');
        for _ in 0..2 {
            let Some((folder, _)) = at.rsplit_once('/') else {
                return;
            };
            at = folder;
            if at.is_empty() || in_any(at, &NEVER) || in_any(at, &KERNEL) {
                return;
            }
            if self
                .tree
                .resolve(at)
                .is_ok_and(|found| found.entry.is_folder())
            {
                self.keep_only(at, reason);
                return;
            }
        }
    }

    /// Configuration of the packages that own the chart's programs.
    pub(super) fn configuration(&mut self) {
        let packages = self.packages;
        let families = self.families.clone();
        for package in packages.all.iter().filter(|p| families.contains(&p.source)) {
            for path in package.conffiles.iter().filter(|path| !is_for_host(path)) {
                let reason = Reason::new("configuration of").detail(package.label());
                self.add(path, Role::Config, reason);
            }
            for entry in package
                .files
                .iter()
                .filter_map(|number| self.tree.entry_at(*number))
            {
                let place = entry.path();
                let own = packages
                    .families(entry)
                    .is_subset(&families.iter().map(String::as_str).collect());
                if !entry.is_folder() || !own || is_system_folder(&place) || is_for_host(&place) {
                    continue;
                }
                // Its own folders for configuration, with what the image's author put there; and for state.
                if is_below(&place, "/etc") {
                    let reason = Reason::new("configuration of").detail(package.label());
                    self.add_folder(entry, Role::Config, &reason);
                } else if in_any(&place, &["/var", "/run"]) && !in_any(&place, &NEVER) {
                    let reason = Reason::new("state of").detail(package.label());
                    self.add_folder(entry, Role::Data, &reason);
                }
            }
        }
    }

    pub(super) fn config_file(&mut self, entry: Entry<'a>) {
        if entry.size() > CONFIG_LIMIT {
            return;
        }
        let Ok(bytes) = self.tree.read(entry, CONFIG_LIMIT) else {
            return;
        };
        // Keys, certificates and databases hold no paths of interest.
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return;
        };
        let path = entry.path();
        self.config_text(text, &path, Some(entry));
    }

    /// Paths in a configuration text.
    pub(super) fn config_text(&mut self, text: &str, path: &str, entry: Option<Entry<'a>>) {
        let reason = match entry {
            Some(entry) => Reason::of("configured path", entry),
            None => {
                Reason::new("configured path").detail(&format!("in {path}, which a volume brings"))
            }
        };
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for line in text.lines() {
            let line = line.trim_start();
            if line.starts_with(['#', ';']) || line.starts_with("//") {
                continue;
            }
            let ends = |c: char| {
                c.is_whitespace()
                    || matches!(
                        c,
                        '"' | '\'' | '=' | ',' | ';' | '<' | '>' | '(' | ')' | '{' | '}' | '|'
                    )
            };
            for word in line
                .split(ends)
                .filter(|word| word.len() > 2 && word.len() < 4096)
            {
                if word.starts_with('/') {
                    self.config_path(word, &reason);
                } else if word.contains('/') || word.contains('.') {
                    let bases =
                        std::iter::once(folder.to_owned()).chain(self.prefixes.iter().cloned());
                    let known: Vec<String> = bases
                        .map(|base| format!("{base}/{word}"))
                        .filter(|path| {
                            let glob = path.contains('*');
                            glob || self
                                .tree
                                .resolve(path)
                                .is_ok_and(|found| found.entry.is_file())
                        })
                        .collect();
                    for path in known {
                        self.config_path(&path, &reason);
                    }
                }
            }
        }
    }

    fn config_path(&mut self, word: &str, reason: &Reason) {
        let path = word.split('$').next().unwrap_or_default();
        if in_any(path, &KERNEL) || in_any(path, &NEVER) {
            return;
        }
        if path.contains(['*', '?']) {
            for path in self.glob(path) {
                self.config_path(&path, reason);
            }
            return;
        }
        let Ok(found) = self.tree.resolve(path) else {
            // Links that lead nowhere in the image lead somewhere in a container: /dev/stdout.
            self.keep_only(path, reason);
            self.keep_nearest(path, reason);
            return;
        };
        if found.entry.is_folder() {
            self.named_folder(found.entry, path, reason);
            return;
        }
        let elf = self.libraries.elf(found.entry);
        let role = match elf {
            Some(elf) if elf.interpreter.is_none() => Role::Library,
            _ if found.entry.mode() & 0o111 != 0 => Role::Program,
            _ => Role::Config,
        };
        self.add(path, role, reason.clone());
    }

    /// Files that fit a pattern with `*` and `?` in its last part.
    fn glob(&self, pattern: &str) -> Vec<String> {
        let Some((folder, name)) = pattern.rsplit_once('/') else {
            return Vec::new();
        };
        let Ok(found) = self.tree.resolve(folder) else {
            return Vec::new();
        };
        found
            .entry
            .children()
            .filter(|child| fits(name.as_bytes(), child.name().as_bytes()))
            .map(|child| format!("{folder}/{}", child.name()))
            .filter(|path| !path.contains(['*', '?']))
            .collect()
    }
}

/// Whether a name fits a pattern with `*` and `?`.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    // Where to go on when the rest does not fit: behind the last star, one byte further in the name.
    let (mut p, mut n, mut back) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p + 1, n));
                p += 1;
            }
            Some(c) if *c == b'?' || name.get(n) == Some(c) => {
                p += 1;
                n += 1;
            }
            _ => match back {
                Some((star, at)) => {
                    p = star;
                    n = at + 1;
                    back = Some((star, at + 1));
                }
                None => return false,
            },
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        assert!(fits(b"*.conf", b"default.conf"));
        assert!(fits(b"a?c*", b"abc"));
        assert!(fits(b"*a*b", b"aXaYb"));
        assert!(!fits(b"*.conf", b"default.conf.dpkg-old"));
        assert!(!fits(b"a", b"ab"));
    }

    #[test]
    fn library_names_are_told_from_other_words() {
        assert!(is_library_name("libssl.so.3") && is_library_name("ngx_echo.so"));
        assert!(
            !is_library_name("/usr/lib/x.so")
                && !is_library_name(".so")
                && !is_library_name("%s.so")
        );
        assert!(!is_library_name("also") && !is_library_name("x.source"));
    }

    #[test]
    fn system_folders_are_those_everybody_shares() {
        for path in [
            "/",
            "/etc",
            "/usr/lib",
            "/var/lib",
            "/usr/local/share",
            "/usr/lib/x86_64-linux-gnu",
        ] {
            assert!(is_system_folder(path), "{path}");
        }
        for path in [
            "/app",
            "/etc/nginx",
            "/var/lib/nginx",
            "/usr/share/nginx/x",
            "/opt/x",
        ] {
            assert!(!is_system_folder(path), "{path}");
        }
    }
}
