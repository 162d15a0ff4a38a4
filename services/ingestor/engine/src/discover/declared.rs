//! Images that a chart lists without rendering them: annotations of `Chart.yaml`, lock files, and values.

use quench_chart::value_space::MergedValues;
use quench_chart::{Chart, yaml};
use quench_model::ImageReference;
use quench_package::{FoundBy, ImageEvidence, images_lock};
use serde_json::Value;

use super::objects::Mention;
use super::parts;
use super::text::{self, Certainty};

/// Annotations that list images: Artifact Hub's, Helm's, and Bitnami's.
const ANNOTATIONS: [&str; 3] = ["artifacthub.io/images", "helm.sh/images", "images"];
/// Files that list images with their digests: of dt, and of kbld and imgpkg. One that Quench wrote tells of the package the chart
/// was taken out of, which is not what the chart says: it is passed over.
const LOCKS: [&str; 3] = ["Images.lock", "images.lock", ".imgpkg/images.yml"];
/// Deepest nesting looked into.
const MAX_DEPTH: usize = 32;

/// Images in annotations and lock files of a chart and its subcharts.
pub(crate) fn in_files(chart: &Chart) -> Vec<Mention> {
    let mut found = Vec::new();
    for node in chart.nodes() {
        let annotations = node.metadata.get("annotations").and_then(Value::as_object);
        for name in ANNOTATIONS {
            let Some(listed) = annotations
                .and_then(|map| map.get(name))
                .and_then(Value::as_str)
            else {
                continue;
            };
            let evidence = ImageEvidence {
                template: format!("{}Chart.yaml", node.prefix),
                field: format!("annotations.{name}"),
                found_by: FoundBy::Annotation,
                ..ImageEvidence::default()
            };
            listing(listed, &evidence, &mut found);
        }
        for name in LOCKS {
            let path = format!("{}{name}", node.prefix);
            if let Some(text) = chart
                .text(&path)
                .filter(|text| !images_lock::is_own(text.as_bytes()))
            {
                let evidence = ImageEvidence {
                    template: path,
                    field: "images".to_owned(),
                    found_by: FoundBy::LockFile,
                    ..ImageEvidence::default()
                };
                listing(text, &evidence, &mut found);
            }
        }
    }
    found
}

/// A list of images: YAML with `image` fields or texts, or else words.
fn listing(text: &str, evidence: &ImageEvidence, found: &mut Vec<Mention>) {
    match yaml::parse(text) {
        Ok(value @ (Value::Array(_) | Value::Object(_))) => listed(&value, evidence, 0, found),
        _ => {
            for word in text.split([',', ' ', '\n', '\t']) {
                push(word, evidence, found);
            }
        }
    }
}

fn listed(value: &Value, evidence: &ImageEvidence, depth: usize, found: &mut Vec<Mention>) {
    if depth > MAX_DEPTH {
        return;
    }
    match value {
        Value::Array(items) => {
            for item in items {
                match item {
                    Value::String(text) => push(text, evidence, found),
                    item => listed(item, evidence, depth + 1, found),
                }
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "image" => push(text, evidence, found),
                    // Platforms and the like are lists of words too.
                    Value::Array(items)
                        if key != "images" && items.iter().any(|item| !item.is_object()) => {}
                    value => listed(value, evidence, depth + 1, found),
                }
            }
        }
        _ => {}
    }
}

fn push(word: &str, evidence: &ImageEvidence, found: &mut Vec<Mention>) {
    let word = word.trim().trim_start_matches("- ").trim();
    if word.is_empty() || word.contains("://") {
        return;
    }
    if let Ok(reference) = word.parse::<ImageReference>() {
        found.push(Mention {
            text: word.to_owned(),
            reference,
            certainty: Certainty::Likely,
            evidence: evidence.clone(),
        });
    }
}

/// An image that values name.
pub(crate) struct InValues {
    pub(crate) mention: Mention,
    /// Whether its tag stands in the values, and is not the version of the application.
    pub(crate) has_tag: bool,
}

/// Images that the values of a chart and its subcharts name, in parts or whole.
pub(crate) fn in_values(values: &MergedValues) -> Vec<InValues> {
    let mut look = Look {
        values,
        registry: values
            .values
            .pointer("/global/imageRegistry")
            .and_then(Value::as_str)
            .filter(|registry| !registry.is_empty()),
        found: Vec::new(),
    };
    look.value(&values.values, &mut Vec::new(), "");
    look.found
}

struct Look<'a> {
    values: &'a MergedValues,
    /// Registry that all images are to come from.
    registry: Option<&'a str>,
    found: Vec<InValues>,
}

impl Look<'_> {
    fn value(&mut self, value: &Value, path: &mut Vec<String>, key: &str) {
        if path.len() > MAX_DEPTH {
            return;
        }
        match value {
            Value::Object(map) => {
                let version = self.values.app_version(path);
                if let Some(whole) = parts::of_map(map, key, version) {
                    let reference = match self.registry {
                        Some(registry) => moved(&whole.reference, registry),
                        None => Some((whole.text, whole.reference)),
                    };
                    if let Some((text, reference)) = reference {
                        self.push(text, reference, path, whole.is_pinned);
                    }
                }
                for (key, inner) in map {
                    path.push(key.clone());
                    self.value(inner, path, key);
                    path.pop();
                }
            }
            Value::String(content) if text::is_image_key(key) => {
                for found in text::references(content, "image") {
                    let written = found.text.rsplit('/').next().unwrap_or_default();
                    if found.certainty >= Certainty::Likely && written.contains([':', '@']) {
                        self.push(found.text, found.reference, path, true);
                    }
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, text: String, reference: ImageReference, path: &[String], has_tag: bool) {
        self.found.push(InValues {
            mention: Mention {
                text,
                reference,
                certainty: Certainty::Likely,
                evidence: ImageEvidence {
                    template: "values.yaml".to_owned(),
                    field: path.join("."),
                    found_by: FoundBy::Values,
                    ..ImageEvidence::default()
                },
            },
            has_tag,
        });
    }
}

/// The same image at another registry.
fn moved(reference: &ImageReference, registry: &str) -> Option<(String, ImageReference)> {
    let mut text = format!(
        "{}/{}",
        registry.trim_end_matches('/'),
        reference.repository()
    );
    if let Some(tag) = reference.tag() {
        text.push_str(&format!(":{tag}"));
    }
    if let Some(digest) = reference.digest() {
        text.push_str(&format!("@{digest}"));
    }
    let reference = text.parse().ok()?;
    Some((text, reference))
}
