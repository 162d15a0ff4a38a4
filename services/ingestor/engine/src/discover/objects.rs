//! What a rendered object says about images.

use base64::Engine as _;
use quench_chart::workload::{self, Container, ObjectId, Pod};
use quench_chart::yaml;
use quench_model::ImageReference;
use quench_package::{FoundBy, ImageEvidence};
use serde_json::{Map, Value};

use super::parts;
use super::schemas::Schemas;
use super::text::{self, Certainty};

/// Deepest nesting looked into; more than any schema of Kubernetes has.
const MAX_DEPTH: usize = 64;

/// A reference at a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    /// As written.
    pub(crate) text: String,
    pub(crate) reference: ImageReference,
    pub(crate) certainty: Certainty,
    pub(crate) evidence: ImageEvidence,
}

/// What an object, and the members of a list, say.
#[derive(Debug, Default)]
pub(crate) struct Said {
    pub(crate) mentions: Vec<Mention>,
    /// Containers that name no image.
    pub(crate) imageless: Vec<ImageEvidence>,
    /// Pods that name an image by what is no reference, with the reason: Kubernetes would refuse it too.
    pub(crate) invalid: Vec<(ImageEvidence, String)>,
}

/// Looks through a rendered document.
pub(crate) fn look(object: &Value, template: &str, schemas: &Schemas) -> Said {
    let mut said = Said::default();
    for object in workload::objects(object) {
        let id = ObjectId::of(object);
        let look = Look {
            template,
            id: &id,
            schemas,
        };
        look.object(object, &mut said);
    }
    said
}

struct Look<'a> {
    template: &'a str,
    id: &'a ObjectId,
    schemas: &'a Schemas,
}

/// Where a field of an object stands, and what it is called.
#[derive(Clone, Copy)]
struct Field<'f> {
    path: &'f str,
    key: &'f str,
    found_by: FoundBy,
    container: &'f str,
}

impl Look<'_> {
    fn object(&self, object: &Value, said: &mut Said) {
        if let Some(pod) = workload::pod(object) {
            self.pod(&pod, said);
        } else {
            match self.id.kind.as_str() {
                "ConfigMap" if self.id.api_version == "v1" => self.config_map(object, said),
                "Secret" if self.id.api_version == "v1" => self.secret(object, said),
                "CustomResourceDefinition" => {}
                _ if is_custom(&self.id.api_version) => {
                    let fields = object.as_object().into_iter().flatten();
                    for (key, value) in fields.filter(|(key, _)| *key != "metadata") {
                        let field = Field {
                            path: key,
                            key,
                            found_by: FoundBy::CustomResource,
                            container: "",
                        };
                        self.value(value, field, 0, said);
                    }
                }
                _ => {}
            }
        }
        self.annotations(object.pointer("/metadata/annotations"), "metadata", said);
    }

    /// Annotations that say image in their name, as sidecar injectors read them.
    fn annotations(&self, annotations: Option<&Value>, path: &str, said: &mut Said) {
        for (key, value) in annotations.and_then(Value::as_object).into_iter().flatten() {
            let name = key.rsplit('/').next().unwrap_or(key);
            if let Some(text) = value.as_str()
                && text::is_image_key(name)
            {
                let field = Field {
                    path: &format!("{path}.annotations.{key}"),
                    key: name,
                    found_by: FoundBy::Text,
                    container: "",
                };
                self.text(text, field, said);
            }
        }
    }

    fn evidence(&self, field: Field<'_>) -> ImageEvidence {
        ImageEvidence {
            template: self.template.to_owned(),
            kind: self.id.kind.clone(),
            name: self.id.name.clone(),
            container: field.container.to_owned(),
            field: field.path.to_owned(),
            found_by: field.found_by,
            values: String::new(),
        }
    }

    fn pod(&self, pod: &Pod<'_>, said: &mut Said) {
        for container in pod.containers() {
            let field = Field {
                path: container.kind.field(),
                key: "image",
                found_by: FoundBy::PodSpec,
                container: container.name,
            };
            match container.image.filter(|image| !image.is_empty()) {
                Some(image) => self.pulled(image, field, said),
                None => said.imageless.push(self.evidence(field)),
            }
            self.container(&container, said);
        }
        for (name, image) in pod.image_volumes() {
            let field = Field {
                path: "volumes",
                key: "image",
                found_by: FoundBy::PodSpec,
                container: name,
            };
            self.pulled(image, field, said);
        }
        let annotations = pod.metadata.and_then(|m| m.get("annotations"));
        self.annotations(annotations, "template", said);
    }

    /// What a kubelet pulls.
    fn pulled(&self, image: &str, field: Field<'_>, said: &mut Said) {
        match image.parse::<ImageReference>() {
            Ok(reference) => said.mentions.push(Mention {
                text: image.to_owned(),
                reference,
                certainty: Certainty::Certain,
                evidence: self.evidence(field),
            }),
            Err(error) => said.invalid.push((self.evidence(field), error.to_string())),
        }
    }

    /// Environment, arguments and command: operators learn there which images to start.
    fn container(&self, container: &Container<'_>, said: &mut Said) {
        let list = container.kind.field();
        let entries: Vec<(&str, &str)> = container
            .spec
            .get("env")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some((entry.get("name")?.as_str()?, entry.get("value")?.as_str()?)))
            .collect();
        for (name, value) in &entries {
            let field = Field {
                path: &format!("{list}.env.{name}"),
                key: name,
                found_by: FoundBy::Text,
                container: container.name,
            };
            self.text(value, field, said);
        }
        let path = format!("{list}.env");
        self.named_parts(&entries, &path, container.name, said);
        for words in ["command", "args"] {
            let path = format!("{list}.{words}");
            let mut flag = "";
            let texts = container.spec.get(words).and_then(Value::as_array);
            for word in texts.into_iter().flatten().filter_map(Value::as_str) {
                let field = Field {
                    path: &path,
                    key: flag,
                    found_by: FoundBy::Text,
                    container: container.name,
                };
                self.text(word, field, said);
                // `--image` and what it is may be two arguments.
                flag = if word.starts_with('-') && !word.contains(['=', ' ']) {
                    word
                } else {
                    ""
                };
            }
        }
    }

    fn named_parts(&self, entries: &[(&str, &str)], path: &str, container: &str, said: &mut Said) {
        for (start, whole) in parts::of_names(entries.iter().copied()) {
            said.mentions.push(Mention {
                text: whole.text,
                reference: whole.reference,
                certainty: Certainty::Likely,
                evidence: self.evidence(Field {
                    path: &format!("{path}.{start}*"),
                    key: "",
                    found_by: FoundBy::Text,
                    container,
                }),
            });
        }
    }

    fn config_map(&self, object: &Value, said: &mut Said) {
        let data = object.get("data").and_then(Value::as_object);
        let entries: Vec<(&str, &str)> = data
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
            .collect();
        self.files(&entries, "data", said);
    }

    fn secret(&self, object: &Value, said: &mut Said) {
        let entries = |name: &str| {
            object
                .get(name)
                .and_then(Value::as_object)
                .into_iter()
                .flatten()
                .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
                .collect::<Vec<(&str, &str)>>()
        };
        self.files(&entries("stringData"), "stringData", said);
        let data = entries("data");
        let decoded: Vec<(&str, String)> = data
            .into_iter()
            .filter_map(|(key, text)| {
                let bytes = base64::engine::general_purpose::STANDARD
                    .decode(text.trim())
                    .ok()?;
                Some((key, String::from_utf8(bytes).ok()?))
            })
            .collect();
        let decoded: Vec<(&str, &str)> = decoded.iter().map(|(k, v)| (*k, v.as_str())).collect();
        self.files(&decoded, "data", said);
    }

    /// Entries of a ConfigMap or Secret: single values or whole files.
    fn files(&self, entries: &[(&str, &str)], list: &str, said: &mut Said) {
        self.named_parts(entries, list, "", said);
        for (key, text) in entries {
            let path = format!("{list}.{key}");
            let field = Field {
                path: &path,
                key,
                found_by: FoundBy::Text,
                container: "",
            };
            self.text(text, field, said);
            // A file in YAML or JSON may have a reference in parts, which lines do not show.
            if text.contains(':')
                && text.contains("repository")
                && let Ok(value @ (Value::Object(_) | Value::Array(_))) = yaml::parse(text)
            {
                self.parts_within(&value, field, 0, said);
            }
        }
    }

    fn parts_within(&self, value: &Value, field: Field<'_>, depth: usize, said: &mut Said) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::Object(map) => {
                self.whole(map, field, Certainty::Likely, said);
                for (key, value) in map {
                    let path = format!("{}.{key}", field.path);
                    let field = Field {
                        path: &path,
                        key,
                        ..field
                    };
                    self.parts_within(value, field, depth + 1, said);
                }
            }
            Value::Array(items) => {
                for item in items {
                    self.parts_within(item, field, depth + 1, said);
                }
            }
            _ => {}
        }
    }

    /// Takes a map for the parts of a reference, if it is that.
    fn whole(
        &self,
        map: &Map<String, Value>,
        field: Field<'_>,
        best: Certainty,
        said: &mut Said,
    ) -> bool {
        let Some(whole) = parts::of_map(map, field.key, None) else {
            return false;
        };
        let certainty = if whole.is_pinned && whole.is_clear {
            best
        } else {
            Certainty::Likely
        };
        said.mentions.push(Mention {
            text: whole.text,
            reference: whole.reference,
            certainty,
            evidence: self.evidence(field),
        });
        true
    }

    /// A field of a custom resource.
    fn value(&self, value: &Value, field: Field<'_>, depth: usize, said: &mut Said) {
        if depth > MAX_DEPTH {
            return;
        }
        match value {
            Value::Object(map) => {
                let best = if text::is_image_key(field.key) {
                    Certainty::Certain
                } else {
                    Certainty::Likely
                };
                let is_whole = self.whole(map, field, best, said);
                for (key, inner) in map {
                    // Parts say nothing by themselves.
                    if is_whole && !inner.is_object() && !inner.is_array() {
                        continue;
                    }
                    let path = format!("{}.{key}", field.path);
                    let field = Field {
                        path: &path,
                        key,
                        ..field
                    };
                    self.value(inner, field, depth + 1, said);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{}[{index}]", field.path);
                    let field = Field {
                        path: &path,
                        ..field
                    };
                    self.value(item, field, depth + 1, said);
                }
            }
            Value::String(content) => self.field_text(content, field, said),
            _ => {}
        }
    }

    fn field_text(&self, content: &str, field: Field<'_>, said: &mut Said) {
        let says_image = text::is_image_key(field.key);
        let by_schema = !says_image && self.schemas.says_image(self.id, field.path);
        if !(says_image || by_schema) {
            let field = Field {
                found_by: FoundBy::Text,
                ..field
            };
            self.text(content, field, said);
            return;
        }
        for mut found in text::references(content, "image") {
            // The field says image, and the text is nothing but a reference with all that belongs to one.
            let is_full = found.text == content.trim() && is_full(&found.text);
            if says_image && is_full && found.certainty == Certainty::Likely {
                found.certainty = Certainty::Certain;
            }
            said.mentions.push(Mention {
                text: found.text,
                reference: found.reference,
                certainty: found.certainty,
                evidence: self.evidence(field),
            });
        }
    }

    fn text(&self, content: &str, field: Field<'_>, said: &mut Said) {
        for found in text::references(content, field.key) {
            said.mentions.push(Mention {
                text: found.text,
                reference: found.reference,
                certainty: found.certainty,
                evidence: self.evidence(field),
            });
        }
    }
}

/// Whether a reference has a tag or digest written out, or a host.
fn is_full(text: &str) -> bool {
    let last = text.rsplit('/').next().unwrap_or(text);
    let first = text.split('/').next().unwrap_or_default();
    last.contains([':', '@']) || text.contains('/') && first.contains(['.', ':'])
}

/// Whether an API is not Kubernetes' own: its group is a domain outside `k8s.io`.
fn is_custom(api_version: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    group.contains('.') && !group.ends_with(".k8s.io")
}
