//! Meanings in the words of a chart's author.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::path_text;
use crate::chart::{Chart, ChartNode};
use crate::yaml;

/// Longest meaning kept, in characters.
const MAX_MEANING: usize = 600;
/// Deepest nesting of a schema's properties looked into.
const MAX_SCHEMA_DEPTH: usize = 32;

#[expect(
    clippy::expect_used,
    reason = "the patterns are constant, and used by tests"
)]
mod patterns {
    use super::{LazyLock, Regex};

    /// `## @param path [modifiers] text`, and `@extra`, of Bitnami's readme generator.
    pub(super) static TAG: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\s*#+\s*@(?:param|extra)\s+(\S+)\s*(?:\[[^\]]*\])?\s*(.*)$")
            .expect("valid pattern")
    });
    /// `# path -- text` of helm-docs: a comment that names its value.
    pub(super) static NAMED: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\s*#+\s*([A-Za-z_][\w.-]*)\s+--\s+(.*)$").expect("valid pattern")
    });
    /// What looks like an entry that was commented out.
    pub(super) static ENTRY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"^(?:-\s|[\w./"'-]+:(?:\s*$|\s+[\[{"'|>&*!\d-]|\s+\S+$)|[\]\[}{]\s*$|```)"#)
            .expect("valid pattern")
    });
}

/// What the author says of each value of a chart's own values file, by path.
pub(super) fn meanings(chart: &Chart, node: &ChartNode) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let schema = chart
        .text(&format!("{}values.schema.json", node.prefix))
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let Some(schema) = schema {
        described(&schema, &mut Vec::new(), &mut found);
    }
    let Some(text) = chart
        .file(&format!("{}values.yaml", node.prefix))
        .and_then(|content| yaml::text(content).ok())
    else {
        return found;
    };
    let lines: Vec<&str> = text.lines().collect();
    if let Ok(entries) = yaml::outline(text) {
        for entry in entries {
            if let Some(meaning) = above(&lines, entry.line).or_else(|| behind(&lines, entry.line))
            {
                found.insert(path_text(&entry.path), meaning);
            }
        }
    }
    for line in &lines {
        let named = patterns::TAG
            .captures(line)
            .or_else(|| patterns::NAMED.captures(line));
        if let Some(named) = named
            && let (Some(path), Some(text)) = (named.get(1), named.get(2))
            && let Some(meaning) = told(text.as_str())
        {
            found.insert(path.as_str().to_owned(), meaning);
        }
    }
    found
}

fn told(text: &str) -> Option<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let text: String = match text.char_indices().nth(MAX_MEANING) {
        Some((end, _)) => format!("{}…", text.get(..end)?.trim_end()),
        None => text,
    };
    text.chars().any(char::is_alphanumeric).then_some(text)
}

/// The comment that stands right above a line.
fn above(lines: &[&str], line: usize) -> Option<String> {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let own = indent(lines.get(line)?);
    let block: Vec<&str> = lines
        .get(..line)?
        .iter()
        .rev()
        .take_while(|line| line.trim_start().starts_with('#') && indent(line) == own)
        .map(|line| line.trim_start().trim_start_matches('#').trim())
        .collect();
    let block: Vec<&str> = block.into_iter().rev().collect();
    // helm-docs: what comes before its mark is not meant for readers.
    let start = block.iter().rposition(|line| line.starts_with("-- "));
    let words: Vec<&str> = match start {
        Some(start) => block
            .get(start..)?
            .iter()
            .map(|line| line.strip_prefix("-- ").unwrap_or(line))
            .take_while(|line| !line.starts_with('@'))
            .collect(),
        None => block
            .iter()
            .copied()
            .filter(|line| !line.starts_with('@') && !patterns::ENTRY.is_match(line))
            .filter(|line| !patterns::NAMED.is_match(&format!("# {line}")))
            .collect(),
    };
    told(&words.join(" "))
}

/// The comment behind an entry on its line. Whether a `#` begins one depends on what stands before; a quote that is
/// open there says no.
fn behind(lines: &[&str], line: usize) -> Option<String> {
    let text = lines.get(line)?;
    let at = text.find(" #")?;
    let before = text.get(..at)?;
    let open = |quote: char| before.matches(quote).count() % 2 == 1;
    if open('"') || open('\'') {
        return None;
    }
    let comment = text.get(at..)?.trim_start().trim_start_matches('#').trim();
    told(comment.strip_prefix("-- ").unwrap_or(comment))
}

/// Descriptions of a schema's properties.
fn described(schema: &Value, path: &mut Vec<String>, found: &mut BTreeMap<String, String>) {
    if path.len() > MAX_SCHEMA_DEPTH {
        return;
    }
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return;
    };
    for (key, property) in properties {
        path.push(key.clone());
        let text = ["description", "title"]
            .iter()
            .find_map(|key| property.get(*key)?.as_str());
        if let Some(meaning) = text.and_then(told) {
            found.insert(path_text(path), meaning);
        }
        described(property, path, found);
        path.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &str) -> BTreeMap<String, String> {
        let files = [
            ("Chart.yaml", "name: a\nversion: 1.0.0\n"),
            ("values.yaml", values),
        ]
        .map(|(path, text)| (path.to_owned(), text.as_bytes().to_vec().into()));
        let chart = Chart::from_files(files.into()).unwrap();
        meanings(&chart, chart.root())
    }

    #[test]
    fn the_usual_forms_are_read() {
        let found = of("\
## @section Common
## @param a.b [nullable] Says of b
## ref: https://example.org/
##
a:
  b: 1
  # -- Says of c
  # and more
  # @default -- none
  c: 2
  ## Plain words.
  ## e: 5
  d: 3
# f -- Named
f: 1
g: \"a # b\"
# other: true
h: 1
");
        assert_eq!(found["a.b"], "Says of b");
        assert_eq!(found["a.c"], "Says of c and more");
        assert_eq!(found["a.d"], "Plain words.");
        assert_eq!(found["f"], "Named");
        assert!(
            !found.contains_key("g") && !found.contains_key("h"),
            "{found:?}"
        );
    }
}
