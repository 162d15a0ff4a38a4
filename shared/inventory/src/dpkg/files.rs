//! Lists of files, checksums, diversions.

use std::collections::BTreeMap;

/// Paths of an `info/*.list` file; it names folders too.
pub(crate) fn list(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with('/') && *line != "/.")
        .map(str::to_owned)
        .collect()
}

/// Paths of a `*.md5sums` file: a checksum, white space, a path without leading slash.
pub(crate) fn sums(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let (_, path) = line.split_once([' ', '\t'])?;
            let path = path.trim_start_matches([' ', '\t', '*']);
            let path = path.strip_prefix("./").unwrap_or(path);
            let path = path.trim_start_matches('/');
            (!path.is_empty()).then(|| format!("/{path}"))
        })
        .collect()
}

/// Files of other packages that a package moved aside (`dpkg-divert(1)`).
#[derive(Debug, Default)]
pub(crate) struct Diversions {
    /// From path to new path and the package that may keep the old one.
    moved: BTreeMap<String, (String, String)>,
}

impl Diversions {
    /// Reads the database: three lines for each, from, to, and the package, `:` for none.
    pub fn parse(text: &str) -> Self {
        let mut lines = text.lines();
        let mut moved = BTreeMap::new();
        while let (Some(from), Some(to), Some(package)) = (lines.next(), lines.next(), lines.next())
        {
            moved.insert(from.to_owned(), (to.to_owned(), package.to_owned()));
        }
        Self { moved }
    }

    /// Where a file of a package really is.
    pub fn place<'a>(&'a self, path: &'a str, package: &str) -> &'a str {
        match self.moved.get(path) {
            Some((to, owner)) if owner != package => to,
            _ => path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_files_name_paths_in_two_dialects() {
        assert_eq!(
            sums("d41d8cd98f00b204e9800998ecf8427e  usr/bin/a b\nxyz=  ./etc/c\n\n"),
            ["/usr/bin/a b", "/etc/c"]
        );
    }

    #[test]
    fn diverted_files_are_found_where_they_went() {
        let diversions = Diversions::parse("/bin/sh\n/bin/sh.distrib\ndash\n/x\n/y\n:\n/torn\n");
        assert_eq!(diversions.place("/bin/sh", "bash"), "/bin/sh.distrib");
        assert_eq!(diversions.place("/bin/sh", "dash"), "/bin/sh");
        assert_eq!(diversions.place("/x", "any"), "/y");
        assert_eq!(diversions.place("/torn", "any"), "/torn");
    }
}
