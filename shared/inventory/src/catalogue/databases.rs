//! Reading the databases of an image: which packages they list, and what is wrong with them.

use std::collections::{BTreeSet, HashSet};

use quench_image::{Entry, ImageError, Tree};

use super::examples;
use crate::listing::{Listed, Listing};
use crate::{Licence, OsRelease, Problem, ProblemKind, apk, dpkg, os_release};

/// Most bytes of a package database. Debian's `status` has about 1 KiB for each package.
const DATABASE_LIMIT: u64 = 64 << 20;
/// Most bytes of one list of files; the largest package of Debian has some 10 MiB.
const LIST_LIMIT: u64 = 32 << 20;
/// Most bytes of a copyright file; Chromium's has 3 MiB.
const COPYRIGHT_LIMIT: u64 = 8 << 20;
/// Most bytes of an os-release file.
const OS_RELEASE_LIMIT: u64 = 64 << 10;

/// Text of one kind that an image may make us read altogether. A hostile image can name one large file a thousand times.
struct Budget {
    left: u64,
    what: &'static str,
}

impl Budget {
    /// Package databases and lists of files. A Debian desktop has some 50 MiB of them.
    fn databases() -> Self {
        Self {
            left: 128 << 20,
            what: "package databases and lists of files",
        }
    }

    /// Copyright files.
    fn copyright() -> Self {
        Self {
            left: 256 << 20,
            what: "copyright files",
        }
    }

    /// Text of a file, links followed; none where there is no such file. A file that is there and cannot be read is a
    /// problem, not an error.
    fn read(&mut self, tree: &Tree, path: &str, limit: u64) -> Result<Text, ImageError> {
        let Ok(found) = tree.resolve(path) else {
            return Ok(None);
        };
        let Some(left) = self.left.checked_sub(found.entry.size()) else {
            return Ok(Some(Err(format!(
                "there are too many bytes of {}",
                self.what
            ))));
        };
        self.left = left;
        match tree.read(found.entry, limit) {
            Ok(bytes) => Ok(Some(Ok(String::from_utf8_lossy(&bytes).into_owned()))),
            Err(ImageError::File { reason, .. }) => Ok(Some(Err(reason))),
            Err(error) => Err(error),
        }
    }
}

/// Nothing, text, or why a file that is there gives none.
type Text = Option<Result<String, String>>;

/// The distribution, if a file names one.
pub(super) fn distribution(tree: &Tree) -> Result<Option<OsRelease>, ImageError> {
    let mut budget = Budget::databases();
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        if let Some(Ok(text)) = budget.read(tree, path, OS_RELEASE_LIMIT)?
            && let Some(release) = os_release::parse(&text)
        {
            return Ok(Some(release));
        }
    }
    Ok(None)
}

/// What apk installed; nothing where it has no database.
pub(super) fn apk_listing(tree: &Tree) -> Result<Option<Listing>, ImageError> {
    let mut budget = Budget::databases();
    for path in apk::DATABASES {
        match budget.read(tree, path, DATABASE_LIMIT)? {
            Some(Ok(text)) => return Ok(Some(apk::parse(&text, path))),
            Some(Err(reason)) => return Ok(Some(unreadable(path, reason))),
            None => {}
        }
    }
    Ok(None)
}

fn unreadable(path: &str, reason: String) -> Listing {
    Listing {
        packages: Vec::new(),
        problems: vec![broken(path, reason)],
    }
}

pub(super) fn broken(path: &str, reason: String) -> Problem {
    Problem::new(ProblemKind::BrokenPackageDatabase, path.to_owned(), reason)
}

/// What dpkg installed; nothing where it has no database.
pub(super) fn dpkg_listing(tree: &Tree) -> Result<Option<Listing>, ImageError> {
    let mut budget = Budget::databases();
    let status = budget.read(tree, dpkg::STATUS, DATABASE_LIMIT)?;
    let folder = tree
        .resolve(dpkg::STATUS_FOLDER)
        .ok()
        .map(|found| found.entry)
        .filter(Entry::is_folder);
    if status.is_none() && folder.is_none() {
        return Ok(None);
    }
    let mut listing = match status {
        Some(Ok(text)) => dpkg::packages(&text, dpkg::STATUS, false),
        Some(Err(reason)) => unreadable(dpkg::STATUS, reason),
        None => Listing::default(),
    };
    for file in folder.iter().flat_map(Entry::children) {
        if !file.is_file() || file.name().ends_with(".md5sums") || file.name().ends_with(".list") {
            continue;
        }
        let path = file.path();
        let one = match budget.read(tree, &path, DATABASE_LIMIT)? {
            Some(Ok(text)) => dpkg::packages(&text, &path, true),
            Some(Err(reason)) => unreadable(&path, reason),
            None => continue,
        };
        listing.packages.extend(one.packages);
        listing.problems.extend(one.problems);
    }
    listing.problems.extend(unlisted(tree, &listing.packages));
    let diversions = match budget.read(tree, dpkg::DIVERSIONS, DATABASE_LIMIT)? {
        Some(Ok(text)) => dpkg::Diversions::parse(&text),
        Some(Err(reason)) => {
            listing.problems.push(broken(dpkg::DIVERSIONS, reason));
            dpkg::Diversions::default()
        }
        None => dpkg::Diversions::default(),
    };
    let mut copyright = Budget::copyright();
    for package in &mut listing.packages {
        match dpkg_files(tree, package, &mut budget)? {
            Some(Ok(files)) => {
                let places = files
                    .iter()
                    .map(|path| diversions.place(path, &package.name).to_owned());
                package.files = Some(places.collect());
            }
            Some(Err(reason)) => listing.problems.push(broken(dpkg::INFO, reason)),
            None => {}
        }
        let path = format!("/usr/share/doc/{}/copyright", package.name);
        package.licence = match copyright.read(tree, &path, COPYRIGHT_LIMIT)? {
            Some(Ok(text)) => dpkg::copyright(&text, &path),
            // There is a statement, but not one that could be read.
            Some(Err(_)) => Licence {
                source: Some(path),
                ..Licence::default()
            },
            None => Licence::default(),
        };
    }
    Ok(Some(listing))
}

/// Files a dpkg package lists; none where nothing lists them.
fn dpkg_files(
    tree: &Tree,
    package: &Listed,
    budget: &mut Budget,
) -> Result<Option<Result<Vec<String>, String>>, ImageError> {
    let Listed {
        name,
        architecture,
        database,
        ..
    } = package;
    let lists = [
        format!("{}/{name}.list", dpkg::INFO),
        format!("{}/{name}:{architecture}.list", dpkg::INFO),
        format!("{database}.list"),
    ];
    for path in lists {
        if let Some(text) = budget.read(tree, &path, LIST_LIMIT)? {
            return Ok(Some(text.map(|text| dpkg::list(&text))));
        }
    }
    let sums = [
        format!("{database}.md5sums"),
        format!("{}/{name}.md5sums", dpkg::STATUS_FOLDER),
        format!("{}/{name}.md5sums", dpkg::INFO),
        format!("{}/{name}:{architecture}.md5sums", dpkg::INFO),
    ];
    for path in sums {
        if let Some(text) = budget.read(tree, &path, LIST_LIMIT)? {
            // Checksum files leave configuration out.
            let with_configuration = |text: String| {
                let mut files = dpkg::sums(&text);
                files.extend(package.config_files.iter().cloned());
                files
            };
            return Ok(Some(text.map(with_configuration)));
        }
    }
    Ok(None)
}

/// Lists of files of packages that the database does not know: it was cut short or replaced.
fn unlisted(tree: &Tree, packages: &[Listed]) -> Option<Problem> {
    let known: HashSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let folder = tree.resolve(dpkg::INFO).ok()?.entry;
    let status = tree
        .resolve(dpkg::STATUS)
        .ok()
        .and_then(|found| tree.read(found.entry, DATABASE_LIMIT).ok())
        .unwrap_or_default();
    let status = String::from_utf8_lossy(&status);
    // Removed packages keep their list while their configuration is there, and stay in the database.
    let told: HashSet<&str> = status
        .lines()
        .filter_map(|line| line.strip_prefix("Package:"))
        .map(str::trim)
        .collect();
    let lost: BTreeSet<&str> = folder
        .children()
        .filter_map(|file| file.name().strip_suffix(".list"))
        .map(|name| name.split(':').next().unwrap_or(name))
        .filter(|name| !known.contains(name) && !told.contains(name))
        .collect();
    (!lost.is_empty()).then(|| {
        let lost: Vec<String> = lost.into_iter().map(str::to_owned).collect();
        broken(
            dpkg::STATUS,
            format!(
                "it does not know {} packages whose file lists are there, such as {}",
                lost.len(),
                examples(&lost)
            ),
        )
    })
}

/// Databases of package managers that are not read yet.
pub(super) fn unsupported_databases(tree: &Tree) -> Vec<Problem> {
    const RPM: [&str; 3] = ["Packages", "Packages.db", "rpmdb.sqlite"];
    const OTHERS: [(&str, &str); 4] = [
        ("/var/lib/pacman/local", "pacman"),
        ("/usr/lib/opkg/status", "opkg"),
        ("/var/lib/opkg/status", "opkg"),
        ("/var/db/pkg", "Portage"),
    ];
    let rpm = ["/var/lib/rpm", "/usr/lib/sysimage/rpm", "/usr/share/rpm"]
        .into_iter()
        .flat_map(|folder| RPM.map(|file| (format!("{folder}/{file}"), "RPM")));
    let others = OTHERS.map(|(path, manager)| (path.to_owned(), manager));
    let mut found: Vec<Problem> = rpm
        .chain(others)
        .filter_map(|(path, manager)| {
            // By its place in the tree, since one of the folders is often a link to another.
            let path = tree.resolve(&path).ok()?.entry.path();
            Some(Problem::new(
                ProblemKind::UnsupportedPackageDatabase,
                path,
                format!("packages installed by {manager} are not catalogued yet"),
            ))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}
