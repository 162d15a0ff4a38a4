//! Making a values schema accept `global.hardening`.

use serde_json::{Map, Value, json};

/// Deepest nesting of combined and referenced schemas followed.
const MAX_DEPTH: usize = 16;

/// The schema with `global.hardening` accepted; `None` where it accepts it already, or is no JSON schema.
pub(super) fn accept_hardening(text: &str) -> Option<String> {
    let mut schema: Value = serde_json::from_str(text).ok()?;
    let mut changed = accept(&mut schema, &[], "global", None, 0);
    // Where `global` is described, what describes it must accept `hardening`.
    for pointer in descriptions(&schema, &mut Vec::new(), "global", 0) {
        changed |= accept(&mut schema, &pointer, "hardening", Some("object"), 0);
    }
    if !changed {
        return None;
    }
    let mut text = serde_json::to_string_pretty(&schema).ok()?;
    text.push('\n');
    Some(text)
}

type Path = Vec<String>;

fn at<'a>(schema: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(schema, |value, key| match value {
        Value::Object(map) => map.get(key),
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

fn at_mut<'a>(schema: &'a mut Value, path: &[String]) -> Option<&'a mut Map<String, Value>> {
    path.iter()
        .try_fold(schema, |value, key| match value {
            Value::Object(map) => map.get_mut(key),
            Value::Array(list) => list.get_mut(key.parse::<usize>().ok()?),
            _ => None,
        })?
        .as_object_mut()
}

/// Schemas that hold for the same value as the one at `path`: references and combinations.
fn also(schema: &Value, path: &[String]) -> Vec<Path> {
    let Some(node) = at(schema, path) else {
        return Vec::new();
    };
    let below = |keys: &[&str]| {
        path.iter()
            .cloned()
            .chain(keys.iter().map(|key| (*key).to_owned()))
            .collect::<Path>()
    };
    let mut found = Vec::new();
    if let Some(reference) = node.get("$ref").and_then(Value::as_str)
        && let Some(pointer) = reference.strip_prefix('#')
    {
        found.push(
            pointer
                .split('/')
                .skip(1)
                .map(|part| part.replace("~1", "/").replace("~0", "~"))
                .collect(),
        );
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        let count = node.get(key).and_then(Value::as_array).map_or(0, Vec::len);
        found.extend((0..count).map(|index| below(&[key, &index.to_string()])));
    }
    for key in ["if", "then", "else"] {
        if node.get(key).is_some_and(Value::is_object) {
            found.push(below(&[key]));
        }
    }
    found
}

/// Paths of the schemas that describe the property `name`.
fn descriptions(schema: &Value, path: &mut Path, name: &str, depth: usize) -> Vec<Path> {
    if depth > MAX_DEPTH {
        return Vec::new();
    }
    let mut found = Vec::new();
    let described = at(schema, path)
        .and_then(|node| node.get("properties"))
        .and_then(|properties| properties.get(name));
    if described.is_some() {
        let mut property = path.clone();
        property.extend(["properties".to_owned(), name.to_owned()]);
        found.push(property);
    }
    for mut other in also(schema, path) {
        found.extend(descriptions(schema, &mut other, name, depth + 1));
    }
    found
}

/// Declares the property `name` in the schema at `path` wherever it would be refused, or be held to a schema meant for others.
fn accept(
    schema: &mut Value,
    path: &[String],
    name: &str,
    kind: Option<&str>,
    depth: usize,
) -> bool {
    if depth > MAX_DEPTH {
        return false;
    }
    let mut changed = false;
    if let Some(node) = at_mut(schema, path) {
        let closed = ["additionalProperties", "unevaluatedProperties"]
            .iter()
            .any(|key| match node.get(*key) {
                None | Some(Value::Bool(true)) => false,
                Some(Value::Object(open)) => !open.is_empty(),
                Some(_) => true,
            });
        if closed {
            let properties = node
                .entry("properties")
                .or_insert_with(|| Value::Object(Map::new()));
            if let Some(properties) = properties.as_object_mut()
                && !properties.contains_key(name)
            {
                let declared = match kind {
                    Some(kind) => json!({"type": [kind, "null"]}),
                    None => json!({}),
                };
                properties.insert(name.to_owned(), declared);
                changed = true;
            }
        }
    }
    for other in also(schema, path) {
        changed |= accept(schema, &other, name, kind, depth + 1);
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extended(schema: Value) -> Option<Value> {
        accept_hardening(&schema.to_string()).map(|text| serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn open_schemas_stay_as_they_are() {
        assert_eq!(extended(json!({"properties": {"a": {}}})), None);
        assert_eq!(
            extended(json!({"properties": {"global": {"type": "object"}}})),
            None
        );
        assert_eq!(accept_hardening("not json"), None);
    }

    #[test]
    fn closed_schemas_accept_the_key_alone() {
        assert_eq!(
            extended(json!({"additionalProperties": false, "properties": {"a": {}}})),
            Some(json!({"additionalProperties": false, "properties": {"a": {}, "global": {}}}))
        );
        assert_eq!(
            extended(json!({"properties": {"global": {"additionalProperties": false}}})),
            Some(json!({"properties": {"global": {
                "additionalProperties": false,
                "properties": {"hardening": {"type": ["object", "null"]}}
            }}}))
        );
    }

    #[test]
    fn references_and_combinations_are_followed() {
        let schema = json!({
            "definitions": {"g": {"additionalProperties": {"type": "string"}}},
            "allOf": [{"properties": {"global": {"$ref": "#/definitions/g"}}}, {"$ref": "#"}]
        });
        let extended = extended(schema).unwrap();
        assert_eq!(
            extended.pointer("/definitions/g/properties/hardening"),
            Some(&json!({"type": ["object", "null"]}))
        );
    }
}
