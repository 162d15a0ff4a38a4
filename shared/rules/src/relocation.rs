//! Where an object names images of the package beside its containers, and how those names become names at another
//! registry.
//!
//! Operators take images from arguments, environment variables, custom resources and configuration files. What stands
//! there is changed where it is exactly a reference of the package, as the chart may write it: in text, a tagged one
//! that no further character of a reference touches; as the value of a field called `image`, any; in a block of
//! `registry`, `repository` and `tag`, the one they make together. Names, labels and selectors are never looked into.
//! `template/relocation.tpl` does the same; tests hold the two equal.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use crate::evaluate::Change;
use crate::evidence::Evidence;

/// Fields that are never looked into.
pub(crate) const NEVER: [&str; 5] = [
    "labels",
    "matchExpressions",
    "matchLabels",
    "nodeSelector",
    "selector",
];
/// Fields whose text is never changed.
pub(crate) const NAMES: [&str; 6] = [
    "apiVersion",
    "generateName",
    "key",
    "kind",
    "name",
    "namespace",
];
/// Lists of containers, whose own `image` other rules see to.
pub(crate) const CONTAINERS: [&str; 2] = ["containers", "initContainers"];
/// Fields of a block that hold the repository.
pub(crate) const REPOSITORIES: [&str; 2] = ["repository", "image"];
/// Fields of a block that hold the tag.
pub(crate) const TAGS: [&str; 2] = ["tag", "version"];

/// Base64 as Go reads it: bits that no byte uses may be set.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// Changes every reference of the package in an object to one at `registry`, and tells which fields that changed.
/// `pods`: whether the object is a workload, whose containers' own images are left alone.
pub(crate) fn relocate(
    object: &mut Value,
    evidence: &Evidence,
    registry: &str,
    pods: bool,
) -> Vec<Change> {
    let mut relocation = Relocation {
        evidence,
        registry,
        pods,
        changes: Vec::new(),
    };
    relocation.object(object);
    relocation.changes
}

/// Whether a way to write a reference says more than a name: it has a tag or digest.
pub(crate) fn is_full(spelling: &str) -> bool {
    let last = spelling.rsplit('/').next().unwrap_or(spelling);
    last.contains([':', '@'])
}

struct Relocation<'e> {
    evidence: &'e Evidence,
    registry: &'e str,
    pods: bool,
    changes: Vec<Change>,
}

impl Relocation<'_> {
    fn object(&mut self, object: &mut Value) {
        let kind = object
            .get("kind")
            .and_then(Value::as_str)
            .map(str::to_owned);
        let Some(fields) = object.as_object_mut() else {
            return;
        };
        for (key, value) in fields {
            match (kind.as_deref(), key.as_str()) {
                (_, "metadata") => {
                    if let Some(annotations) = value.get_mut("annotations") {
                        self.value(annotations, "metadata.annotations", "annotations", false);
                    }
                }
                (Some("Secret"), "data") | (Some("ConfigMap"), "binaryData") => {
                    self.encoded(value, key);
                }
                _ if NEVER.contains(&key.as_str()) => {}
                _ if NAMES.contains(&key.as_str()) && value.is_string() => {}
                _ => self.value(value, key, key, false),
            }
        }
    }

    fn value(&mut self, value: &mut Value, path: &str, key: &str, container: bool) {
        match value {
            Value::String(text) => {
                if let Some(after) = self.text(text) {
                    self.put(value, path, after);
                }
            }
            Value::Array(items) => {
                let containers = self.pods && CONTAINERS.contains(&key);
                for (index, item) in items.iter_mut().enumerate() {
                    let name = item.get("name").and_then(Value::as_str);
                    let name = name.map_or_else(|| index.to_string(), str::to_owned);
                    self.value(item, &format!("{path}[{name}]"), "item", containers);
                }
            }
            Value::Object(fields) => self.fields(fields, path, container),
            _ => {}
        }
    }

    fn fields(&mut self, fields: &mut Map<String, Value>, path: &str, container: bool) {
        let block = self.block(fields, path);
        for (key, value) in fields {
            let name = key.as_str();
            let is_text = value.is_string();
            if NEVER.contains(&name)
                || (NAMES.contains(&name) && is_text)
                || (container && name == "image" && is_text)
            {
                continue;
            }
            let path = format!("{path}.{key}");
            if let Some(text) = value.as_str().filter(|_| is_image(name))
                && (block != Some(name) || is_full(text))
                && let Some(pin) = self.evidence.digest(text)
            {
                let after = pin.reference(Some(self.registry));
                if after != text {
                    self.put(value, &path, after);
                }
                continue;
            }
            self.value(value, &path, name, false);
        }
    }

    /// Changes the parts of a reference where they make one of the package. Gives the field with the repository, if
    /// the fields are parts of any.
    fn block(&mut self, fields: &mut Map<String, Value>, path: &str) -> Option<&'static str> {
        let text = |name: &str| {
            let text = fields.get(name).and_then(Value::as_str);
            text.filter(|text| !text.is_empty())
        };
        let key = REPOSITORIES.into_iter().find(|key| text(key).is_some())?;
        let tag = TAGS.into_iter().find_map(text);
        let digest = text("digest");
        if tag.is_none() && digest.is_none() {
            return None;
        }
        let name = match (text("registry"), text(key)) {
            (Some(registry), Some(repository)) => {
                format!("{}/{repository}", registry.trim_end_matches('/'))
            }
            (_, repository) => repository.unwrap_or_default().to_owned(),
        };
        let mut written = Vec::new();
        if let (Some(tag), Some(digest)) = (tag, digest) {
            written.push(format!("{name}:{tag}@{digest}"));
        }
        written.extend(digest.map(|digest| format!("{name}@{digest}")));
        written.extend(tag.map(|tag| format!("{name}:{tag}")));
        let pin = written
            .iter()
            .find_map(|written| self.evidence.digest(written))
            .cloned();
        let Some(pin) = pin else {
            return Some(key);
        };
        let registry = self.registry.trim_end_matches('/').to_owned();
        let mut after = BTreeMap::new();
        if text("registry").is_some() {
            after.insert("registry", registry);
            after.insert(key, pin.repository);
        } else {
            after.insert(key, format!("{registry}/{}", pin.repository));
        }
        // Where there is no field for a digest, nobody would put one behind the tag.
        if fields
            .get("digest")
            .is_some_and(|d| d.is_string() || d.is_null())
        {
            after.insert("digest", pin.digest.to_string());
        }
        for (name, after) in after {
            if let Some(value) = fields
                .get_mut(name)
                .filter(|value| *value != after.as_str())
            {
                self.put(value, &format!("{path}.{name}"), after);
            }
        }
        Some(key)
    }

    /// Text in base64, where it is text.
    fn encoded(&mut self, values: &mut Value, path: &str) {
        for (key, value) in values.as_object_mut().into_iter().flatten() {
            let Some(encoded) = value.as_str() else {
                continue;
            };
            let encoded = encoded.replace(['\r', '\n'], "");
            let text = BASE64
                .decode(encoded)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok());
            if let Some(after) = text.and_then(|text| self.text(&text)) {
                self.put(value, &format!("{path}.{key}"), BASE64.encode(after));
            }
        }
    }

    /// The text with each reference in it changed; none when there is none.
    fn text(&self, text: &str) -> Option<String> {
        let mut after: Option<String> = None;
        for (spelling, pin) in self.evidence.pins() {
            if is_full(spelling) {
                let now = after.as_deref().unwrap_or(text);
                after = replaced(now, spelling, &pin.reference(Some(self.registry))).or(after);
            }
        }
        after.filter(|after| after != text)
    }

    fn put(&mut self, value: &mut Value, field: &str, after: String) {
        let before = std::mem::replace(value, Value::String(after.clone()));
        self.changes.push(Change {
            field: field.to_owned(),
            path: field.to_owned(),
            before: Some(before),
            after: Some(Value::String(after)),
        });
    }
}

/// Whether a field holds an image, by its name.
fn is_image(name: &str) -> bool {
    name.ends_with("image") || name.ends_with("Image")
}

/// Replaces what stands for itself: no character of a longer reference before or behind it.
fn replaced(text: &str, from: &str, to: &str) -> Option<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || "._/:@-".contains(c);
    let mut after = String::new();
    let mut rest = text;
    let mut before: Option<char> = None;
    let mut found = false;
    while let Some(at) = rest.find(from) {
        let (head, tail) = rest.split_at_checked(at)?;
        let behind = tail.get(from.len()..)?;
        let left = head.chars().next_back().or(before);
        let stands = !left.is_some_and(part) && !behind.chars().next().is_some_and(part);
        after.push_str(head);
        after.push_str(if stands { to } else { from });
        found |= stands;
        before = from.chars().next_back();
        rest = behind;
    }
    after.push_str(rest);
    found.then_some(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quench_model::Digest;
    use serde_json::json;

    fn evidence() -> Evidence {
        let mut evidence = Evidence::default();
        for image in [
            "quay.io/prometheus-operator/prometheus-config-reloader:v0.79.0",
            "docker.io/library/nginx:1.27",
            "docker.io/library/busybox:latest",
        ] {
            evidence.add_digest(&image.parse().unwrap(), &[], &Digest::of(image));
        }
        evidence
    }

    fn after(mut object: Value) -> Value {
        let before = object.clone();
        let changes = relocate(&mut object, &evidence(), "reg.internal:5000/q/", true);
        assert_eq!(changes.is_empty(), before == object);
        let once = object.clone();
        let again = relocate(&mut object, &evidence(), "reg.internal:5000/q/", true);
        assert!(again.is_empty() && once == object, "{again:?}");
        object
    }

    fn reloader() -> String {
        let image = "quay.io/prometheus-operator/prometheus-config-reloader:v0.79.0";
        format!(
            "reg.internal:5000/q/prometheus-operator/prometheus-config-reloader:v0.79.0@{}",
            Digest::of(image)
        )
    }

    #[test]
    fn arguments_and_configuration_text_are_changed_and_names_are_not() {
        let reference = "quay.io/prometheus-operator/prometheus-config-reloader:v0.79.0";
        let object = |reference: &str, name: &str| {
            json!({
                "kind": "Deployment",
                "metadata": {"name": name, "labels": {"image": name}, "annotations": {"x": reference}},
                "spec": {
                    "selector": {"matchLabels": {"image": name}},
                    "template": {"spec": {"containers": [{
                        "image": name,
                        "args": [format!("--prometheus-config-reloader={reference}"), format!("{reference}-debug")],
                        "env": [{"name": name, "value": format!("a={reference},b={reference};{reference}")}],
                    }]}},
                },
            })
        };
        let mut expected = object(&reloader(), reference);
        expected["spec"]["template"]["spec"]["containers"][0]["args"][1] =
            format!("{reference}-debug").into();
        assert_eq!(after(object(reference, reference)), expected);
    }

    #[test]
    fn a_part_of_a_longer_reference_stays() {
        for text in [
            "mirror.example.org/nginx:1.27",
            "nginx:1.27.3",
            "nginx:1.27-alpine",
            "nginx:1.27@sha256:0000",
            "my-nginx:1.27",
            "run nginx:1.27.",
            "busybox",
            "a busybox in text",
        ] {
            let object = json!({"kind": "ConfigMap", "data": {"x": text}});
            assert_eq!(after(object.clone()), object, "{text}");
        }
    }

    #[test]
    fn fields_called_image_may_leave_out_the_tag_and_blocks_may_be_split() {
        let digest = Digest::of("docker.io/library/busybox:latest");
        let nginx = Digest::of("docker.io/library/nginx:1.27");
        let object = json!({"kind": "Thing", "spec": {
            "initImage": "busybox",
            "other": "busybox",
            "split": {"registry": "docker.io/", "repository": "library/nginx", "tag": "1.27", "digest": ""},
            "joined": {"repository": "nginx", "tag": "1.27"},
            "unknown": {"image": "busybox", "tag": "1.36"},
        }});
        let expected = json!({"kind": "Thing", "spec": {
            "initImage": format!("reg.internal:5000/q/library/busybox:latest@{digest}"),
            "other": "busybox",
            "split": {
                "registry": "reg.internal:5000/q", "repository": "library/nginx", "tag": "1.27",
                "digest": nginx.to_string(),
            },
            "joined": {"repository": "reg.internal:5000/q/library/nginx", "tag": "1.27"},
            "unknown": {"image": "busybox", "tag": "1.36"},
        }});
        assert_eq!(after(object), expected);
    }

    #[test]
    fn secrets_are_read_through_their_encoding_and_only_where_they_are_text() {
        let nginx = format!(
            "reg.internal:5000/q/library/nginx:1.27@{}",
            Digest::of("docker.io/library/nginx:1.27")
        );
        let binary = [b"nginx:1.27 ".as_slice(), &[0xff, 0xfe]].concat();
        let object = |text: &str| {
            json!({"kind": "Secret", "data": {
                "config": BASE64.encode(format!("image: {text}\n")),
                "binary": BASE64.encode(&binary),
                "broken": "nginx:1.27",
            }, "stringData": {"config": format!("image: {text}")}})
        };
        assert_eq!(after(object("nginx:1.27")), object(&nginx));
    }
}
