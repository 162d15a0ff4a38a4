//! Where the entries of a values file stand.

use saphyr_parser::{Event, Parser, StrInput};

use super::{MAX_BYTES, MAX_DEPTH, YamlError, resolve};

/// An entry of a map, by where it stands. Entries below lists are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Keys that lead to it.
    pub path: Vec<String>,
    /// Line of its key, from 0.
    pub line: usize,
    /// Whether the entry is the only one on its lines and its value ends on the line of its key: it can be changed by
    /// changing that line.
    pub single_line: bool,
}

/// A collection being read.
struct Frame {
    /// A map; else a list.
    map: bool,
    flow: bool,
    /// The key that is due a value, and the place of its entry.
    key: Option<(String, Option<usize>)>,
    /// Line of the last key, so that two entries on one line are seen.
    last_line: Option<usize>,
}

/// Every entry of a text, in the order written.
///
/// # Errors
/// The text is not YAML that the parser beneath takes as it is.
pub fn outline(text: &str) -> Result<Vec<Entry>, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError::new(
            0,
            format!("is larger than {MAX_BYTES} bytes"),
        ));
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut parser = Parser::new(StrInput::new(text));
    let mut outline = Outline::default();
    while let Some(event) = parser.next_event() {
        let (event, span) =
            event.map_err(|error| YamlError::new(error.marker().line(), error.info()))?;
        let start = span.start.line().saturating_sub(1);
        match event {
            Event::Scalar(text, style, _, _) => {
                let end = span.end.line().saturating_sub(1);
                let inline = end == start && !is_block(style);
                let plain = style == saphyr_parser::ScalarStyle::Plain;
                let key = match plain && text == "<<" {
                    true => None,
                    false => resolve::scalar(&text, plain, resolve::ScalarTag::None)
                        .and_then(resolve::key)
                        .ok(),
                };
                outline.node(key.as_deref(), start, inline);
            }
            Event::Alias(_) => outline.node(None, start, false),
            Event::MappingStart(..) | Event::SequenceStart(..) => {
                let flow = lines
                    .get(start)
                    .and_then(|line| line.chars().nth(span.start.col()))
                    .is_some_and(|c| matches!(c, '{' | '['));
                let map = matches!(event, Event::MappingStart(..));
                outline.open(map, flow, start)?;
            }
            Event::MappingEnd | Event::SequenceEnd => {
                outline.close(span.end.line().saturating_sub(1));
            }
            _ => {}
        }
    }
    Ok(outline.found)
}

fn is_block(style: saphyr_parser::ScalarStyle) -> bool {
    matches!(
        style,
        saphyr_parser::ScalarStyle::Literal | saphyr_parser::ScalarStyle::Folded
    )
}

#[derive(Default)]
struct Outline {
    frames: Vec<Frame>,
    found: Vec<Entry>,
    /// Entry and start line of flow collections that are open.
    open_flow: Vec<(Option<usize>, usize)>,
}

impl Outline {
    fn in_list(&self) -> bool {
        self.frames.iter().any(|frame| !frame.map)
    }

    /// A scalar or alias: a key (with its text, where it is one of a path), or a value.
    fn node(&mut self, text: Option<&str>, line: usize, inline: bool) {
        let listed = self.in_list();
        let Some(frame) = self.frames.last_mut().filter(|frame| frame.map) else {
            return;
        };
        if let Some((_, entry)) = frame.key.take() {
            if let Some(entry) = entry.and_then(|at| self.found.get_mut(at)) {
                // A value that is left out is told to stand where the parser noticed.
                entry.single_line = entry.single_line && inline && entry.line == line;
            }
            return;
        }
        let alone = !frame.flow && frame.last_line != Some(line);
        frame.last_line = Some(line);
        let Some(text) = text.filter(|_| !listed) else {
            frame.key = Some((text.unwrap_or_default().to_owned(), None));
            return;
        };
        let mut path: Vec<String> = self.path();
        path.push(text.to_owned());
        self.found.push(Entry {
            path,
            line,
            single_line: alone,
        });
        let at = self.found.len() - 1;
        if let Some(frame) = self.frames.last_mut() {
            frame.key = Some((text.to_owned(), Some(at)));
        }
    }

    fn path(&self) -> Vec<String> {
        self.frames
            .iter()
            .filter_map(|frame| frame.key.as_ref().map(|(key, _)| key.clone()))
            .collect()
    }

    fn open(&mut self, map: bool, flow: bool, line: usize) -> Result<(), YamlError> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(YamlError::new(
                line + 1,
                format!("is nested deeper than {MAX_DEPTH}"),
            ));
        }
        let entry = self
            .frames
            .last()
            .and_then(|frame| frame.key.as_ref())
            .and_then(|(_, entry)| *entry);
        if let Some(entry) = entry.and_then(|at| self.found.get_mut(at)) {
            entry.single_line = entry.single_line && flow && entry.line == line;
        }
        self.open_flow.push((entry.filter(|_| flow), line));
        self.frames.push(Frame {
            map,
            flow,
            key: None,
            last_line: None,
        });
        Ok(())
    }

    fn close(&mut self, end: usize) {
        self.frames.pop();
        if let Some((Some(entry), start)) = self.open_flow.pop()
            && let Some(entry) = self.found.get_mut(entry)
        {
            entry.single_line = entry.single_line && start == end;
        }
        if let Some(frame) = self.frames.last_mut().filter(|frame| frame.map) {
            frame.key = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(String, usize, bool)> {
        outline(text)
            .unwrap()
            .into_iter()
            .map(|entry| (entry.path.join("."), entry.line, entry.single_line))
            .collect()
    }

    #[test]
    fn entries_are_told_with_their_lines() {
        let text = "# top\na: 1 # one\nb:\n  c: \"x\"\n  d: {}\n  e: {f: 1,\n    g: 2}\nh: |\n  text\nl:\n  - m: 1\n\
                    k: &x true\no: *x\np:\nq: {r: 1}\n";
        assert_eq!(
            told(text),
            [
                ("a", 1, true),
                ("b", 2, false),
                ("b.c", 3, true),
                ("b.d", 4, true),
                ("b.e", 5, false),
                ("b.e.f", 5, false),
                ("b.e.g", 6, false),
                ("h", 7, false),
                ("l", 9, false),
                ("k", 11, true),
                ("o", 12, false),
                ("p", 13, true),
                ("q", 14, true),
                ("q.r", 14, false),
            ]
            .map(|(path, line, single)| (path.to_owned(), line, single))
        );
    }
}
