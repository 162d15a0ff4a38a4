//! Writing YAML that every reader takes for the same value.

use serde_json::{Map, Value};

use super::resolve::is_special;

/// Writes a value as YAML: block style, keys sorted, as Helm's `toYaml` would, and the same bytes every time.
///
/// Text is quoted wherever YAML 1.1 or 1.2 readers could take it for something else. Ends in a newline.
pub fn to_string(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0),
        Value::Array(list) if !list.is_empty() => write_list(&mut out, list, 0),
        scalar => {
            write_scalar(&mut out, scalar, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

fn write_map(out: &mut String, map: &Map<String, Value>, depth: usize) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            indent(out, depth);
        }
        write_text(out, key);
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                indent(out, depth + 1);
                write_map(out, map, depth + 1);
            }
            // Lists stand at the indentation of their key, as Helm writes them.
            Value::Array(list) if !list.is_empty() => {
                out.push('\n');
                indent(out, depth);
                write_list(out, list, depth);
            }
            scalar => {
                out.push(' ');
                write_scalar(out, scalar, depth + 1);
                out.push('\n');
            }
        }
    }
}

fn write_list(out: &mut String, list: &[Value], depth: usize) {
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            indent(out, depth);
        }
        out.push_str("- ");
        match value {
            Value::Object(map) if !map.is_empty() => write_map(out, map, depth + 1),
            Value::Array(list) if !list.is_empty() => write_list(out, list, depth + 1),
            scalar => {
                write_scalar(out, scalar, depth + 1);
                out.push('\n');
            }
        }
    }
}

fn write_scalar(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Number(number) => out.push_str(&number.to_string()),
        Value::String(text) if is_block(text) => write_block(out, text, depth),
        Value::String(text) => write_text(out, text),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// Whether text of several lines can stand as a literal block without loss.
fn is_block(text: &str) -> bool {
    let printable = |c: char| c == '\n' || (c == '\t' || !c.is_control()) && !is_line_break(c);
    text.contains('\n')
        && text.chars().all(printable)
        // A first line that is indented or empty would need an indentation indicator; trailing newlines, a
        // keep indicator, which Helm's own trimming of documents would defeat.
        && !text.starts_with([' ', '\t', '\n'])
        && !text.trim_end_matches('\n').is_empty()
        && !text.ends_with("\n\n")
        && !text.lines().any(|line| line.ends_with([' ', '\t']) || line.starts_with('\t'))
}

/// Characters that YAML 1.1 takes for line breaks, the byte order mark, and what it does not take at all.
fn is_line_break(c: char) -> bool {
    matches!(
        c,
        '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}'
    )
}

fn write_block(out: &mut String, text: &str, depth: usize) {
    let (chomping, body) = match text.strip_suffix('\n') {
        Some(body) => ("|", body),
        None => ("|-", text),
    };
    out.push_str(chomping);
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth);
            out.push_str(line);
        }
    }
}

fn write_text(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        write_quoted(out, text);
    }
}

/// Whether text can stand bare: it starts like a word or a path, holds no indicator, and means nothing else.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else {
        return false;
    };
    let safe = |c: char| {
        c.is_ascii_alphanumeric()
            || matches!(c, '_' | '-' | '.' | '/' | ' ' | '+' | '=' | '(' | ')' | ';')
    };
    (first.is_ascii_alphabetic() || matches!(first, '/' | '_'))
        && text.chars().all(safe)
        && !text.ends_with(' ')
        && !is_special(text)
}

fn write_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_line_break(c) => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn writes_what_people_expect() {
        let value = json!({
            "b": {"list": [1, {"x": "y", "a": []}, ["n"]], "empty": {}},
            "a": "yes",
            "script": "#!/bin/sh\necho hi\n",
            "n": null,
            "mode": "0644",
        });
        assert_eq!(
            to_string(&value),
            "a: \"yes\"\nb:\n  empty: {}\n  list:\n  - 1\n  - a: []\n    x: \"y\"\n  - - \"n\"\nmode: \"0644\"\n\
             \"n\": null\nscript: |\n  #!/bin/sh\n  echo hi\n"
        );
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            ".*",
            "[ \\t\\n:#'\"{}\\[\\]&*!|>%@`,?~<=+.0-9a-fxyYnNoOeE_-]{0,12}",
            "([a-z #-]{0,6}\n){0,4}[a-z ]{0,3}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1.0e6..1.0e6).prop_map(|f: f64| json!(f + 0.5)),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..4)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in values()) {
            let text = to_string(&value);
            let again = crate::yaml::parse(&text);
            prop_assert_eq!(again.as_ref(), Ok(&value), "{}", text);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[ \\t\\n:#'\"{}\\[\\]&*!|>%@`,?~a-c0-9<-]{0,60}") {
            let _ = crate::yaml::parse(&text);
        }
    }
}
