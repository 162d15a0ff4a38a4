//! Changing the waivers of a policy file without touching anything else in it.
//!
//! The text is edited where the waiver goes, so comments, order and quoting of all else stay. What comes out is read
//! again and compared with what it should say; where the two differ nothing is changed.

use anyhow::Result;
use quench_model::{Policy, Waiver};
use saphyr_parser::{Event, Parser, Span, StrInput};
use serde_json::Value;

use crate::exit::Failure;

/// A policy, as text and as what it says.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    text: String,
    policy: Policy,
}

impl PolicyFile {
    /// Reads a policy. An empty text is the policy that demands nothing.
    ///
    /// # Errors
    /// When the text is no policy.
    pub fn parse(text: &str) -> Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let policy = read(&text)?;
        Ok(Self { text, policy })
    }

    /// What it says.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The same with one waiver more, behind the others.
    ///
    /// # Errors
    /// When the text is written in a way that it cannot be put into.
    pub fn with(&self, waiver: &Waiver) -> Result<Self> {
        let mut wanted = self.policy.clone();
        wanted.waivers.push(waiver.clone());
        let item = fields(waiver);
        let text = match Layout::of(&self.text)? {
            Layout::Empty => {
                let mut text = self.text.clone();
                end_line(&mut text);
                text.push_str("waivers:\n");
                text.push_str(&block_item(&item, 2));
                text
            }
            Layout::WithoutWaivers { column, end } => {
                let mut added = format!("{}waivers:\n", " ".repeat(column));
                added.push_str(&block_item(&item, column + 2));
                insert_line(&self.text, end, &added)
            }
            Layout::WithoutWaiversInFlow { close, empty } => {
                let comma = if empty { "" } else { ", " };
                splice(
                    &self.text,
                    close..close,
                    &format!("{comma}\"waivers\": [{}]", Value::Object(item)),
                )
            }
            Layout::Nothing {
                value,
                column,
                line_end,
            } => {
                // `waivers: []  # none yet`: the comment stays where it is.
                let added = block_item(&item, column + 2);
                let text = insert_line(&self.text, line_end, &added);
                splice(&text, value, "")
            }
            Layout::Block { column, items } => {
                let end = items.last().map_or(self.text.len(), |item| item.end);
                insert_line(&self.text, end, &block_item(&item, column))
            }
            Layout::Flow { items, close } => {
                let end = items.last().map_or(close, |item| item.end);
                let comma = if items.is_empty() { "" } else { ", " };
                splice(
                    &self.text,
                    end..end,
                    &format!("{comma}{}", Value::Object(item)),
                )
            }
        };
        self.checked(text, &wanted)
    }

    /// The same without the waiver at that position, counted from 0.
    ///
    /// # Errors
    /// When the text is written in a way that it cannot be taken out of.
    pub fn without(&self, position: usize) -> Result<Self> {
        let mut wanted = self.policy.clone();
        if position < wanted.waivers.len() {
            wanted.waivers.remove(position);
        }
        let text = match Layout::of(&self.text)? {
            Layout::Block { items, .. } if items.len() == 1 => {
                let span = items.first().map_or(0..0, |item| item.start..item.end);
                let start = line_start(&self.text, span.start);
                let end = next_line(&self.text, span.end);
                let text = splice(&self.text, start..end, "");
                // Without an item the key would say null, which is no list.
                match Layout::of(&text)? {
                    Layout::Nothing { value, .. } => splice(&text, value, " []"),
                    _ => text,
                }
            }
            Layout::Block { items, .. } => {
                let span = items.get(position).map_or(0..0, |item| item.clone());
                let start = line_start(&self.text, span.start);
                splice(&self.text, start..next_line(&self.text, span.end), "")
            }
            Layout::Flow { items, .. } => {
                let start = items.get(position).map_or(0, |item| item.start);
                let end = items.get(position).map_or(0, |item| item.end);
                let span = match (position.checked_sub(1), items.get(position + 1)) {
                    (_, Some(next)) => start..next.start,
                    (Some(before), None) => {
                        items.get(before).map_or(start, |before| before.end)..end
                    }
                    (None, None) => start..end,
                };
                splice(&self.text, span, "")
            }
            _ => self.text.clone(),
        };
        self.checked(text, &wanted)
    }

    fn checked(&self, text: String, wanted: &Policy) -> Result<Self> {
        match read(&text) {
            Ok(policy) if policy == *wanted => Ok(Self { text, policy }),
            _ => Err(Failure::usage(
                "the policy is written in a way that cannot be changed without touching the rest; \
                 write `waivers:` as a list with one `- rule: …` a waiver, then try again",
            )),
        }
    }
}

fn read(text: &str) -> Result<Policy> {
    let refuse = |reason: String| Failure::usage(format!("not a valid policy: {reason}"));
    let value = quench_chart::yaml::parse(text).map_err(|error| refuse(error.to_string()))?;
    if value.is_null() {
        return Ok(Policy::default());
    }
    serde_json::from_value(value).map_err(|error| refuse(error.to_string()))
}

/// The fields of a waiver that are there, in the order in which people read them.
pub fn fields(waiver: &Waiver) -> serde_json::Map<String, Value> {
    [
        ("rule", Some(&waiver.rule)),
        ("kind", waiver.kind.as_ref()),
        ("name", waiver.name.as_ref()),
        ("container", waiver.container.as_ref()),
        ("reason", Some(&waiver.reason)),
        ("expires", waiver.expires.as_ref()),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?.clone()))))
    .collect()
}

/// The fields as an item of a block list whose dash stands in that column.
pub fn block_item(fields: &serde_json::Map<String, Value>, column: usize) -> String {
    let mut text = String::new();
    for (index, (key, value)) in fields.iter().enumerate() {
        text.push_str(&" ".repeat(column));
        text.push_str(if index == 0 { "- " } else { "  " });
        text.push_str(key);
        text.push_str(": ");
        text.push_str(&scalar(value));
        text.push('\n');
    }
    text
}

/// A scalar on one line. JSON's quoted text is YAML's too.
fn scalar(value: &Value) -> String {
    let plain = quench_chart::yaml::to_string(value);
    let plain = plain.trim_end();
    if plain.contains('\n') || plain.starts_with(['|', '>']) {
        value.to_string()
    } else {
        plain.to_owned()
    }
}

/// How a policy has its waivers written. Positions are byte offsets.
enum Layout {
    /// Nothing is in the file but comments.
    Empty,
    /// There is no `waivers` key; the map's last content ends at `end`.
    WithoutWaivers { column: usize, end: usize },
    /// The same, in a map in braces that closes at `close`.
    WithoutWaiversInFlow { close: usize, empty: bool },
    /// The key has an empty list or null, or nothing, at `value`; the line ends at `line_end`.
    Nothing {
        value: std::ops::Range<usize>,
        column: usize,
        line_end: usize,
    },
    /// A list with dashes in that column.
    Block {
        column: usize,
        items: Vec<std::ops::Range<usize>>,
    },
    /// A list in brackets.
    Flow {
        items: Vec<std::ops::Range<usize>>,
        /// Where the closing bracket is.
        close: usize,
    },
}

impl Layout {
    fn of(text: &str) -> Result<Self> {
        let Some(root) = Node::read(text) else {
            return Ok(Self::Empty);
        };
        let in_flow = root.starts_with(text, '{');
        let Content::Map(entries) = &root.content else {
            return Ok(Self::Empty);
        };
        let Some((key, value)) = entries
            .iter()
            .find(|(key, _)| matches!(&key.content, Content::Scalar(text) if text == "waivers"))
        else {
            return Ok(if in_flow {
                Self::WithoutWaiversInFlow {
                    close: root.span.end.saturating_sub(1),
                    empty: entries.is_empty(),
                }
            } else {
                Self::WithoutWaivers {
                    column: root.column,
                    end: root.end(text),
                }
            });
        };
        Ok(match &value.content {
            Content::List(items) if value.starts_with(text, '[') => {
                if items.is_empty() && !in_flow {
                    Self::nothing(text, key, value.span.clone())
                } else {
                    Self::Flow {
                        items: items
                            .iter()
                            .map(|item| item.span.start..item.end(text))
                            .collect(),
                        close: value.span.end.saturating_sub(1),
                    }
                }
            }
            Content::List(items) => Self::Block {
                column: items.first().map_or(value.column, |item| {
                    let dash = dash_before(text, item.span.start);
                    dash - line_start(text, dash)
                }),
                items: items
                    .iter()
                    .map(|item| dash_before(text, item.span.start)..item.end(text))
                    .collect(),
            },
            Content::Scalar(_) if value.span.is_empty() => {
                let after = text
                    .get(key.span.end..)
                    .and_then(|rest| rest.find(':'))
                    .map_or(key.span.end, |at| key.span.end + at + 1);
                Self::nothing(text, key, after..after)
            }
            _ => Self::nothing(text, key, value.span.clone()),
        })
    }

    fn nothing(text: &str, key: &Node, value: std::ops::Range<usize>) -> Self {
        Self::Nothing {
            line_end: value.end,
            // A space before the value goes with it.
            value: if text
                .get(..value.start)
                .is_some_and(|head| head.ends_with(' '))
            {
                value.start - 1..value.end
            } else {
                value
            },
            column: key.column,
        }
    }
}

/// A node of the text, and where it stands.
struct Node {
    span: std::ops::Range<usize>,
    column: usize,
    content: Content,
}

enum Content {
    Scalar(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// The first document's node. The text was parsed before, so nesting is bounded and errors cannot come.
    fn read(text: &str) -> Option<Self> {
        let mut events = Events {
            parser: Parser::new(StrInput::new(text)),
            text,
            at: (0, 0),
        };
        loop {
            let (event, span) = events.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) => {}
                event => return events.node(event, span),
            }
        }
    }

    fn starts_with(&self, text: &str, c: char) -> bool {
        text.get(self.span.start..)
            .is_some_and(|rest| rest.starts_with(c))
    }

    /// Where its content ends: the parser ends block collections, and block scalars, at what comes next.
    fn end(&self, text: &str) -> usize {
        let in_flow = self.starts_with(text, '{') || self.starts_with(text, '[');
        let end = match &self.content {
            Content::List(items) if !in_flow => items.last().map(|item| item.end(text)),
            Content::Map(entries) if !in_flow => entries
                .iter()
                .map(|(key, value)| key.end(text).max(value.end(text)))
                .max(),
            _ => None,
        };
        end.unwrap_or_else(|| {
            let content = text.get(..self.span.end).unwrap_or(text);
            content.trim_end().len().max(self.span.start)
        })
    }
}

struct Events<'t> {
    parser: Parser<'t, StrInput<'t>>,
    text: &'t str,
    /// The last position turned from characters into bytes, as both.
    at: (usize, usize),
}

impl<'t> Events<'t> {
    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        self.parser.next_event()?.ok()
    }

    /// The parser counts characters.
    fn bytes(&mut self, characters: usize) -> usize {
        let (from, offset) = if characters >= self.at.0 {
            self.at
        } else {
            (0, 0)
        };
        let rest = self.text.get(offset..).unwrap_or_default();
        let bytes = rest
            .char_indices()
            .nth(characters - from)
            .map_or(self.text.len(), |(at, _)| offset + at);
        self.at = (characters, bytes);
        bytes
    }

    fn node(&mut self, event: Event<'t>, span: Span) -> Option<Node> {
        let start = self.bytes(span.start.index());
        let column = span.start.col();
        let (content, end) = match event {
            Event::Scalar(text, ..) => (Content::Scalar(text.into_owned()), span),
            Event::Alias(_) => (Content::Scalar(String::new()), span),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, span) => break (Content::List(items), span),
                        (event, span) => items.push(self.node(event, span)?),
                    }
                }
            }
            Event::MappingStart(..) => {
                let mut entries = Vec::new();
                loop {
                    match self.next()? {
                        (Event::MappingEnd, span) => break (Content::Map(entries), span),
                        (event, span) => {
                            let key = self.node(event, span)?;
                            let (event, span) = self.next()?;
                            entries.push((key, self.node(event, span)?));
                        }
                    }
                }
            }
            _ => return None,
        };
        Some(Node {
            span: start..self.bytes(end.end.index()).max(start),
            column,
            content,
        })
    }
}

/// Where the dash of a list's item is that starts at `item`.
fn dash_before(text: &str, item: usize) -> usize {
    text.get(..item)
        .and_then(|head| head.rfind('-'))
        .unwrap_or(item)
}

fn line_start(text: &str, at: usize) -> usize {
    text.get(..at)
        .and_then(|head| head.rfind('\n'))
        .map_or(0, |newline| newline + 1)
}

/// Where the line behind the one with `at` begins.
fn next_line(text: &str, at: usize) -> usize {
    text.get(at..)
        .and_then(|rest| rest.find('\n'))
        .map_or(text.len(), |newline| at + newline + 1)
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

/// Puts lines behind the line that has `at`.
fn insert_line(text: &str, at: usize, lines: &str) -> String {
    let at = next_line(text, at);
    let (head, tail) = text.split_at_checked(at).unwrap_or((text, ""));
    let mut result = head.to_owned();
    end_line(&mut result);
    result.push_str(lines);
    result.push_str(tail);
    result
}

fn splice(text: &str, span: std::ops::Range<usize>, with: &str) -> String {
    let head = text.get(..span.start).unwrap_or(text);
    let tail = text.get(span.end..).unwrap_or_default();
    format!("{head}{with}{tail}")
}

#[cfg(test)]
mod tests;
