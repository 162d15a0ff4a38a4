//! From an image to its inventory.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Write;
use std::path::PathBuf;

use quench_content::Store;
use quench_image::{Entry, Image, ImageError, Kind, Tree};
use quench_model::Descriptor;

use crate::listing::{Listed, Listing};
use crate::{
    CATALOGUER_VERSION, FileCounts, InstalledPackage, Inventory, OsRelease, PrivilegedFile,
    Problem, ProblemKind, apk, dpkg, os_release,
};

/// Most bytes of a package database. Debian's `status` has about 1 KiB for each package.
const DATABASE_LIMIT: u64 = 128 << 20;
/// Most bytes of one list of files; the largest package of Debian has some 10 MiB.
const LIST_LIMIT: u64 = 32 << 20;
/// Most bytes of a copyright file; Chromium's has 3 MiB.
const COPYRIGHT_LIMIT: u64 = 8 << 20;
/// Most bytes of an os-release file.
const OS_RELEASE_LIMIT: u64 = 64 << 10;
/// Files named as examples in a problem's reason.
const EXAMPLES: usize = 5;

/// Why an image could not be catalogued at all. What is wrong with its databases is no such error but a
/// [`Problem`] of the inventory.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// The image cannot be read.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The work was given up by the runtime.
    #[error("cataloguing {image} was interrupted: {reason}")]
    Interrupted {
        /// Digest of the image's manifest.
        image: quench_model::Digest,
        /// What the runtime said.
        reason: String,
    },
}

/// Catalogues an image by the descriptor of its manifest (of one platform, see [`quench_image::platforms`]). An image
/// seen before comes from the store's cache.
///
/// # Errors
/// When the image cannot be read.
pub async fn catalogue(store: &Store, manifest: &Descriptor) -> Result<Inventory, CatalogueError> {
    let cache = Cache::of(store, manifest);
    if let Some(inventory) = cache.load(manifest) {
        return Ok(inventory);
    }
    let image = Image::open(store, manifest).await?;
    let interrupted = |error: tokio::task::JoinError| CatalogueError::Interrupted {
        image: manifest.digest.clone(),
        reason: error.to_string(),
    };
    let inventory = tokio::task::spawn_blocking(move || catalogue_image(&image))
        .await
        .map_err(interrupted)??;
    cache.keep(&inventory);
    Ok(inventory)
}

/// Catalogues an image that is open. Reads files: call it from a blocking thread.
///
/// # Errors
/// When files of the image can no longer be read from the store's cache.
pub fn catalogue_image(image: &Image) -> Result<Inventory, CatalogueError> {
    let tree = image.tree();
    let mut problems = Vec::new();
    let distribution = distribution(tree)?;
    let listings = [dpkg_listing(tree)?, apk_listing(tree)?];
    let databases = listings.iter().flatten().count();
    let mut packages = Vec::new();
    for listing in listings.into_iter().flatten() {
        problems.extend(listing.problems);
        packages.extend(listing.packages);
    }
    let packages = installed(tree, packages, distribution.as_ref(), &mut problems);
    if distribution.is_none() && !packages.is_empty() {
        problems.push(Problem::new(
            ProblemKind::UnknownDistribution,
            None,
            "packages are installed, but no os-release file names their distribution, so no advisories can be found for them",
        ));
    }
    let unsupported = unsupported_databases(tree);
    let found = databases + unsupported.len();
    problems.extend(unsupported);
    let files = Files::of(tree, &packages)?;
    problems.extend(files.problems(found > 0));
    Ok(Inventory {
        cataloguer: CATALOGUER_VERSION,
        image: image.descriptor.digest.clone(),
        platform: image.config.platform.clone(),
        created: created(image),
        distribution,
        packages,
        files: files.counts,
        unowned_programs: files.unowned_programs,
        privileged_files: files.privileged,
        problems: merged(problems),
    })
}

/// Text of a file, links followed; none where there is no such file. A file that is there and cannot be read is a
/// problem, not an error.
fn text(tree: &Tree, path: &str, limit: u64) -> Result<Option<Result<String, String>>, ImageError> {
    let Ok(found) = tree.resolve(path) else {
        return Ok(None);
    };
    match tree.read(found.entry, limit) {
        Ok(bytes) => Ok(Some(Ok(String::from_utf8_lossy(&bytes).into_owned()))),
        Err(ImageError::File { reason, .. }) => Ok(Some(Err(reason))),
        Err(error) => Err(error),
    }
}

fn distribution(tree: &Tree) -> Result<Option<OsRelease>, ImageError> {
    for path in ["/etc/os-release", "/usr/lib/os-release"] {
        if let Some(Ok(text)) = text(tree, path, OS_RELEASE_LIMIT)?
            && let Some(release) = os_release::parse(&text)
        {
            return Ok(Some(release));
        }
    }
    Ok(None)
}

fn apk_listing(tree: &Tree) -> Result<Option<Listing>, ImageError> {
    for path in apk::DATABASES {
        match text(tree, path, DATABASE_LIMIT)? {
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

fn broken(path: &str, reason: String) -> Problem {
    Problem::new(ProblemKind::BrokenPackageDatabase, path.to_owned(), reason)
}

fn dpkg_listing(tree: &Tree) -> Result<Option<Listing>, ImageError> {
    let status = text(tree, dpkg::STATUS, DATABASE_LIMIT)?;
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
        let one = match text(tree, &path, DATABASE_LIMIT)? {
            Some(Ok(text)) => dpkg::packages(&text, &path, true),
            Some(Err(reason)) => unreadable(&path, reason),
            None => continue,
        };
        listing.packages.extend(one.packages);
        listing.problems.extend(one.problems);
    }
    listing.problems.extend(unlisted(tree, &listing.packages));
    let diversions = match text(tree, dpkg::DIVERSIONS, DATABASE_LIMIT)? {
        Some(Ok(text)) => dpkg::Diversions::parse(&text),
        Some(Err(reason)) => {
            listing.problems.push(broken(dpkg::DIVERSIONS, reason));
            dpkg::Diversions::default()
        }
        None => dpkg::Diversions::default(),
    };
    for package in &mut listing.packages {
        package.files = dpkg_files(tree, package)?.map(|files| {
            files
                .iter()
                .map(|path| diversions.place(path, &package.name).to_owned())
                .collect()
        });
        let path = format!("/usr/share/doc/{}/copyright", package.name);
        if let Some(Ok(text)) = text(tree, &path, COPYRIGHT_LIMIT)? {
            package.licence = dpkg::copyright(&text, &path);
        }
    }
    Ok(Some(listing))
}

/// Files a dpkg package lists; none where nothing lists them.
fn dpkg_files(tree: &Tree, package: &Listed) -> Result<Option<Vec<String>>, ImageError> {
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
        if let Some(Ok(text)) = text(tree, &path, LIST_LIMIT)? {
            return Ok(Some(dpkg::list(&text)));
        }
    }
    let sums = [
        format!("{database}.md5sums"),
        format!("{}/{name}.md5sums", dpkg::STATUS_FOLDER),
        format!("{}/{name}.md5sums", dpkg::INFO),
        format!("{}/{name}:{architecture}.md5sums", dpkg::INFO),
    ];
    for path in sums {
        if let Some(Ok(text)) = text(tree, &path, LIST_LIMIT)? {
            // Checksum files leave configuration out.
            let mut files = dpkg::sums(&text);
            files.extend(package.config_files.iter().cloned());
            return Ok(Some(files));
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

/// The packages with those of their files that are there, sorted by package URL.
fn installed(
    tree: &Tree,
    listed: Vec<Listed>,
    distribution: Option<&OsRelease>,
    problems: &mut Vec<Problem>,
) -> Vec<InstalledPackage> {
    let mut packages: BTreeMap<String, InstalledPackage> = BTreeMap::new();
    let mut without_list = Vec::new();
    for mut package in listed {
        let (database, name) = (package.database.clone(), package.name.clone());
        let files = match package.files.take() {
            Some(files) => present(tree, &files),
            None => {
                without_list.push(name.clone());
                Vec::new()
            }
        };
        package.config_files = present(tree, &package.config_files);
        match package.install(distribution, files) {
            Ok(package) => {
                packages.entry(package.purl.clone()).or_insert(package);
            }
            Err(error) => problems.push(broken(&database, format!("package {name}: {error}"))),
        }
    }
    if !without_list.is_empty() {
        problems.push(Problem::new(
            ProblemKind::MissingFileList,
            None,
            format!(
                "which files belong to {} packages is not recorded, such as {}",
                without_list.len(),
                examples(&without_list)
            ),
        ));
    }
    packages.into_values().collect()
}

/// The files and links among paths that are there, by their paths in the tree: packages still name `/bin/sh` where
/// `/bin` has become a link.
fn present(tree: &Tree, paths: &[String]) -> Vec<String> {
    let mut files: Vec<String> = paths
        .iter()
        .filter_map(|path| tree.locate(path).ok())
        .filter(|found| !found.entry.is_folder())
        .map(|found| found.entry.path())
        .collect();
    files.sort();
    files.dedup();
    files
}

/// Databases of package managers that are not read yet.
fn unsupported_databases(tree: &Tree) -> Vec<Problem> {
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

/// What files there are, and whose.
#[derive(Default)]
struct Files {
    counts: FileCounts,
    unowned_programs: Vec<String>,
    privileged: Vec<PrivilegedFile>,
    scripts: u64,
    languages: BTreeMap<&'static str, (u64, String)>,
}

impl Files {
    fn of(tree: &Tree, packages: &[InstalledPackage]) -> Result<Self, ImageError> {
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
                files.unowned_programs.push(path);
            } else if entry.mode() & 0o111 != 0 {
                files.scripts += 1;
            }
        }
        files.unowned_programs.sort();
        files.unowned_programs.truncate(Inventory::MAX_NAMED);
        files.privileged.sort();
        Ok(files)
    }

    fn problems(&self, has_database: bool) -> Vec<Problem> {
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

fn examples(names: &[String]) -> String {
    let told: Vec<&str> = names.iter().take(EXAMPLES).map(String::as_str).collect();
    told.join(", ")
}

/// One problem for each kind and place, so that each is one finding.
fn merged(problems: Vec<Problem>) -> Vec<Problem> {
    let mut by_place: BTreeMap<(ProblemKind, Option<String>), Vec<String>> = BTreeMap::new();
    for problem in problems {
        by_place
            .entry((problem.kind, problem.path))
            .or_default()
            .push(problem.reason);
    }
    by_place
        .into_iter()
        .map(|((kind, path), reasons)| {
            let more = reasons.len().saturating_sub(EXAMPLES);
            let mut reason = reasons
                .into_iter()
                .take(EXAMPLES)
                .collect::<Vec<_>>()
                .join("; ");
            if more > 0 {
                reason.push_str(&format!("; and {more} more"));
            }
            Problem { kind, path, reason }
        })
        .collect()
}

/// When the image says it was made, without fractions of a second.
fn created(image: &Image) -> Option<String> {
    let text = image.config.raw.get("created")?.as_str()?;
    let (date, time) = text.split_once('T')?;
    let time = time.strip_suffix('Z')?;
    let time = time.split('.').next()?;
    let digits = |text: &str, lengths: [usize; 3], separator: char| {
        let mut parts = text.split(separator);
        lengths.iter().all(|length| {
            parts.next().is_some_and(|part| {
                part.len() == *length && part.bytes().all(|b| b.is_ascii_digit())
            })
        }) && parts.next().is_none()
    };
    (digits(date, [4, 2, 2], '-') && digits(time, [2, 2, 2], ':'))
        .then(|| format!("{date}T{time}Z"))
}

/// Inventories kept in the store's cache.
struct Cache {
    path: PathBuf,
}

impl Cache {
    fn of(store: &Store, manifest: &Descriptor) -> Self {
        let folder = format!("inventories-{CATALOGUER_VERSION}");
        Self {
            path: store
                .cache_dir()
                .join(folder)
                .join(format!("{}.json", manifest.digest.hex())),
        }
    }

    /// The inventory, if a whole one of this image is there.
    fn load(&self, manifest: &Descriptor) -> Option<Inventory> {
        let bytes = std::fs::read(&self.path).ok()?;
        let inventory: Inventory = serde_json::from_slice(&bytes).ok()?;
        let fits = inventory.cataloguer == CATALOGUER_VERSION && inventory.image == manifest.digest;
        fits.then_some(inventory)
    }

    /// Keeps an inventory. The cache only saves time, so a failure is told and no more.
    fn keep(&self, inventory: &Inventory) {
        let write = || -> std::io::Result<()> {
            let folder = self.path.parent().unwrap_or(&self.path);
            std::fs::create_dir_all(folder)?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(&serde_json::to_vec(inventory)?)?;
            file.persist(&self.path)?;
            Ok(())
        };
        if let Err(error) = write() {
            tracing::warn!(path = %self.path.display(), %error, "cannot keep an inventory in the cache");
        }
    }
}
