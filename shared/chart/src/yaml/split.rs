//! Where one document of a stream ends and the next begins.

/// A document of a stream, and the line (from 0) it starts at.
pub(super) struct Part<'a> {
    pub(super) text: &'a str,
    pub(super) line: usize,
}

/// Splits rendered text into documents as Helm does: at every line that *begins* with `---`, whatever follows
/// on it (`---apiVersion: v1` starts a document); white space before a document is dropped, blank documents too.
///
/// All Helm versions split at the same places. They differ in how much white space they take from the end of
/// a document: 3.x to 4.1 all of it, 4.2.0 to 4.2.3 all of it but in the last document, 4.2.4 none. None is
/// taken here. That white space means something only to a block scalar that keeps its newlines (`|+`) and
/// is the last thing in a document.
pub fn documents(text: &str) -> Vec<&str> {
    // Go's notion of white space in `\s` and strings.TrimSpace differ on rare characters; on text both skip these.
    parts(text, |rest| rest.trim_start())
        .filter(|part| !part.text.trim().is_empty())
        .map(|part| part.text.trim_start())
        .collect()
}

/// Splits a stream of documents as Kubernetes' YAML reader does: at lines that start with `---`, the rest of
/// which is dropped.
pub(super) fn stream(text: &str) -> impl Iterator<Item = Part<'_>> {
    parts(text, |rest| {
        rest.split_once('\n').map_or("", |(_, rest)| rest)
    })
}

fn parts<'a>(text: &'a str, after: impl Fn(&'a str) -> &'a str) -> impl Iterator<Item = Part<'a>> {
    let mut starts = Vec::new();
    let mut found = Vec::new();
    if text.starts_with("---") {
        starts.push(0);
    }
    starts.extend(text.match_indices("\n---").map(|(at, _)| at + 1));
    let mut start = 0;
    for at in starts {
        found.push((start, text.get(start..at).unwrap_or_default()));
        let rest = after(text.get(at + 3..).unwrap_or_default());
        start = text.len() - rest.len();
        // White space after a separator may reach over the next one.
        start = start.min(text.len());
    }
    found.push((start, text.get(start..).unwrap_or_default()));
    let mut line = 0;
    let mut seen = 0;
    found.into_iter().map(move |(start, part)| {
        line += text
            .get(seen..start)
            .map_or(0, |skipped| skipped.matches('\n').count());
        seen = seen.max(start);
        Part { text: part, line }
    })
}

#[cfg(test)]
mod tests {
    use super::documents;

    #[test]
    fn splits_where_helm_does() {
        assert_eq!(documents("a: 1\n---\nb: 2\n"), ["a: 1\n", "b: 2\n"]);
        assert_eq!(documents("---a: 1\n---   b: 2"), ["a: 1\n", "b: 2"]);
        assert_eq!(documents("\n \n---\n---\n\n---\na: 1"), ["a: 1"]);
        assert_eq!(
            documents("a: |\n  ---\n  x\n --- y\n"),
            ["a: |\n  ---\n  x\n --- y\n"]
        );
        assert_eq!(
            documents("a: 1\n--- # two\nb: 2"),
            ["a: 1\n", "# two\nb: 2"]
        );
        assert_eq!(documents(""), Vec::<&str>::new());
        assert_eq!(
            documents("a: 1\r\n---\r\nb: 2\r\n"),
            ["a: 1\r\n", "b: 2\r\n"]
        );
    }
}
