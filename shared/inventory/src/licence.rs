//! From what packages declare to SPDX licence expressions (SPDX 2.3, Annex D), where that can be done honestly.

use spdx::{Expression, ParseMode};

use crate::Licence;

/// How declared expressions are read: identifiers of the SPDX list, its older ones among them.
const MODE: ParseMode = ParseMode {
    allow_slash_as_or_operator: false,
    allow_imprecise_license_names: false,
    allow_postfix_plus_on_gpl: true,
    allow_deprecated: true,
    allow_unknown: false,
};

/// Longest text that is read as an expression.
const MAX_EXPRESSION: usize = 4096;

impl Licence {
    /// A licence declared in one field that may or may not be an SPDX expression; `source` names the file.
    pub fn declared(text: &str, source: &str) -> Self {
        if text.is_empty() {
            return Self::default();
        }
        Self {
            expression: expression(text),
            declared: vec![text.chars().take(MAX_EXPRESSION).collect()],
            mentions: Vec::new(),
            source: Some(source.to_owned()),
        }
    }
}

/// The SPDX expression a text is, in today's identifiers; none when it is not one.
pub(crate) fn expression(text: &str) -> Option<String> {
    if text.len() > MAX_EXPRESSION || nesting(text) > 16 {
        return None;
    }
    Expression::parse_mode(text, MODE).ok()?;
    let mut out = String::new();
    let mut word = String::new();
    for c in text.chars() {
        if c.is_whitespace() || matches!(c, '(' | ')') {
            push_identifier(&mut out, &word);
            word.clear();
            out.push(if c.is_whitespace() { ' ' } else { c });
        } else {
            word.push(c);
        }
    }
    push_identifier(&mut out, &word);
    let out = out.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>();
    let out = out.join(" ");
    Expression::parse_mode(&out, ParseMode::STRICT)
        .or_else(|_| Expression::parse_mode(&out, MODE))
        .ok()
        .map(|_| out)
}

fn nesting(text: &str) -> usize {
    text.bytes().filter(|b| *b == b'(').count()
}

fn push_identifier(out: &mut String, word: &str) {
    match word.to_ascii_uppercase().as_str() {
        operator @ ("AND" | "OR" | "WITH") => out.push_str(operator),
        _ => match gnu(word) {
            Some(identifier) => out.push_str(&identifier),
            None => out.push_str(word),
        },
    }
}

/// The identifier of a GNU licence in today's form: `GPL-2.0` means only that version, `GPL-2.0+` or `GPL-2+` also
/// later ones (SPDX 2.3, Annex D.2).
fn gnu(word: &str) -> Option<String> {
    let (name, later) = match word.strip_suffix('+') {
        Some(name) => (name, true),
        None => (word, false),
    };
    let (family, version) = name.split_once('-')?;
    if !matches!(family, "GPL" | "LGPL" | "AGPL" | "GFDL") {
        return None;
    }
    let number = version.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if !number || version.is_empty() {
        return None;
    }
    let version = if version.contains('.') {
        version.to_owned()
    } else {
        format!("{version}.0")
    };
    let suffix = if later { "or-later" } else { "only" };
    let identifier = format!("{family}-{version}-{suffix}");
    spdx::license_id(&identifier).map(|_| identifier)
}

/// The SPDX identifier of a short name of Debian's machine-readable copyright files (copyright-format 1.0, "Short
/// name"), or a `LicenseRef` for one that has none.
pub(crate) fn of_debian(name: &str) -> String {
    let name = name.trim();
    if let Some(identifier) = gnu(name) {
        return identifier;
    }
    let lower = name.to_ascii_lowercase();
    // The names the format itself defines, and what they are called in the SPDX list. All other names mean what the
    // copyright file says they mean, so they only count when they are SPDX identifiers letter by letter.
    let known = match lower.as_str() {
        "expat" => Some("MIT"),
        "apache-1.0" | "apache-1" => Some("Apache-1.0"),
        "apache-2.0" | "apache-2" => Some("Apache-2.0"),
        "artistic" | "artistic-1" => Some("Artistic-1.0"),
        "artistic-2" => Some("Artistic-2.0"),
        "bsd-2-clause" => Some("BSD-2-Clause"),
        "bsd-3-clause" => Some("BSD-3-Clause"),
        "bsd-4-clause" => Some("BSD-4-Clause"),
        "isc" => Some("ISC"),
        "cc0" | "cc0-1" | "cc0-1.0" => Some("CC0-1.0"),
        "cddl" | "cddl-1.0" => Some("CDDL-1.0"),
        "efl-2" => Some("EFL-2.0"),
        "gfdl-niv-1.2+" => Some("GFDL-1.2-no-invariants-or-later"),
        "gfdl-niv-1.2" => Some("GFDL-1.2-no-invariants-only"),
        "gfdl-niv-1.3+" => Some("GFDL-1.3-no-invariants-or-later"),
        "gfdl-niv-1.3" => Some("GFDL-1.3-no-invariants-only"),
        "lppl-1.3" | "lppl-1.3c" => Some("LPPL-1.3c"),
        "mpl-1.1" => Some("MPL-1.1"),
        "mpl-2.0" | "mpl-2" => Some("MPL-2.0"),
        "python-2.0" | "psf-2" => Some("PSF-2.0"),
        "w3c" | "w3c-software" => Some("W3C"),
        "zlib" => Some("Zlib"),
        "zope-2.1" => Some("ZPL-2.1"),
        "boost" | "boost-1.0" | "bsl-1.0" => Some("BSL-1.0"),
        "sil-ofl-1.1" | "ofl-1.1" => Some("OFL-1.1"),
        _ => None,
    };
    match known {
        Some(identifier) => identifier.to_owned(),
        None => match spdx::license_id(name) {
            Some(id) if !id.is_deprecated() => name.to_owned(),
            _ => reference(name),
        },
    }
}

/// A `LicenseRef` for a name that is not on the SPDX list (SPDX 2.3, clause 10.1: letters, digits, `.` and `-`).
fn reference(name: &str) -> String {
    let mut out = String::from("LicenseRef-");
    for c in name.chars().take(100) {
        match c {
            '+' => out.push_str("-or-later"),
            c if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') => out.push(c),
            _ if out.ends_with('-') => {}
            _ => out.push('-'),
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// An SPDX exception as copyright files name it after `with`.
pub(crate) fn exception(name: &str) -> Option<&'static str> {
    match name.to_ascii_lowercase().as_str() {
        "font" => Some("Font-exception-2.0"),
        "libtool" => Some("Libtool-exception"),
        "classpath" => Some("Classpath-exception-2.0"),
        "gcc" | "gcc-3.1" => Some("GCC-exception-3.1"),
        "autoconf-2.0" => Some("Autoconf-exception-2.0"),
        "autoconf-3.0" => Some("Autoconf-exception-3.0"),
        "bison" | "bison-2.2" => Some("Bison-exception-2.2"),
        "llvm" => Some("LLVM-exception"),
        _ => None,
    }
}

/// Licence identifiers of an expression that are not on the SPDX list, sorted.
pub(crate) fn references(expression: &str) -> Vec<String> {
    let mut found: Vec<String> = expression
        .split(|c: char| c.is_whitespace() || matches!(c, '(' | ')'))
        .filter(|word| word.starts_with("LicenseRef-"))
        .map(str::to_owned)
        .collect();
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_come_out_in_today_s_identifiers() {
        for (text, wanted) in [
            ("MIT", Some("MIT")),
            ("GPL-2.0 and MIT", Some("GPL-2.0-only AND MIT")),
            ("GPL-2.0+", Some("GPL-2.0-or-later")),
            (
                "(MIT OR  Apache-2.0) AND BSD-2-Clause",
                Some("(MIT OR Apache-2.0) AND BSD-2-Clause"),
            ),
            (
                "GPL-2.0-or-later WITH GCC-exception-3.1",
                Some("GPL-2.0-or-later WITH GCC-exception-3.1"),
            ),
            ("custom", None),
            ("MIT BSD GPL2+", None),
            ("", None),
        ] {
            assert_eq!(expression(text).as_deref(), wanted, "{text}");
        }
        assert_eq!(expression(&"(".repeat(5000)), None);
    }

    #[test]
    fn debian_s_short_names_have_spdx_names_or_stay_references() {
        for (name, wanted) in [
            ("Expat", "MIT"),
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2", "GPL-2.0-only"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("GFDL-1.3+", "GFDL-1.3-or-later"),
            ("public-domain", "LicenseRef-public-domain"),
            ("GPL-9", "LicenseRef-GPL-9"),
            ("BSD", "LicenseRef-BSD"),
            ("Unicode-DFS-2016", "Unicode-DFS-2016"),
            ("permissive (see text)", "LicenseRef-permissive-see-text"),
        ] {
            assert_eq!(of_debian(name), wanted);
            assert!(expression(&of_debian(name)).is_some(), "{name}");
        }
    }
}
