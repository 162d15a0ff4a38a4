//! What every minimal image keeps, needed by name or not: the things that are missed only at night.

use quench_image::accounts;
use quench_model::ImageFacts;

use super::{Builder, Role};
use crate::keep::Reason;

/// Files of the base system that libraries look for without being told.
const FILES: [&str; 27] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/resolv.conf",
    "/etc/protocols",
    "/etc/services",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/debian_version",
    "/etc/alpine-release",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/mime.types",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl/openssl.cnf",
    "/usr/lib/ssl/certs",
    "/usr/lib/ssl/private",
    "/usr/lib/ssl/cert.pem",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/openssl.cnf",
    "/etc/pki/tls/cert.pem",
    "/usr/share/ca-certificates/mozilla",
];

/// Folders of the base system kept with what is in them.
const FOLDERS: [&str; 7] = [
    "/etc/ld.so.conf.d",
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/usr/lib/locale/C.utf8",
    "/usr/lib/locale/C.UTF-8",
    "/usr/share/common-licenses",
];

/// Folders kept empty: with their owner and mode, as a program expects to find them.
const PLACES: [&str; 20] = [
    "/dev",
    "/etc",
    "/home",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/run/lock",
    "/srv",
    "/sys",
    "/tmp",
    "/usr",
    "/var",
    "/var/cache",
    "/var/lib",
    "/var/log",
    "/var/run",
    "/var/spool",
    "/var/tmp",
];

/// Libraries that the C library loads by itself: for cancelled threads, and for international domain names.
const LOADED_BY_LIBC: [&str; 2] = ["libgcc_s.so.1", "libidn2.so.0"];

/// Character sets that programs convert from and to without being told by a locale.
const CHARACTER_SETS: [&str; 7] = [
    "UTF-16.so",
    "UTF-32.so",
    "UTF-7.so",
    "UNICODE.so",
    "ISO8859-1.so",
    "ISO8859-15.so",
    "CP1252.so",
];

impl Builder<'_> {
    pub(super) fn always(&mut self, facts: &ImageFacts) {
        let always = Reason::new("always kept");
        for path in FILES {
            self.add(path, Role::Data, always.clone());
        }
        for path in FOLDERS {
            if let Ok(found) = self.tree.resolve(path) {
                self.keep_only(path, &always);
                self.add_folder(found.entry, Role::Data, &always);
            }
        }
        self.zones(&always);
        for path in PLACES {
            self.keep_only(path, &always);
        }
        // With a merged /usr, /bin and /lib are links.
        for link in self
            .tree
            .root()
            .children()
            .filter(|entry| entry.is_symlink())
        {
            self.keep_only(&link.path(), &always);
        }
        for path in facts.writable.iter().flatten() {
            let reason = Reason::new("written to by the image");
            self.keep_only(path.path(), &reason);
        }
        for uid in facts.uid.iter().chain(&self.demand.users) {
            for account in accounts(self.tree).into_iter().filter(|a| a.id == *uid) {
                let reason = Reason::new("home of user").detail(&account.name);
                self.keep_only(&account.home, &reason);
            }
        }
        self.loaded_by_libc();
    }

    /// Time zones, without the two copies that count leap seconds another way.
    fn zones(&mut self, reason: &Reason) {
        let Ok(found) = self.tree.resolve("/usr/share/zoneinfo") else {
            return;
        };
        self.keep_only("/usr/share/zoneinfo", reason);
        for child in found.entry.children() {
            if matches!(child.name(), "right" | "posix") {
                continue;
            }
            self.add(&child.path(), Role::Data, reason.clone());
            self.keep.insert(child, reason.clone());
            if child.is_folder() {
                self.add_folder(child, Role::Data, reason);
            }
        }
    }

    /// For dynamically linked programs: what the C library loads when running.
    fn loaded_by_libc(&mut self) {
        let libc = self
            .keep
            .entries
            .keys()
            .filter_map(|number| self.tree.entry_at(*number))
            .find(|entry| {
                entry.name().starts_with("libc.so.6") || entry.name().starts_with("libc-2.")
            });
        let Some(libc) = libc else { return };
        let Some(elf) = self.libraries.elf(libc) else {
            return;
        };
        let mut names: Vec<String> = LOADED_BY_LIBC.map(str::to_owned).to_vec();
        if let Ok(found) = self.tree.resolve("/etc/nsswitch.conf") {
            let bytes = self.tree.read(found.entry, 1 << 20).unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            for line in text
                .lines()
                .filter(|line| !line.trim_start().starts_with('#'))
            {
                let services = line.split_once(':').map_or("", |(_, services)| services);
                let words = services.split_whitespace().filter(|w| !w.starts_with('['));
                names.extend(words.map(|service| format!("libnss_{service}.so.2")));
            }
        }
        for name in names {
            self.library(&name, libc, &elf, &[], &[], "library loaded when running");
        }
        let folder = libc.parent().path();
        let reason = Reason::of("character set", libc);
        for name in CHARACTER_SETS {
            self.add(
                &format!("{folder}/gconv/{name}"),
                Role::Library,
                reason.clone(),
            );
        }
        for name in ["gconv-modules", "gconv-modules.cache"] {
            self.add(
                &format!("{folder}/gconv/{name}"),
                Role::Data,
                reason.clone(),
            );
        }
        if let Ok(found) = self
            .tree
            .resolve(&format!("{folder}/gconv/gconv-modules.d"))
        {
            self.add_folder(found.entry, Role::Data, &reason);
        }
    }
}
