//! What YAML 1.1 allows and the YAML 1.2 parser beneath does not.
//!
//! The parser says where it stopped; where the text there is good YAML 1.1, it is changed into an equivalent that it
//! takes. Nothing is looked for in text that parses, so that well-formed documents cost nothing and cannot be changed.

use saphyr_parser::ScanError;

/// Each repair has the document parsed again. Bytes of text parsed for repairs before giving up.
pub(super) const MAX_REPARSED_BYTES: usize = 16 << 20;

/// An equivalent of `text` without what the parser stopped at; `None` where this is a real error.
pub(super) fn repair(text: &str, error: &ScanError) -> Option<String> {
    match error.info() {
        "':' must be followed by a valid YAML whitespace" => {
            tabs_to_space(text, error.marker().index())
        }
        "invalid indentation in quoted scalar" => indent_quoted(text, error.marker().index()),
        "invalid indentation" | "invalid indentation in flow construct" => {
            indent_in_flow(text, error.marker().index())
        }
        _ => None,
    }
}

fn byte_of(text: &str, index: usize) -> Option<usize> {
    text.char_indices()
        .map(|(byte, _)| byte)
        .chain([text.len()])
        .nth(index)
}

/// `key:<tab>value`: the tabs before `index` (in characters) become one space.
fn tabs_to_space(text: &str, index: usize) -> Option<String> {
    let (head, tail) = text.split_at_checked(byte_of(text, index)?)?;
    let kept = head.trim_end_matches(['\t', ' ']);
    kept.ends_with(':').then(|| format!("{kept} {tail}"))
}

/// A line within `[…]` or `{…}` that is indented less than what is around it: indentation there means nothing, so it
/// gets more than any line before it has.
fn indent_in_flow(text: &str, index: usize) -> Option<String> {
    let stopped = byte_of(text, index)?;
    let start = text.get(..stopped)?.rfind('\n')? + 1;
    let (head, tail) = text.split_at_checked(start)?;
    let indentation = |line: &str| line.len() - line.trim_start_matches([' ', '-']).len();
    let deepest = head.lines().map(indentation).max().unwrap_or_default();
    let own = tail.len() - tail.trim_start_matches(' ').len();
    // Indented as deep as that already, the next try would end here again.
    let more = (deepest + 1).checked_sub(own).filter(|more| *more > 0)?;
    Some(format!("{head}{}{tail}", " ".repeat(more)))
}

/// A quoted scalar that goes on in lines indented less than the node: indentation there means nothing, so they get some.
fn indent_quoted(text: &str, index: usize) -> Option<String> {
    let start = byte_of(text, index)?;
    let (head, tail) = text.split_at_checked(start)?;
    let quote = tail.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let column = head
        .rsplit('\n')
        .next()
        .map_or(0, |line| line.chars().count());
    let mut repaired = String::with_capacity(text.len() + 64);
    repaired.push_str(head);
    let mut escaped = false;
    let mut open = false;
    let mut chars = tail.char_indices();
    for (at, c) in chars.by_ref() {
        repaired.push(c);
        if c == '\n' {
            repaired.extend(std::iter::repeat_n(' ', column + 1));
        }
        if escaped {
            escaped = false;
        } else if c == '\\' && quote == '"' {
            escaped = true;
        } else if c == quote {
            // A doubled single quote closes and opens again, which comes to the same.
            open = !open;
            if !open && !tail.get(at + 1..)?.starts_with(quote) {
                break;
            }
        }
    }
    repaired.push_str(chars.as_str());
    Some(repaired)
}
