//! From parser events to a value: anchors, aliases, merge keys, limits.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};
use serde_json::{Map, Value};

use super::repair::{MAX_REPARSED_BYTES, repair};
use super::resolve::{self, ScalarTag};
use super::{MAX_BYTES, MAX_COPIED_BYTES, MAX_COPIED_NODES, MAX_DEPTH, YamlError};

/// How much a value holds: what a copy of it costs.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    nodes: usize,
    bytes: usize,
}

impl Weight {
    fn add(&mut self, other: Weight) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// A finished node.
struct Node {
    value: Value,
    weight: Weight,
    /// A plain `<<`, or one tagged as merge key.
    merge_key: bool,
    line: usize,
}

/// A collection being read.
enum Frame {
    List {
        items: Vec<Value>,
        weight: Weight,
        anchor: usize,
    },
    Map {
        entries: Map<String, Value>,
        key: Option<Key>,
        weight: Weight,
        anchor: usize,
    },
}

enum Key {
    Text(String),
    Merge,
}

#[derive(Default)]
struct Composer {
    stack: Vec<Frame>,
    anchors: BTreeMap<usize, (Value, Weight)>,
    copied: Weight,
    done: Option<Value>,
}

/// Makes one value of a document's events, for readers that want a part of a document alone.
#[derive(Default)]
pub(crate) struct Collector(Composer);

impl Collector {
    /// Takes the next event in; gives the value once it is whole.
    pub(crate) fn take(
        &mut self,
        event: Event<'_>,
        span: Span,
    ) -> Result<Option<Value>, YamlError> {
        self.0.event(event, span)?;
        Ok(self.0.done.take())
    }
}

pub(super) fn first_document(text: &str) -> Result<Value, YamlError> {
    if text.len() > MAX_BYTES {
        return Err(YamlError::new(
            0,
            format!("is larger than {MAX_BYTES} bytes"),
        ));
    }
    let mut repaired: Option<String> = None;
    let mut reparsed = 0;
    loop {
        let current = repaired.as_deref().unwrap_or(text);
        let error = match compose(current) {
            Ok(value) => return Ok(value),
            Err(Stop::Meaning(error)) => return Err(error),
            Err(Stop::Syntax(error)) => error,
        };
        reparsed += current.len();
        match repair(current, &error) {
            Some(text) if reparsed <= MAX_REPARSED_BYTES => repaired = Some(text),
            _ => return Err(scan_error(&error)),
        }
    }
}

/// Why composing ended.
enum Stop {
    Syntax(ScanError),
    Meaning(YamlError),
}

fn compose(text: &str) -> Result<Value, Stop> {
    let mut parser = Parser::new(StrInput::new(text));
    let mut composer = Composer::default();
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(Stop::Syntax)?;
        match event {
            Event::DocumentEnd | Event::StreamEnd => break,
            event => composer.event(event, span).map_err(Stop::Meaning)?,
        }
        // Go reads no further than the end of the first document's node, and neither do errors behind it count.
    }
    Ok(composer.done.unwrap_or(Value::Null))
}

pub(crate) fn scan_error(error: &ScanError) -> YamlError {
    YamlError::new(error.marker().line(), error.info())
}

pub(crate) fn too_deep(line: usize) -> YamlError {
    YamlError::new(line, format!("is nested deeper than {MAX_DEPTH}"))
}

impl Composer {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), YamlError> {
        let line = span.start.line();
        let fail = |reason: String| YamlError::new(line, reason);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let tag = scalar_tag(tag.as_deref());
                let plain = style == ScalarStyle::Plain;
                let merge_key =
                    text == "<<" && ((plain && tag == ScalarTag::None) || tag == ScalarTag::Merge);
                let value = resolve::scalar(&text, plain, tag).map_err(fail)?;
                let weight = Weight {
                    nodes: 1,
                    bytes: text.len(),
                };
                self.finish(value, weight, merge_key, anchor, line)
            }
            Event::Alias(anchor) => {
                let (value, weight) = match self.anchors.get(&anchor) {
                    Some((value, weight)) => (value.clone(), *weight),
                    None => {
                        return Err(fail(
                            "an alias stands inside the value it stands for".to_owned(),
                        ));
                    }
                };
                self.charge(weight, line)?;
                self.finish(value, weight, false, 0, line)
            }
            Event::SequenceStart(anchor, _) => self.open(
                Frame::List {
                    items: Vec::new(),
                    weight: Weight { nodes: 1, bytes: 0 },
                    anchor,
                },
                line,
            ),
            Event::MappingStart(anchor, _) => self.open(
                Frame::Map {
                    entries: Map::new(),
                    key: None,
                    weight: Weight { nodes: 1, bytes: 0 },
                    anchor,
                },
                line,
            ),
            Event::SequenceEnd | Event::MappingEnd => match self.stack.pop() {
                Some(Frame::List {
                    items,
                    weight,
                    anchor,
                }) => self.finish(Value::Array(items), weight, false, anchor, line),
                Some(Frame::Map {
                    entries,
                    weight,
                    anchor,
                    ..
                }) => self.finish(Value::Object(entries), weight, false, anchor, line),
                None => Err(fail("a collection ends that did not begin".to_owned())),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn open(&mut self, frame: Frame, line: usize) -> Result<(), YamlError> {
        if self.stack.len() >= MAX_DEPTH {
            return Err(too_deep(line));
        }
        self.stack.push(frame);
        Ok(())
    }

    fn charge(&mut self, weight: Weight, line: usize) -> Result<(), YamlError> {
        self.copied.add(weight);
        if self.copied.nodes > MAX_COPIED_NODES || self.copied.bytes > MAX_COPIED_BYTES {
            return Err(YamlError::new(
                line,
                "aliases expand to more than a document may hold",
            ));
        }
        Ok(())
    }

    /// Hands a finished node to the collection around it.
    fn finish(
        &mut self,
        value: Value,
        weight: Weight,
        merge_key: bool,
        anchor: usize,
        line: usize,
    ) -> Result<(), YamlError> {
        if anchor > 0 {
            self.charge(weight, line)?;
            self.anchors.insert(anchor, (value.clone(), weight));
        }
        let node = Node {
            value,
            weight,
            merge_key,
            line,
        };
        match self.stack.last_mut() {
            None => {
                self.done = Some(node.value);
                Ok(())
            }
            Some(Frame::List { items, weight, .. }) => {
                weight.add(node.weight);
                items.push(node.value);
                Ok(())
            }
            Some(Frame::Map {
                entries,
                key,
                weight,
                ..
            }) => {
                weight.add(node.weight);
                place(entries, key, node)
            }
        }
    }
}

/// Takes a node as the key or the value that is due in a map.
fn place(
    entries: &mut Map<String, Value>,
    key: &mut Option<Key>,
    node: Node,
) -> Result<(), YamlError> {
    let line = node.line;
    match key.take() {
        None if node.merge_key => *key = Some(Key::Merge),
        None => {
            let text = resolve::key(node.value).map_err(|reason| YamlError::new(line, reason))?;
            *key = Some(Key::Text(text));
        }
        Some(Key::Text(text)) => {
            entries.insert(text, node.value);
        }
        Some(Key::Merge) => merge(entries, node.value, line)?,
    }
    Ok(())
}

/// go-yaml v2 sets merged keys where the merge key stands: over what came before, under what comes after. Of
/// several merged maps the first has precedence.
fn merge(entries: &mut Map<String, Value>, value: Value, line: usize) -> Result<(), YamlError> {
    let not_a_map = || YamlError::new(line, "a merge key needs a map, or a list of maps");
    match value {
        Value::Object(map) => entries.extend(map),
        Value::Array(maps) => {
            for map in maps.into_iter().rev() {
                let Value::Object(map) = map else {
                    return Err(not_a_map());
                };
                entries.extend(map);
            }
        }
        _ => return Err(not_a_map()),
    }
    Ok(())
}

fn scalar_tag(tag: Option<&Tag>) -> ScalarTag {
    let Some(tag) = tag else {
        return ScalarTag::None;
    };
    let full = format!("{}{}", tag.handle, tag.suffix);
    let name = match (
        full.strip_prefix("tag:yaml.org,2002:"),
        full.strip_prefix("!!"),
    ) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return ScalarTag::Other,
    };
    match name {
        "str" => ScalarTag::Str,
        "bool" => ScalarTag::Bool,
        "int" => ScalarTag::Int,
        "float" => ScalarTag::Float,
        "null" => ScalarTag::Null,
        "timestamp" => ScalarTag::Timestamp,
        "binary" => ScalarTag::Binary,
        "merge" => ScalarTag::Merge,
        _ => ScalarTag::Other,
    }
}
