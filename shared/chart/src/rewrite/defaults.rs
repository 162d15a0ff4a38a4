//! Defaults that the template library sets, instead of `values.yaml`.
//!
//! A chart that hardens itself has a safer default for some of its values, yet what users give must win over it, and with
//! hardening off the chart's own default must hold. Templates cannot tell a default from a value that users gave: Helm has
//! merged the two. So the entry is taken out of `values.yaml`, where it stays as a comment, and the library puts a value in
//! its place when there is none: the safer one, or the chart's own with hardening off. What users give is there already.
//!
//! [`take_out`] comments an entry out, line by line, so that comments and order stay; [`put_back`] undoes it exactly.

use serde_json::Value;

use crate::yaml;

/// Marks a line that was commented out.
const KEPT: &str = "#~ ";
/// Marks a line that was commented out; the next line stands for it.
const REPLACED: &str = "#~+ ";
/// Marks a line that was added.
const NOTE: &str = "#~~ ";

/// An entry to be taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Keys that lead to it.
    pub path: Vec<String>,
    /// What readers of the file are told, in one line.
    pub note: String,
}

/// The text of a values file with entries commented out.
///
/// # Errors
/// Says which entry cannot be taken out, and why: it does not stand on one line of its own, or the file would no longer say the
/// same of everything else.
pub fn take_out(text: &str, entries: &[Entry]) -> Result<String, String> {
    if text.lines().any(|line| line.trim_start().starts_with("#~")) {
        return Err("the values file has lines that begin with \"#~\"".to_owned());
    }
    let outline = yaml::outline(text).map_err(|error| error.to_string())?;
    let mut wanted = yaml::values(text).map_err(|error| error.to_string())?;
    let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
    for entry in entries {
        let name = entry.path.join(".");
        let mut found = outline.iter().filter(|found| found.path == entry.path);
        let place = match (found.next(), found.next()) {
            (Some(place), None) if place.single_line => place,
            _ => {
                return Err(format!(
                    "{name} does not stand on one line of its own in the values file"
                ));
            }
        };
        remove(&mut wanted, &entry.path)
            .ok_or_else(|| format!("{name} is not in the values file"))?;
        let line = lines
            .get_mut(place.line)
            .ok_or_else(|| format!("{name} is beyond the values file"))?;
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        let end = if rest.ends_with('\n') { "" } else { "\n" };
        let note = entry.note.replace(['\n', '\r'], " ");
        *line = format!("{indent}{KEPT}{rest}{end}{indent}{NOTE}{note}\n");
    }
    // A map whose last entry went would become null, and with it what users may set below it.
    let empty: Vec<&[String]> = entries
        .iter()
        .filter_map(|entry| entry.path.get(..entry.path.len().checked_sub(1)?))
        .filter(|parent| !parent.is_empty() && is_empty_map(&wanted, parent))
        .collect();
    for (index, parent) in empty.iter().enumerate() {
        if empty.iter().take(index).any(|earlier| earlier == parent) {
            continue;
        }
        let line = outline
            .iter()
            .find(|found| found.path == **parent)
            .and_then(|found| lines.get_mut(found.line));
        let Some(line) = line else { continue };
        let content = line.trim_end();
        let Some((key, comment)) = content.split_once(':') else {
            continue;
        };
        let (indent, rest) = line.split_at(line.len() - line.trim_start().len());
        *line = format!(
            "{indent}{REPLACED}{}\n{key}: {{}}{comment}\n",
            rest.trim_end()
        );
    }
    let changed: String = lines.concat();
    let same = yaml::values(&changed).is_ok_and(|values| values == wanted);
    if !same || put_back(&changed).trim_end() != text.trim_end() {
        return Err(
            "the values file cannot be changed without changing what else it says".to_owned(),
        );
    }
    Ok(changed)
}

/// The text as it was before [`take_out`].
pub fn put_back(text: &str) -> String {
    if !text.contains("#~") {
        return text.to_owned();
    }
    let mut restored = String::with_capacity(text.len());
    let mut skip = false;
    for line in text.split_inclusive('\n') {
        if std::mem::take(&mut skip) {
            continue;
        }
        let content = line.trim_start();
        let (indent, _) = line.split_at(line.len() - content.len());
        if content.starts_with(NOTE) {
            continue;
        }
        if let Some(rest) = content.strip_prefix(REPLACED) {
            skip = true;
            restored.push_str(indent);
            restored.push_str(rest);
        } else if let Some(rest) = content.strip_prefix(KEPT) {
            restored.push_str(indent);
            restored.push_str(rest);
        } else {
            restored.push_str(line);
        }
    }
    restored
}

fn is_empty_map(values: &Value, path: &[String]) -> bool {
    path.iter()
        .try_fold(values, |value, key| value.as_object()?.get(key))
        .and_then(Value::as_object)
        .is_some_and(serde_json::Map::is_empty)
}

fn remove(values: &mut Value, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    parents
        .iter()
        .try_fold(values, |value, key| value.as_object_mut()?.get_mut(key))?
        .as_object_mut()?
        .shift_remove(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            path: path.split('.').map(str::to_owned).collect(),
            note: "true unless given".to_owned(),
        }
    }

    const TEXT: &str =
        "# Top\na:\n  ## Whether\n  use: false # said\n\nb:\n  use: \"x\"\n  c: 1\nd: {}\n";

    #[test]
    fn entries_become_comments_and_come_back() {
        let changed = take_out(TEXT, &[entry("a.use"), entry("b.use")]).unwrap();
        assert_eq!(
            changed,
            "# Top\n#~+ a:\na: {}\n  ## Whether\n  #~ use: false # said\n  #~~ true unless given\n\nb:\n  #~ use: \"x\"\n  \
             #~~ true unless given\n  c: 1\nd: {}\n"
        );
        assert_eq!(put_back(&changed), TEXT);
        assert_eq!(put_back(TEXT), TEXT);
    }

    #[test]
    fn what_cannot_be_taken_out_is_refused() {
        for (text, path) in [
            ("a: {use: false, b: 1}\n", "a.use"),
            ("a: &x\n  use: false\nb: *x\n", "a.use"),
            ("a: |\n  text\n", "a"),
            ("a: 1\na: 2\n", "a"),
            ("#~ mine\na: 1\n", "a"),
            ("a: 1\n", "b"),
        ] {
            assert!(take_out(text, &[entry(path)]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_last_line_without_its_end_can_be_taken_out() {
        let changed = take_out("b: 1\na: false", &[entry("a")]).unwrap();
        assert_eq!(changed, "b: 1\n#~ a: false\n#~~ true unless given\n");
    }
}
