//! Whether two renders mean the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use crate::render::Rendered;
use crate::workload::ObjectId;

/// Most differences listed; more are counted.
const MAX_LISTED: usize = 50;

/// What [`compare`] leaves out of account.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Annotations whose name begins with `checksum/`: they are hashes of rendered text, not of its meaning.
    pub ignore_checksums: bool,
    /// Further renders of the first side, with the same values. Where they differ from it, the chart puts in random values or
    /// times (passwords, certificates), and so may the second side.
    pub again: &'a [Rendered],
}

/// Result of a comparison.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison {
    /// The first differences, sorted by object and pointer.
    pub differences: Vec<Difference>,
    /// How many there are in all.
    pub total: usize,
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// The object.
    pub object: ObjectId,
    /// JSON pointer into it; empty where the whole object is on one side alone.
    pub pointer: String,
    /// What the first side has there.
    pub left: Option<Value>,
    /// What the second side has there.
    pub right: Option<Value>,
}

impl Comparison {
    /// Whether there is no difference.
    pub fn is_same(&self) -> bool {
        self.total == 0
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_same() {
            return f.write_str("no difference");
        }
        writeln!(f, "{} differences", self.total)?;
        for difference in &self.differences {
            let show = |value: &Option<Value>| match value {
                None => "nothing".to_owned(),
                Some(value) => {
                    let text = value.to_string();
                    match text.char_indices().nth(200) {
                        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
                        None => text,
                    }
                }
            };
            writeln!(
                f,
                "  {} {}: {} -> {}",
                difference.object,
                difference.pointer,
                show(&difference.left),
                show(&difference.right)
            )?;
        }
        Ok(())
    }
}

/// Compares two renders object by object (by apiVersion, kind, namespace and name), in whatever order they are.
pub fn compare(left: &Rendered, right: &Rendered, options: Options<'_>) -> Comparison {
    let left = by_id(left);
    let mut found = differences(&left, &by_id(right), options.ignore_checksums);
    let random: BTreeSet<_> = options
        .again
        .iter()
        .flat_map(|again| differences(&left, &by_id(again), options.ignore_checksums))
        .map(|difference| (difference.object, difference.pointer))
        .collect();
    found.retain(|d| !random.contains(&(d.object.clone(), d.pointer.clone())));
    let total = found.len();
    found.truncate(MAX_LISTED);
    Comparison {
        differences: found,
        total,
    }
}

/// Objects of one identity, in the order rendered: a chart may render two (which Kubernetes then merges).
type ById<'a> = BTreeMap<ObjectId, Vec<&'a Value>>;

fn by_id(rendered: &Rendered) -> ById<'_> {
    let mut found: ById<'_> = BTreeMap::new();
    for object in rendered.objects() {
        found.entry(ObjectId::of(object)).or_default().push(object);
    }
    found
}

fn differences(left: &ById<'_>, right: &ById<'_>, ignore_checksums: bool) -> Vec<Difference> {
    let ids: BTreeSet<_> = left.keys().chain(right.keys()).collect();
    let mut walk = Walk {
        ignore_checksums,
        found: Vec::new(),
    };
    for id in ids {
        let (a, b) = (left.get(id), right.get(id));
        let count = a.map_or(0, Vec::len).max(b.map_or(0, Vec::len));
        for index in 0..count {
            let pick =
                |side: Option<&Vec<&_>>| side.and_then(|all| all.get(index).copied().cloned());
            let (a, b): (Option<Value>, Option<Value>) = (pick(a), pick(b));
            walk.value(id, &mut String::new(), a.as_ref(), b.as_ref());
        }
    }
    walk.found
}

struct Walk {
    ignore_checksums: bool,
    found: Vec<Difference>,
}

impl Walk {
    fn value(
        &mut self,
        id: &ObjectId,
        pointer: &mut String,
        left: Option<&Value>,
        right: Option<&Value>,
    ) {
        match (left, right) {
            (Some(Value::Object(a)), Some(Value::Object(b))) => {
                let keys: BTreeSet<_> = a.keys().chain(b.keys()).collect();
                for key in keys {
                    if self.ignore_checksums
                        && pointer.ends_with("/annotations")
                        && key.starts_with("checksum/")
                    {
                        continue;
                    }
                    let escaped = key.replace('~', "~0").replace('/', "~1");
                    self.child(id, pointer, &escaped, a.get(key), b.get(key));
                }
            }
            (Some(Value::Array(a)), Some(Value::Array(b))) => {
                for index in 0..a.len().max(b.len()) {
                    self.child(id, pointer, &index.to_string(), a.get(index), b.get(index));
                }
            }
            (a, b) if a == b => {}
            (a, b) => self.found.push(Difference {
                object: id.clone(),
                pointer: pointer.clone(),
                left: a.cloned(),
                right: b.cloned(),
            }),
        }
    }

    fn child(
        &mut self,
        id: &ObjectId,
        pointer: &mut String,
        name: &str,
        left: Option<&Value>,
        right: Option<&Value>,
    ) {
        let length = pointer.len();
        pointer.push('/');
        pointer.push_str(name);
        self.value(id, pointer, left, right);
        pointer.truncate(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Document;

    fn rendered(objects: &[&str]) -> Rendered {
        let documents = objects
            .iter()
            .map(|text| Document {
                source: String::new(),
                text: (*text).to_owned(),
                object: Some(crate::yaml::parse(text).unwrap()),
            })
            .collect();
        Rendered {
            text: String::new(),
            documents,
        }
    }

    #[test]
    fn order_does_not_count_but_content_does() {
        let a = rendered(&[
            "{kind: A, metadata: {name: x}, v: [1, 2]}",
            "{kind: B, metadata: {name: x}}",
        ]);
        let b = rendered(&[
            "{kind: B, metadata: {name: x}}",
            "{v: [1, 2], kind: A, metadata: {name: x}}",
        ]);
        assert!(compare(&a, &b, Options::default()).is_same());
        let c = rendered(&["{v: [1], kind: A, metadata: {name: x}}"]);
        let comparison = compare(&a, &c, Options::default());
        let places: Vec<_> = comparison
            .differences
            .iter()
            .map(|d| format!("{} {}", d.object, d.pointer))
            .collect();
        assert_eq!(places, ["A/x /v/1", "B/x "]);
    }

    #[test]
    fn checksums_and_random_values_can_be_left_out() {
        let object = |sum: &str, password: &str| {
            format!(
                "{{kind: A, metadata: {{name: x, annotations: {{checksum/config: {sum}, other: o}}}}, p: {password}}}"
            )
        };
        let first = rendered(&[&object("s1", "p1")]);
        let again = rendered(&[&object("s1", "p2")]);
        let other = rendered(&[&object("s2", "p3")]);
        let options = Options {
            ignore_checksums: true,
            again: &[again],
        };
        assert!(compare(&first, &other, options).is_same());
        assert_eq!(compare(&first, &other, Options::default()).total, 2);
    }
}
