//! Paragraphs of `status` and `status.d`.

use crate::listing::{Listed, Listing};
use crate::{Licence, PackageKind, Problem, ProblemKind, SourcePackage};

/// Most packages of one database; a full Debian desktop has some 3,000.
const MAX_PACKAGES: usize = 200_000;

/// Reads paragraphs. What cannot be read is told and passed over; packages whose files are not installed are left out.
///
/// `trust_absent_status`: whether a paragraph without `Status` is of an installed package, as in `status.d`.
pub(crate) fn packages(text: &str, path: &str, trust_absent_status: bool) -> Listing {
    let mut listing = Listing::default();
    let mut paragraph = Paragraph::default();
    // An empty line more ends the last paragraph.
    for (number, line) in text.lines().chain(std::iter::once("")).enumerate() {
        if listing.packages.len() >= MAX_PACKAGES {
            listing.problems.push(broken(
                path,
                format!("it lists more than {MAX_PACKAGES} packages"),
            ));
            break;
        }
        if !line.trim().is_empty() {
            paragraph.add(number + 1, line);
            continue;
        }
        let paragraph = std::mem::take(&mut paragraph);
        match paragraph.package(path, trust_absent_status) {
            Ok(Some(package)) => listing.packages.push(package),
            Ok(None) => {}
            Err(reason) => listing.problems.push(broken(path, reason)),
        }
    }
    listing
}

fn broken(path: &str, reason: String) -> Problem {
    Problem::new(ProblemKind::BrokenPackageDatabase, path.to_owned(), reason)
}

/// One paragraph: fields in order, names in lower case.
#[derive(Default)]
struct Paragraph {
    first_line: usize,
    fields: Vec<(String, String)>,
    failure: Option<String>,
}

impl Paragraph {
    fn add(&mut self, number: usize, line: &str) {
        if self.first_line == 0 {
            self.first_line = number;
        }
        if line.starts_with([' ', '\t']) {
            match self.fields.last_mut() {
                Some((_, value)) => {
                    value.push('\n');
                    value.push_str(line.trim());
                }
                None => self.fail(format!("line {number} continues no field")),
            }
            return;
        }
        match line.split_once(':') {
            Some((name, value)) if is_field_name(name) => self
                .fields
                .push((name.to_ascii_lowercase(), value.trim().to_owned())),
            _ => self.fail(format!("line {number} is no field")),
        }
    }

    fn fail(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// The package, if its files are installed.
    fn package(self, path: &str, trust_absent_status: bool) -> Result<Option<Listed>, String> {
        if let Some(reason) = self.failure {
            return Err(reason);
        }
        if self.fields.is_empty() {
            return Ok(None);
        }
        let place = format!("the paragraph at line {}", self.first_line);
        let name = self
            .field("package")
            .filter(|name| is_package_name(name))
            .ok_or_else(|| format!("{place} names no package"))?
            .to_owned();
        // "want flag state": everything but the last two states means that files are there (dpkg(1), "Package states").
        let state = match self.field("status") {
            Some(status) => status
                .split_whitespace()
                .nth(2)
                .ok_or_else(|| format!("{place} ({name}) has the unreadable status {status:?}"))?,
            None if trust_absent_status => "installed",
            None => return Err(format!("{place} ({name}) has no status")),
        };
        if matches!(state, "not-installed" | "config-files") {
            return Ok(None);
        }
        let version = self
            .field("version")
            .ok_or_else(|| format!("{place} ({name}) has no version"))?
            .to_owned();
        let own = |field: &str| self.field(field).map(str::to_owned);
        let source = self
            .field("source")
            .map(|text| source_package(text, &version))
            .filter(|source| source.name != name || source.version != version);
        let config_files = self
            .field("conffiles")
            .map(config_files)
            .unwrap_or_default();
        let summary = self
            .field("description")
            .and_then(|text| text.lines().next())
            .unwrap_or_default()
            .to_owned();
        Ok(Some(Listed {
            kind: PackageKind::Deb,
            architecture: own("architecture").unwrap_or_default(),
            maintainer: own("maintainer"),
            homepage: own("homepage"),
            summary,
            licence: Licence::default(),
            database: path.to_owned(),
            files: None,
            name,
            version,
            source,
            config_files,
        }))
    }
}

fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b'#')
}

/// Debian policy 5.6.7; upper case occurs in old archives.
fn is_package_name(name: &str) -> bool {
    name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.' | b'_'))
}

/// `Source: name` or `Source: name (version)`.
fn source_package(text: &str, version: &str) -> SourcePackage {
    match text.split_once('(') {
        Some((name, rest)) => SourcePackage {
            name: name.trim().to_owned(),
            version: rest.trim_end().trim_end_matches(')').trim().to_owned(),
        },
        None => SourcePackage {
            name: text.to_owned(),
            version: version.to_owned(),
        },
    }
}

/// Lines of path, checksum and flags; obsolete ones are no longer the package's.
fn config_files(text: &str) -> Vec<String> {
    let mut files: Vec<String> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let path = words.next()?;
            let current = !words.any(|word| word == "obsolete");
            (current && path.starts_with('/')).then(|| path.to_owned())
        })
        .collect();
    files.sort();
    files.dedup();
    files
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STATUS: &str = "\
Package: libgcc-s1
Status: install ok installed
Multi-Arch: same
Architecture: amd64
Source: gcc-12
Version: 12.2.0-14+deb12u1
Description: GCC support library
 Shared version of the support library.
 .
 It is needed.

Package: nginx-common
Status: install ok unpacked
Architecture: all
Source: nginx (1.22.1-9)
Version: 1.22.1-9+b1
Conffiles:
 /etc/nginx/nginx.conf 1234
 /etc/nginx/gone.conf 5678 obsolete

Package: removed
Status: deinstall ok config-files
Version: 1
";

    #[test]
    fn installed_packages_are_told_from_removed_ones() {
        let listing = packages(STATUS, "/s", false);
        assert_eq!(listing.problems, []);
        let [gcc, nginx] = listing.packages.as_slice() else {
            panic!("{listing:?}");
        };
        assert_eq!(
            gcc.source,
            Some(SourcePackage {
                name: "gcc-12".into(),
                version: "12.2.0-14+deb12u1".into()
            })
        );
        assert_eq!(gcc.summary, "GCC support library");
        let source = nginx.source.as_ref().unwrap();
        assert_eq!(
            (source.name.as_str(), source.version.as_str()),
            ("nginx", "1.22.1-9")
        );
        assert_eq!(nginx.config_files, ["/etc/nginx/nginx.conf"]);
    }

    #[test]
    fn a_damaged_paragraph_is_told_and_takes_no_other_with_it() {
        let text = format!(
            "{STATUS}\nPackage: x\nStatus: install ok installed\nrubbish\n\nPackage: y\nStatus: install ok installed\nVersion: 1\n"
        );
        let listing = packages(&text, "/s", false);
        assert_eq!(listing.packages.len(), 3);
        assert_eq!(listing.problems.len(), 1);
        assert!(
            listing.problems[0].reason.contains("is no field"),
            "{:?}",
            listing.problems
        );
        let listing = packages("Package: x\nVersion: 1\n", "/s", false);
        assert!(listing.problems[0].reason.contains("has no status"));
        assert_eq!(
            packages("Package: x\nVersion: 1\n", "/s", true)
                .packages
                .len(),
            1
        );
        assert!(
            !packages("Package: ../x\nVersion: 1\n", "/s", true)
                .problems
                .is_empty()
        );
    }

    proptest! {
        #[test]
        fn any_text_ends_in_packages_or_problems(text in "([A-Za-z]{1,9}: ?[ -~]{0,9}\n| [ -~]{0,5}\n|\n|[ -~]{1,9}\n){0,20}") {
            let listing = packages(&text, "/s", true);
            let something = text.lines().any(|l| !l.trim().is_empty());
            if something && !text.contains("tatus") {
                prop_assert!(!listing.packages.is_empty() || !listing.problems.is_empty());
            }
        }
    }
}
