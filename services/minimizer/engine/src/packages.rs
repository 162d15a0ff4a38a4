//! Which package put which file into an image: the dpkg database, or none.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use quench_image::{Entry, Tree};

/// Most bytes of the status file.
const STATUS_LIMIT: u64 = 128 << 20;

/// Most bytes of one package's list of files or checksums.
const LIST_LIMIT: u64 = 64 << 20;

/// An installed package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Package {
    pub name: String,
    pub architecture: String,
    pub version: String,
    /// Source package it is built from; packages of one source are a family.
    pub source: String,
    /// Its paragraph of the status file.
    pub paragraph: String,
    /// Groups of alternatives it depends on.
    pub depends: Vec<Vec<String>>,
    pub provides: Vec<String>,
    /// Configuration files.
    pub conffiles: Vec<String>,
    /// Entries of the tree it owns, in the order of its list.
    pub files: Vec<u32>,
    /// Lines of its checksum file: checksum and path without leading slash.
    pub checksums: Vec<(String, String)>,
}

impl Package {
    /// A name that is its own among all packages: with the architecture where two share a name.
    pub fn label(&self) -> &str {
        &self.name
    }
}

/// All packages of an image and what they own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Packages {
    pub all: Vec<Package>,
    /// Owners of each owned entry; folders have many.
    owners: HashMap<u32, Vec<u32>>,
    by_name: BTreeMap<String, Vec<usize>>,
}

impl Packages {
    /// Reads the dpkg database; an image without one has no packages. The error tells what is damaged.
    pub fn read(tree: &Tree) -> Result<Self, String> {
        let mut packages = Self::default();
        let Ok(status) = tree.resolve("/var/lib/dpkg/status") else {
            return packages.read_status_folder(tree);
        };
        let bytes = tree
            .read(status.entry, STATUS_LIMIT)
            .map_err(|e| e.to_string())?;
        packages.add_paragraphs(&String::from_utf8_lossy(&bytes));
        packages.add_files(tree, "/var/lib/dpkg/info")?;
        Ok(packages)
    }

    /// The database of images that were minimal before: one file for each package in `status.d`.
    fn read_status_folder(mut self, tree: &Tree) -> Result<Self, String> {
        let Ok(folder) = tree.resolve("/var/lib/dpkg/status.d") else {
            return Ok(self);
        };
        for file in folder.entry.children() {
            if file.is_file() && !file.name().ends_with(".md5sums") {
                let bytes = tree.read(file, LIST_LIMIT).map_err(|e| e.to_string())?;
                self.add_paragraphs(&String::from_utf8_lossy(&bytes));
            }
        }
        self.add_files(tree, "/var/lib/dpkg/status.d")?;
        Ok(self)
    }

    fn add_paragraphs(&mut self, text: &str) {
        for paragraph in text.split("\n\n") {
            let fields = fields(paragraph);
            let field = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
            let name = field("package");
            // A removed package that left its configuration is no longer there; status.d has no Status.
            let status = field("status");
            if name.is_empty() || !(status.is_empty() || status.ends_with(" installed")) {
                continue;
            }
            let source = field("source").split(' ').next().unwrap_or_default();
            let depends = [field("pre-depends"), field("depends")]
                .iter()
                .flat_map(|text| relations(text))
                .collect();
            let package = Package {
                name: name.to_owned(),
                architecture: field("architecture").to_owned(),
                version: field("version").to_owned(),
                source: if source.is_empty() { name } else { source }.to_owned(),
                paragraph: paragraph.trim_matches('\n').to_owned(),
                depends,
                provides: relations(field("provides")).into_iter().flatten().collect(),
                conffiles: conffiles(field("conffiles")),
                ..Package::default()
            };
            let number = self.all.len();
            for known in std::iter::once(&package.name).chain(&package.provides) {
                self.by_name.entry(known.clone()).or_default().push(number);
            }
            self.all.push(package);
        }
    }

    fn add_files(&mut self, tree: &Tree, folder: &str) -> Result<(), String> {
        for number in 0..self.all.len() {
            let Some(package) = self.all.get_mut(number) else {
                break;
            };
            let read = |extension: &str| {
                let plain = format!("{folder}/{}.{extension}", package.name);
                let full = format!(
                    "{folder}/{}:{}.{extension}",
                    package.name, package.architecture
                );
                let found = tree.resolve(&full).or_else(|_| tree.resolve(&plain)).ok()?;
                Some(tree.read(found.entry, LIST_LIMIT))
            };
            let text = |bytes: Option<Result<Vec<u8>, _>>| match bytes {
                None => Ok(String::new()),
                Some(Ok(bytes)) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
                Some(Err(error)) => Err(quench_image::ImageError::to_string(&error)),
            };
            let sums = text(read("md5sums"))?;
            let mut list = text(read("list"))?;
            for line in sums.lines() {
                if let Some((sum, path)) = line.split_once("  ") {
                    package.checksums.push((sum.to_owned(), path.to_owned()));
                }
            }
            if list.is_empty() {
                for (_, path) in &package.checksums {
                    list.push('/');
                    list.push_str(path);
                    list.push('\n');
                }
            }
            for path in list.lines() {
                // By the folders' real places: with a merged /usr, /bin/sh and /usr/bin/sh are one, and the folder
                // /bin that old packages list is a link that no package owns.
                let top = path.trim_matches('/').split('/').count() < 2;
                let found = if top {
                    tree.resolve(path)
                } else {
                    tree.locate(path)
                };
                if let Ok(found) = found {
                    let id = found.entry.number();
                    package.files.push(id);
                    let owner = u32::try_from(number).unwrap_or(u32::MAX);
                    self.owners.entry(id).or_default().push(owner);
                }
            }
        }
        Ok(())
    }

    /// Whether the image has a package database at all.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Numbers of the packages that own an entry.
    pub fn owners(&self, entry: Entry<'_>) -> &[u32] {
        self.owners
            .get(&entry.number())
            .map(Vec::as_slice)
            .unwrap_or_default()
    }

    pub fn get(&self, number: u32) -> Option<&Package> {
        self.all.get(number as usize)
    }

    /// Source packages that own an entry.
    pub fn families(&self, entry: Entry<'_>) -> BTreeSet<&str> {
        self.owners(entry)
            .iter()
            .filter_map(|number| self.get(*number))
            .map(|package| package.source.as_str())
            .collect()
    }

    /// Installed packages that have or provide a name.
    pub fn named(&self, name: &str) -> &[usize] {
        self.by_name
            .get(name)
            .map(Vec::as_slice)
            .unwrap_or_default()
    }
}

/// Fields of a paragraph, names in lower case, continuation lines joined by newlines.
fn fields(paragraph: &str) -> BTreeMap<String, String> {
    let mut fields: BTreeMap<String, String> = BTreeMap::new();
    let mut last = String::new();
    for line in paragraph.lines() {
        if line.starts_with([' ', '\t']) {
            if let Some(value) = fields.get_mut(&last) {
                value.push('\n');
                value.push_str(line.trim());
            }
        } else if let Some((name, value)) = line.split_once(':') {
            last = name.to_ascii_lowercase();
            fields.insert(last.clone(), value.trim().to_owned());
        }
    }
    fields
}

/// Names of a dependency field: groups of alternatives, versions and architectures left out.
fn relations(text: &str) -> Vec<Vec<String>> {
    text.split(',')
        .map(|group| {
            group
                .split('|')
                .filter_map(|alternative| {
                    let name = alternative.trim().split([' ', '(', ':', '\n']).next()?;
                    (!name.is_empty()).then(|| name.to_owned())
                })
                .collect::<Vec<_>>()
        })
        .filter(|group| !group.is_empty())
        .collect()
}

fn conffiles(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| line.split(' ').next())
        .filter(|path| path.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paragraphs_give_names_sources_and_relations() {
        let mut packages = Packages::default();
        packages.add_paragraphs(
            "Package: nginx-light\nStatus: install ok installed\nSource: nginx (1.22.1-9)\nArchitecture: amd64\n\
             Version: 1.22.1-9+b1\nDepends: libc6 (>= 2.34), default-mta | mail-transport-agent, perl:any\n\
             Provides: httpd, nginx (= 1.22.1-9)\nConffiles:\n /etc/nginx/nginx.conf 0123 \n\nPackage: gone\n\
             Status: deinstall ok config-files\n",
        );
        assert_eq!(packages.all.len(), 1);
        let package = &packages.all[0];
        assert_eq!(
            (package.source.as_str(), package.version.as_str()),
            ("nginx", "1.22.1-9+b1")
        );
        assert_eq!(
            package.depends,
            [
                vec!["libc6"],
                vec!["default-mta", "mail-transport-agent"],
                vec!["perl"]
            ]
        );
        assert_eq!(package.conffiles, ["/etc/nginx/nginx.conf"]);
        assert_eq!(packages.named("httpd"), [0]);
    }
}
