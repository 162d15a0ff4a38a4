//! Which distribution an image is: os-release files (`os-release(5)`).

use crate::OsRelease;

/// Reads an os-release file. Lines that are no assignment are passed over, as the format asks readers to do; a file
/// without `ID` names no distribution.
pub(crate) fn parse(text: &str) -> Option<OsRelease> {
    let mut release = OsRelease::default();
    for line in text.lines() {
        let line = line.trim();
        let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) else {
            continue;
        };
        let value = unquote(value);
        match key {
            "ID" => release.id = value.to_ascii_lowercase(),
            "VERSION_ID" => release.version_id = value,
            "VERSION_CODENAME" => release.version_codename = value,
            "PRETTY_NAME" => release.pretty_name = value,
            _ => {}
        }
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let valid = !release.id.is_empty()
        && release.id.len() <= 64
        && release.id.chars().all(plain)
        && release.version_id.len() <= 64
        && release.version_id.chars().all(plain);
    valid.then_some(release)
}

/// Takes shell quoting away. Values are assignments a shell could read, without expansions.
fn unquote(value: &str) -> String {
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let inner = match quote {
        Some(quote) => value
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
            .unwrap_or(value),
        None => value,
    };
    if quote == Some('\'') {
        return inner.to_owned();
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_the_shell_s() {
        let release = parse(
            "# comment\nNAME=\"x\"\nID=Alpine\nVERSION_ID='3.20.3'\nPRETTY_NAME=\"A \\\"good\\\" one\"\nnonsense\n",
        )
        .unwrap();
        assert_eq!(release.id, "alpine");
        assert_eq!(release.version_id, "3.20.3");
        assert_eq!(release.pretty_name, "A \"good\" one");
    }

    #[test]
    fn a_file_that_names_nothing_or_nonsense_is_no_distribution() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("VERSION_ID=12"), None);
        assert_eq!(parse("ID=\"../../etc\"\n"), None);
    }
}
