//! The facts that decide hardening, read from an image.
//!
//! Everything told here was seen in the image; what could not be seen is `None`, never a guess.

use std::collections::{BTreeMap, BTreeSet};

use quench_model::{FactsSource, ImageFacts, Port, WritablePath};

use crate::archive::Kind;
use crate::tree::{Entry, Tree};
use crate::{Image, RunConfig};

/// Most bytes of `/etc/passwd` and `/etc/group` that are read.
const ACCOUNTS_LIMIT: u64 = 4 << 20;

/// Most bytes of an entrypoint script that are read.
const SCRIPT_LIMIT: u64 = 1 << 20;

/// More writable folders than this tell nothing about what the image needs: they are not known then.
const WRITABLE_LIMIT: usize = 100;

/// More folders in a writable one are more than a few volumes can stand for.
const SKELETON_LIMIT: usize = 4;

/// Folders that programs write to whatever the image says.
const STANDARD_WRITABLE: [&str; 5] = ["/tmp", "/run", "/var/run", "/var/tmp", "/var/cache"];

/// What package managers leave in those; no program misses it.
const LEFTOVERS: [&str; 6] = [
    "/run/lock",
    "/var/cache/apt",
    "/var/cache/debconf",
    "/var/cache/ldconfig",
    "/var/cache/man",
    "/var/cache/apk",
];

/// `PATH` of container runtimes when the image sets none.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Commands by which a script changes its user or the owner of files, all of which need capabilities.
const SWITCHERS: [&str; 9] = [
    "gosu",
    "su-exec",
    "setpriv",
    "runuser",
    "chown",
    "su",
    "sudo",
    "s6-setuidgid",
    "chroot",
];

/// A line of `/etc/passwd` or `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name.
    pub name: String,
    /// User id in `/etc/passwd`, group id in `/etc/group`.
    pub id: u32,
    /// Primary group, for users.
    pub gid: Option<u32>,
    /// Home folder, for users.
    pub home: String,
}

/// The facts of an image. The same image gives the same facts.
pub fn facts(image: &Image) -> ImageFacts {
    let tree = image.tree();
    let run = &image.config.run;
    let (uid, gid) = user_ids(tree, &run.user);
    let files = command_files(tree, run);
    ImageFacts {
        uid,
        gid,
        user: Some(run.user.clone()),
        writable: writable(tree, run, uid, gid),
        ports: Some(ports(run)),
        entrypoint: Some(run.entrypoint.clone()),
        cmd: Some(run.cmd.clone()),
        entrypoint_privileged: files.as_ref().map(|files| files.iter().any(is_privileged)),
        entrypoint_switches_user: files.as_ref().map(|files| {
            // Without privileges there is nothing to switch with: such scripts test for root first.
            uid.is_none_or(|uid| uid == 0)
                && (words_switch(run)
                    || files
                        .iter()
                        .any(|file| script(tree, *file).is_some_and(|text| text_switches(&text))))
        }),
        digest: None,
        source: Some(FactsSource::Image),
    }
}

/// Users of the image, from its `/etc/passwd`.
pub fn accounts(tree: &Tree) -> Vec<Account> {
    parse(tree, "/etc/passwd", |fields| {
        let [name, _, uid, gid, _, home, ..] = fields else {
            return None;
        };
        Some(Account {
            name: (*name).to_owned(),
            id: uid.parse().ok()?,
            gid: gid.parse().ok(),
            home: (*home).to_owned(),
        })
    })
}

/// Groups of the image, from its `/etc/group`.
pub fn groups(tree: &Tree) -> Vec<Account> {
    parse(tree, "/etc/group", |fields| {
        let [name, _, gid, ..] = fields else {
            return None;
        };
        Some(Account {
            name: (*name).to_owned(),
            id: gid.parse().ok()?,
            gid: None,
            home: String::new(),
        })
    })
}

fn parse(tree: &Tree, path: &str, line: impl Fn(&[&str]) -> Option<Account>) -> Vec<Account> {
    let Ok(file) = tree.resolve(path) else {
        return Vec::new();
    };
    let Ok(bytes) = tree.read(file.entry, ACCOUNTS_LIMIT) else {
        return Vec::new();
    };
    String::from_utf8_lossy(&bytes)
        .lines()
        .filter_map(|text| line(&text.split(':').collect::<Vec<_>>()))
        .collect()
}

/// User and group id of a `User` as image configurations write it: empty, name, number, `user:group`. What a
/// container runtime does with it: names and numbers are looked up in the image's own files; a number that
/// is not there stands for itself, with group 0.
pub fn user_ids(tree: &Tree, user: &str) -> (Option<u32>, Option<u32>) {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let user = if user.is_empty() { "0" } else { user };
    let users = accounts(tree);
    let known = users
        .iter()
        .find(|account| account.name == user)
        .or_else(|| {
            let number: u32 = user.parse().ok()?;
            users.iter().find(|account| account.id == number)
        });
    let uid = known
        .map(|account| account.id)
        .or_else(|| user.parse().ok());
    let gid = if group.is_empty() {
        uid.map(|_| known.and_then(|account| account.gid).unwrap_or(0))
    } else {
        groups(tree)
            .iter()
            .find(|account| account.name == group)
            .map(|account| account.id)
            .or_else(|| group.parse().ok())
    };
    (uid, gid)
}

fn ports(run: &RunConfig) -> Vec<Port> {
    let ports: BTreeSet<Port> = run
        .exposed_ports
        .iter()
        .map(|text| {
            let (number, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
            match number.parse() {
                Ok(number) if protocol.eq_ignore_ascii_case("tcp") => Port::Number(number),
                _ => Port::Text(text.clone()),
            }
        })
        .collect();
    ports.into_iter().collect()
}

/// Files that the image's command names: the program, and arguments that are files, since entrypoints are
/// often wrapped (`tini -- /entrypoint.sh`). `None` when the program cannot be found.
fn command_files<'a>(tree: &'a Tree, run: &RunConfig) -> Option<Vec<Entry<'a>>> {
    let mut words = run.entrypoint.iter().chain(&run.cmd);
    let mut files = vec![program(tree, run, words.next()?)?];
    for word in words {
        if word.contains('/')
            && let Some(file) = program(tree, run, word)
        {
            files.push(file);
        }
    }
    Some(files)
}

/// The file a command word runs.
fn program<'a>(tree: &'a Tree, run: &RunConfig, word: &str) -> Option<Entry<'a>> {
    let file = |path: &str| {
        let found = tree.resolve(path).ok()?;
        found.entry.is_file().then_some(found.entry)
    };
    if word.contains('/') {
        let folder = if word.starts_with('/') {
            ""
        } else {
            &run.working_dir
        };
        return file(&format!("{folder}/{word}"));
    }
    run.variable("PATH")
        .unwrap_or(DEFAULT_PATH)
        .split(':')
        .find_map(|folder| {
            file(&format!("{folder}/{word}")).filter(|entry| entry.mode() & 0o111 != 0)
        })
}

fn is_privileged(file: &Entry<'_>) -> bool {
    file.mode() & 0o6000 != 0 || file.capability().is_some()
}

/// Text of a file that begins with `#!`.
fn script(tree: &Tree, file: Entry<'_>) -> Option<String> {
    let bytes = tree.read(file, SCRIPT_LIMIT).ok()?;
    bytes
        .starts_with(b"#!")
        .then(|| String::from_utf8_lossy(&bytes).into_owned())
}

fn words_switch(run: &RunConfig) -> bool {
    run.entrypoint
        .iter()
        .chain(&run.cmd)
        .any(|word| text_switches(word))
}

fn text_switches(text: &str) -> bool {
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_'))
        .any(|word| SWITCHERS.contains(&word))
}

/// Folders the image is likely to write to. See `quench_model::ImageFacts::writable`.
fn writable(
    tree: &Tree,
    run: &RunConfig,
    uid: Option<u32>,
    gid: Option<u32>,
) -> Option<Vec<WritablePath>> {
    // Path to whether it counts by its owner or the image's word, not only by custom or by being open to all.
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    for volume in &run.volumes {
        if let Some(path) = volume_path(tree, volume) {
            found.insert(path, true);
        }
    }
    // Everything is owned by root: an image that runs as root says nothing by that.
    let user = uid.filter(|uid| *uid != 0);
    for entry in tree.root().children() {
        // What the kernel mounts is no part of the image.
        if matches!(entry.name(), "dev" | "proc" | "sys") || !entry.is_folder() {
            continue;
        }
        let folders = entry.descendants().filter(Entry::is_folder);
        for folder in std::iter::once(entry).chain(folders) {
            let owned = user.is_some_and(|uid| can_write_as(&folder, uid, gid));
            if owned || folder.mode() & 0o002 != 0 {
                *found.entry(folder.path()).or_default() |= owned;
            }
            // Far more than can be told; the rest would only cost memory.
            if found.len() > WRITABLE_LIMIT * 100 {
                return None;
            }
        }
    }
    for standard in STANDARD_WRITABLE {
        let Ok(resolved) = tree.resolve(standard) else {
            continue;
        };
        let path = resolved.entry.path();
        let below = format!("{path}/");
        let owned_below = found
            .iter()
            .any(|(other, owned)| *owned && other.starts_with(&below));
        let own = found.contains_key(&path);
        // A folder the user could not write to in the image either is no great need: it is told when an empty
        // one costs nothing and the image has not made itself a place further down.
        let harmless = !owned_below && !has_content(&resolved.entry);
        if resolved.entry.is_folder() && (own || user.is_none() || harmless) {
            found.entry(path).or_default();
        }
    }
    let all: Vec<&String> = found.keys().collect();
    let mut outermost: Vec<&str> = Vec::new();
    for path in all {
        // Sorted, but "/a-b" comes between "/a" and "/a/c": compare with every one kept.
        if !outermost.iter().any(|outer| is_below(path, outer)) {
            outermost.push(path);
        }
        if outermost.len() > WRITABLE_LIMIT {
            return None;
        }
    }
    let mut told = Vec::new();
    for path in outermost {
        match tree.lookup(path) {
            Some(folder) if has_content(&folder) => match empty_folders(&folder) {
                Some(inner) => {
                    told.extend(inner.into_iter().map(WritablePath::Plain));
                    told.push(WritablePath::Plain(path.to_owned()));
                }
                None => told.push(WritablePath::Filled {
                    path: path.to_owned(),
                    copy_up: true,
                }),
            },
            _ => told.push(WritablePath::Plain(path.to_owned())),
        }
    }
    Some(told)
}

/// The folders in a folder that holds nothing else, as the home of a server often holds its data folder: a volume at
/// each of them hides nothing, and each is still there. `None` where there is a file, or more than a few. Inner ones come first, so
/// that none is taken for part of the volume around it.
fn empty_folders(folder: &Entry<'_>) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for entry in folder.descendants() {
        if !entry.is_folder() || found.len() >= SKELETON_LIMIT {
            return None;
        }
        found.push(entry.path());
    }
    found.sort_by(|a, b| b.cmp(a));
    Some(found)
}

fn is_below(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A volume's path as the tree has it; as written when the image holds nothing there.
fn volume_path(tree: &Tree, volume: &str) -> Option<String> {
    if !volume.starts_with('/') || volume.split('/').any(|part| part == "..") {
        return None;
    }
    if let Ok(found) = tree.resolve(volume) {
        let path = found.entry.path();
        return (path != "/").then_some(path);
    }
    let parts: Vec<&str> = volume
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    (!parts.is_empty()).then(|| format!("/{}", parts.join("/")))
}

fn can_write_as(folder: &Entry<'_>, uid: u32, gid: Option<u32>) -> bool {
    if folder.uid() == uid {
        return folder.mode() & 0o200 != 0;
    }
    Some(folder.gid()) == gid && folder.mode() & 0o020 != 0
}

/// Whether a volume over the folder would hide something a program may look for.
fn has_content(folder: &Entry<'_>) -> bool {
    folder.children().any(|child| {
        let leftover = LEFTOVERS.contains(&child.path().as_str());
        !leftover
            || (child.kind() == Kind::Folder && child.path() == "/run/lock" && has_content(&child))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_that_change_users_are_told_by_whole_words() {
        assert!(text_switches("#!/bin/sh\nexec gosu redis \"$0\" \"$@\""));
        assert!(text_switches("find . -exec chown redis '{}' +"));
        assert!(!text_switches("# chown is not needed\nexec summary"));
        assert!(!text_switches("echo resume --chown-nothing"));
    }

    #[test]
    fn nesting_goes_by_whole_parts() {
        assert!(is_below("/a/b", "/a"));
        assert!(is_below("/a", "/a"));
        assert!(!is_below("/ab", "/a"));
    }
}
