//! Steps, done to one place of one object.

use std::collections::BTreeSet;

use quench_model::Digest;
use serde_json::{Map, Value, json};

use crate::rule::{Path, Root, Step};

use super::{Change, Place, Surroundings, View};

pub(super) fn run(
    object: &mut Value,
    place: &Place,
    surroundings: Surroundings<'_>,
    rule: &'static str,
    steps: &[Step],
    changes: &mut Vec<Change>,
) {
    for step in steps {
        match step {
            Step::Set(path, expression) => {
                let value = View::new(object, place, surroundings, rule).value(expression);
                if let Some(value) = value {
                    put(object, place, path, value, changes);
                }
            }
            Step::SetMissing(path, expression) => {
                let view = View::new(object, place, surroundings, rule);
                let bare = Path {
                    otherwise: None,
                    ..*path
                };
                if view.at(&bare).is_none()
                    && let Some(value) = view.value(expression)
                {
                    put(object, place, path, value, changes);
                }
            }
            Step::Remove(path) => remove(object, place, path, changes),
            Step::Append(path, text) => append(object, place, path, text, changes),
            Step::RemoveItems(path, condition) => {
                let view = View::new(object, place, surroundings, rule);
                let Some(items) = view.at(path).and_then(Value::as_array) else {
                    continue;
                };
                let kept: Vec<Value> = items
                    .iter()
                    .filter(|item| !view.with_item(item).holds(condition))
                    .cloned()
                    .collect();
                if kept.is_empty() {
                    remove(object, place, path, changes);
                } else {
                    put(object, place, path, Value::Array(kept), changes);
                }
            }
            Step::When(condition, steps) => {
                if View::new(object, place, surroundings, rule).holds(condition) {
                    run(object, place, surroundings, rule, steps, changes);
                }
            }
            Step::RemoveRepeated(path, key) => {
                let items = View::new(object, place, surroundings, rule)
                    .at(path)
                    .and_then(Value::as_array)
                    .cloned();
                if let Some(items) = items {
                    put(object, place, path, without_repeated(items, key), changes);
                }
            }
            Step::Each(path, condition, steps) => {
                let bare = Path {
                    otherwise: None,
                    ..*path
                };
                let count = View::new(object, place, surroundings, rule)
                    .at(&bare)
                    .and_then(Value::as_array)
                    .map_or(0, Vec::len);
                for index in 0..count {
                    let place = place.at_item(bare, index);
                    let is_map = place.get(object, Root::Item).is_some_and(Value::is_object);
                    if is_map && View::new(object, &place, surroundings, rule).holds(condition) {
                        let mut within = Vec::new();
                        run(object, &place, surroundings, rule, steps, &mut within);
                        changes.extend(within.into_iter().map(|change| Change {
                            field: format!("{}[{index}].{}", bare.dotted(), change.field),
                            ..change
                        }));
                    }
                }
            }
            // Adds to the release, not to the object; see `network`.
            Step::Isolate(_) => {}
            Step::MountWritable(path) => {
                let volumes = volumes(&View::new(object, place, surroundings, rule), path);
                mount(object, place, volumes, changes);
            }
            Step::Relocate => {
                let mut relocated = object.clone();
                changes
                    .extend(View::new(object, place, surroundings, rule).relocated(&mut relocated));
                *object = relocated;
            }
        }
    }
}

/// Keeps the last map of each text under a key, in place.
fn without_repeated(items: Vec<Value>, key: &str) -> Value {
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Value> = items
        .into_iter()
        .rev()
        .filter(|item| {
            item.get(key)
                .and_then(Value::as_str)
                .is_none_or(|text| seen.insert(text.to_owned()))
        })
        .collect();
    kept.reverse();
    kept.into()
}

/// The map that has the last key of a path, made where it is missing, and that key.
fn parent<'o>(
    object: &'o mut Value,
    place: &Place,
    path: &Path,
) -> Option<(&'o mut Map<String, Value>, &'static str)> {
    let (last, way) = path.keys.split_last()?;
    let mut map = place.get_mut(object, path.root)?.as_object_mut()?;
    for key in way {
        let next = map.entry(*key).or_insert(Value::Null);
        if !next.is_object() {
            *next = json!({});
        }
        map = next.as_object_mut()?;
    }
    Some((map, last))
}

fn put(object: &mut Value, place: &Place, path: &Path, value: Value, changes: &mut Vec<Change>) {
    let full = place.field(object, path.root, &path.dotted());
    if let Some((map, key)) = parent(object, place, path) {
        let before = map.insert(key.to_owned(), value.clone());
        changes.push(Change {
            field: path.dotted(),
            path: full,
            before: before.filter(|value| !value.is_null()),
            after: Some(value),
        });
    }
}

fn remove(object: &mut Value, place: &Place, path: &Path, changes: &mut Vec<Change>) {
    let Some((last, way)) = path.keys.split_last() else {
        return;
    };
    let full = place.field(object, path.root, &path.dotted());
    let map = place.get_mut(object, path.root).and_then(|root| {
        way.iter()
            .try_fold(root, |value, key| value.get_mut(key))?
            .as_object_mut()
    });
    if let Some(before) = map.and_then(|map| map.shift_remove(*last)) {
        changes.push(Change {
            field: path.dotted(),
            path: full,
            before: Some(before),
            after: None,
        });
    }
}

fn append(object: &mut Value, place: &Place, path: &Path, text: &str, changes: &mut Vec<Change>) {
    let full = place.field(object, path.root, &path.dotted());
    if let Some((map, key)) = parent(object, place, path) {
        let before = map.get(key).filter(|value| !value.is_null()).cloned();
        let mut list = before
            .as_ref()
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        if !list.iter().any(|item| item == text) {
            list.push(text.into());
        }
        let after = Value::Array(list);
        map.insert(key.to_owned(), after.clone());
        changes.push(Change {
            field: path.dotted(),
            path: full,
            before,
            after: Some(after),
        });
    }
}

/// Name and path of an empty volume for each writable path that lies on no volume yet.
fn volumes(view: &View<'_>, writable: &Path) -> Vec<(String, String)> {
    let container = view.container_name().unwrap_or_default();
    let mounted = crate::rule::Condition::Mounted(crate::rule::item(&["path"]));
    view.at(writable)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|path| !view.with_item(path).holds(&mounted))
        .filter_map(|path| {
            let text = |key: &str| path.get(key).and_then(Value::as_str);
            let (path, slug) = (text("path")?, text("slug")?);
            Some((volume_name(&container, path, slug), path.to_owned()))
        })
        .collect()
}

fn mount(
    object: &mut Value,
    place: &Place,
    volumes: Vec<(String, String)>,
    changes: &mut Vec<Change>,
) {
    for (volume, path) in volumes {
        push(
            place.get_mut(object, Root::Container),
            "volumeMounts",
            json!({"name": volume, "mountPath": path}),
        );
        push(
            place.get_mut(object, Root::Pod),
            "volumes",
            json!({"name": volume, "emptyDir": {}}),
        );
        let field = format!("volumeMounts[{path}]");
        changes.push(Change {
            path: place.field(object, Root::Container, &field),
            field,
            before: None,
            after: Some(json!({"name": volume, "emptyDir": {}})),
        });
    }
}

fn push(map: Option<&mut Value>, key: &str, item: Value) {
    let Some(map) = map.and_then(Value::as_object_mut) else {
        return;
    };
    let list = map.entry(key).or_insert(Value::Null);
    match list.as_array_mut() {
        Some(list) => list.push(item),
        None => *list = Value::Array(vec![item]),
    }
}

/// A volume's name: of the path, for people, and of container and path together, since no two volumes of a
/// pod may share one. At most 8 + 40 + 9 of the 63 characters Kubernetes allows.
fn volume_name(container: &str, path: &str, slug: &str) -> String {
    let hash = Digest::of(format!("{container} {path}").as_bytes()).hex();
    let hash = hash.get(..8).unwrap_or_default();
    format!("quench-{slug}-{hash}").replace("--", "-")
}
