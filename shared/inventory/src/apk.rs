//! Alpine's package database (`lib/apk/db/installed`).
//!
//! One record for each package, lines of a letter, a colon and a value, an empty line after each record; format as in
//! apk-tools' `apk-package(5)` and `apk-v2(5)`.

use crate::listing::{Listed, Listing};
use crate::{Licence, PackageKind, Problem, ProblemKind, SourcePackage};

/// Where the database is; the second since the merge of `/lib` into `/usr/lib`.
pub(crate) const DATABASES: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];

/// Reads the database. Records that cannot be read are told and passed over.
pub(crate) fn parse(text: &str, path: &str) -> Listing {
    let mut listing = Listing::default();
    let mut record = Record::default();
    for (number, line) in text.lines().enumerate() {
        if line.is_empty() {
            std::mem::take(&mut record).finish(path, &mut listing);
            continue;
        }
        record.first_line.get_or_insert(number + 1);
        match line.split_once(':') {
            Some((key, value)) if key.len() == 1 => record.add(key, value),
            _ => record.fail(format!("line {} is no field", number + 1)),
        }
    }
    record.finish(path, &mut listing);
    listing
}

#[derive(Default)]
struct Record {
    first_line: Option<usize>,
    name: String,
    version: String,
    architecture: String,
    summary: String,
    homepage: Option<String>,
    licence: String,
    origin: Option<String>,
    maintainer: Option<String>,
    folder: String,
    files: Vec<String>,
    failure: Option<String>,
}

impl Record {
    fn add(&mut self, key: &str, value: &str) {
        let some = || Some(value.to_owned()).filter(|text| !text.is_empty());
        match key {
            "P" => self.name = value.to_owned(),
            "V" => self.version = value.to_owned(),
            "A" => self.architecture = value.to_owned(),
            "T" => self.summary = value.to_owned(),
            "U" => self.homepage = some(),
            "L" => self.licence = value.trim().to_owned(),
            "o" => self.origin = some(),
            "m" => self.maintainer = some(),
            "F" => self.folder = value.to_owned(),
            "R" => {
                let slash = if self.folder.is_empty() { "" } else { "/" };
                self.files.push(format!("/{}{slash}{value}", self.folder));
            }
            _ => {}
        }
    }

    fn fail(&mut self, reason: String) {
        self.failure.get_or_insert(reason);
    }

    fn finish(self, path: &str, listing: &mut Listing) {
        let Some(first_line) = self.first_line else {
            return;
        };
        if let Some(reason) = &self.failure {
            listing.problems.push(broken(path, reason.clone()));
        }
        if self.name.is_empty() || self.version.is_empty() {
            listing.problems.push(broken(
                path,
                format!("the record at line {first_line} names no package and version"),
            ));
            return;
        }
        let source = self
            .origin
            .filter(|origin| *origin != self.name)
            .map(|name| SourcePackage {
                name,
                version: self.version.clone(),
            });
        listing.packages.push(Listed {
            kind: PackageKind::Apk,
            licence: Licence::declared(&self.licence, path),
            name: self.name,
            version: self.version,
            architecture: self.architecture,
            source,
            maintainer: self.maintainer,
            homepage: self.homepage,
            summary: self.summary,
            database: path.to_owned(),
            files: Some(self.files),
            config_files: Vec::new(),
        });
    }
}

fn broken(path: &str, reason: String) -> Problem {
    Problem::new(ProblemKind::BrokenPackageDatabase, path.to_owned(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_damaged_record_is_told_and_takes_no_other_with_it() {
        let text = "P:a\nV:1\n\nP:b\nrubbish\nV:2\n\nV:3\n\nP:d\nV:4\nF:\nR:top\nF:etc\nR:x";
        let listing = parse(text, "/db");
        let names: Vec<&str> = listing.packages.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "d"]);
        assert_eq!(listing.problems.len(), 2, "{:?}", listing.problems);
        let files = listing.packages[2].files.as_deref().unwrap();
        assert_eq!(files, ["/top", "/etc/x"]);
    }

    proptest! {
        #[test]
        fn any_text_ends_in_packages_or_problems(text in "([A-Za-z]:[ -~]{0,9}\n|\n|[ -~]{1,9}\n){0,20}") {
            let listing = parse(&text, "/db");
            if text.lines().any(|line| !line.is_empty()) {
                prop_assert!(!listing.packages.is_empty() || !listing.problems.is_empty());
            }
        }
    }
}
