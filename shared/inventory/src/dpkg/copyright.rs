//! Copyright files, in Debian's machine-readable form where they have it.
//!
//! <https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/> (DEP-5). Older files are prose; of those only
//! hints are kept, since an honest expression cannot be had from them.

use std::collections::BTreeSet;

use crate::{Licence, licence};

/// Most different licences of one package that are put together into an expression.
const MAX_LICENCES: usize = 64;

/// Reads a copyright file.
pub(crate) fn parse(text: &str, path: &str) -> Licence {
    let mut found = if is_machine_readable(text) {
        machine_readable(text)
    } else {
        Licence {
            mentions: mentions(text),
            ..Licence::default()
        }
    };
    found.source = Some(path.to_owned());
    found
}

fn is_machine_readable(text: &str) -> bool {
    text.lines()
        .take_while(|line| !line.trim().is_empty())
        .any(|line| {
            line.split_once(':').is_some_and(|(field, value)| {
                field.eq_ignore_ascii_case("format")
                    && (value.contains("copyright-format") || value.contains("dep5"))
            })
        })
}

/// Every licence that some file is under, put together with AND.
fn machine_readable(text: &str) -> Licence {
    let mut declared = BTreeSet::new();
    for paragraph in text.split("\n\n") {
        // A paragraph that only gives a licence's text names no files: it is there for others to refer to.
        let names_files = has_field(paragraph, "files") || has_field(paragraph, "format");
        for line in paragraph.lines() {
            if let Some((field, value)) = line.split_once(':')
                && field.eq_ignore_ascii_case("license")
                && names_files
                && !value.trim().is_empty()
            {
                // One more than are put together tells that there are too many.
                if declared.len() <= MAX_LICENCES {
                    declared.insert(synopsis(value));
                }
            }
        }
    }
    let countable = declared.len() <= MAX_LICENCES;
    let parts: BTreeSet<String> = declared.iter().map(|text| expression(text)).collect();
    let only = parts.len() == 1;
    let together = parts
        .iter()
        .map(|part| match part.contains(" OR ") && !only {
            true => format!("({part})"),
            false => part.clone(),
        })
        .collect::<Vec<_>>()
        .join(" AND ");
    Licence {
        expression: licence::expression(&together).filter(|_| countable),
        declared: declared.into_iter().take(MAX_LICENCES).collect(),
        mentions: Vec::new(),
        source: None,
    }
}

/// A licence's short form with single spaces, cut where no name is that long.
fn synopsis(value: &str) -> String {
    let words: Vec<&str> = value.split_whitespace().take(100).collect();
    words.join(" ").chars().take(1000).collect()
}

fn has_field(paragraph: &str, name: &str) -> bool {
    paragraph.lines().any(|line| {
        line.split_once(':')
            .is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
    })
}

/// A licence synopsis: short names with `and`, `or` and `with … exception`; after a comma they bind less tightly.
fn expression(text: &str) -> String {
    let mut out = String::new();
    let grouped = text.contains(", ");
    for group in text.split(", ") {
        let mut group = group.trim();
        if !out.is_empty() {
            let operator = match group.split_once(' ') {
                Some((word, rest)) if word.eq_ignore_ascii_case("or") => {
                    group = rest;
                    "OR"
                }
                Some((word, rest)) if word.eq_ignore_ascii_case("and") => {
                    group = rest;
                    "AND"
                }
                _ => "AND",
            };
            out.push_str(&format!(" {operator} "));
        }
        let names = names(group);
        if grouped && names.contains(' ') {
            out.push_str(&format!("({names})"));
        } else {
            out.push_str(&names);
        }
    }
    out
}

/// Names with operators between them, without commas. Words that follow a name without an operator belong to it.
fn names(text: &str) -> String {
    let mut out = String::new();
    let mut name: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let operator = match word.to_ascii_lowercase().as_str() {
            "and" | "and/or" => "AND",
            "or" => "OR",
            _ => {
                name.push(word);
                continue;
            }
        };
        if name.is_empty() {
            continue;
        }
        out.push_str(&identifier(&name));
        out.push_str(&format!(" {operator} "));
        name.clear();
    }
    out.push_str(&identifier(&name));
    out
}

/// `GPL-2+` or `GPL-2+ with OpenSSL exception`.
fn identifier(words: &[&str]) -> String {
    if let [name, with, exception @ .., last] = words
        && with.eq_ignore_ascii_case("with")
        && last.eq_ignore_ascii_case("exception")
        && let [exception] = exception
        && let Some(exception) = licence::exception(exception)
    {
        return format!("{} WITH {exception}", licence::of_debian(name));
    }
    licence::of_debian(&words.join(" "))
}

/// Files of `/usr/share/common-licenses` that a text refers to.
fn mentions(text: &str) -> Vec<String> {
    let mut found: Vec<String> = text
        .split("common-licenses/")
        .skip(1)
        .filter_map(|rest| {
            let name: String = rest
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
                .take(40)
                .collect();
            let name = name.trim_end_matches(['.', '-']).to_owned();
            (!name.is_empty()).then_some(name)
        })
        .collect();
    found.sort();
    found.dedup();
    found.truncate(MAX_LICENCES);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn synopses_become_expressions_with_the_comma_s_meaning() {
        for (text, wanted) in [
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0"),
            (
                "GPL-2+ or Artistic-2.0, and BSD-3-clause",
                "(GPL-2.0-or-later OR Artistic-2.0) AND BSD-3-Clause",
            ),
            (
                "GPL-3+ with GCC exception",
                "GPL-3.0-or-later WITH GCC-exception-3.1",
            ),
            (
                "GPL-2+ with OpenSSL exception",
                "LicenseRef-GPL-2-or-later-with-OpenSSL-exception",
            ),
        ] {
            assert_eq!(expression(text), wanted);
            assert_eq!(licence::expression(wanted).as_deref(), Some(wanted));
        }
    }

    #[test]
    fn only_licences_of_files_count_and_prose_only_hints() {
        let found = parse(
            "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\n\
             Copyright: x\nLicense: GPL-2+ or Expat\n text\n\nFiles: debian/*\nLicense: ISC\n\nLicense: Apache-2.0\n never used\n",
            "/c",
        );
        assert_eq!(
            found.expression.as_deref(),
            Some("(GPL-2.0-or-later OR MIT) AND ISC")
        );
        assert_eq!(found.declared, ["GPL-2+ or Expat", "ISC"]);
        let found = parse(
            "This is prose. See /usr/share/common-licenses/GPL-2. Also `/usr/share/common-licenses/LGPL-2.1'",
            "/c",
        );
        assert_eq!(found.expression, None);
        assert_eq!(found.mentions, ["GPL-2", "LGPL-2.1"]);
    }

    proptest! {
        #[test]
        fn whatever_comes_out_is_an_expression(text in "([A-Za-z0-9+.,()-]{1,8} ?){1,8}") {
            let whole = format!("Format: copyright-format/1.0\n\nFiles: *\nLicense: {text}\n");
            if let Some(found) = parse(&whole, "/c").expression {
                prop_assert!(licence::expression(&found).is_some(), "{}", found);
            }
        }
    }
}
