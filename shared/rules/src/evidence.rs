//! Image facts and digests, by the references a chart renders.

use std::collections::BTreeMap;

use quench_model::{Digest, FactsFile, FactsSource, ImageFacts, ImageReference};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What is known about the images of a chart. It becomes part of the chart's library, so that it decides for
/// every set of values: an image that is not in here is one that nothing is known about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Evidence {
    /// Facts and digest by every way the image's reference can be written.
    images: BTreeMap<String, Value>,
    /// Digest by every way the image's reference can be written.
    pins: BTreeMap<String, Pin>,
    /// Facts that stand for any other image.
    any: Option<Value>,
}

/// What an image's reference is replaced by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Registry the image comes from.
    pub registry: String,
    /// Repository within the registry.
    pub repository: String,
    /// Tag with its colon, or nothing. Kept for people; the digest decides.
    pub tag: String,
    /// Digest.
    pub digest: Digest,
}

impl Pin {
    /// The reference to put in, at another registry if one is given.
    pub fn reference(&self, registry: Option<&str>) -> String {
        let registry = registry.unwrap_or(&self.registry).trim_end_matches('/');
        format!("{registry}/{}{}@{}", self.repository, self.tag, self.digest)
    }
}

impl Evidence {
    /// Facts a user states for images that are not fetched. There are no digests then.
    pub fn from_facts_file(file: &FactsFile) -> Self {
        let mut evidence = Self::default();
        evidence.state_facts(file);
        evidence
    }

    /// Adds facts a user states. What was read from an image before stays: it needs no stand-in.
    pub fn state_facts(&mut self, file: &FactsFile) {
        for (reference, facts) in &file.images {
            let mut facts = facts.clone();
            facts.source = Some(FactsSource::File);
            let value = facts_value(&facts);
            if reference == "*" {
                self.any = Some(value);
                continue;
            }
            let mut written = vec![reference.clone()];
            if let Ok(parsed) = reference.parse::<ImageReference>() {
                written.extend(spellings(&parsed));
                if let Some(digest) = &facts.digest {
                    let pin = pin(&parsed, digest);
                    for spelling in every_spelling(&parsed, std::slice::from_ref(reference), digest)
                    {
                        self.pins.entry(spelling).or_insert_with(|| pin.clone());
                    }
                }
            }
            for spelling in written {
                self.images.entry(spelling).or_insert_with(|| value.clone());
            }
        }
    }

    /// Adds what was read from an image. `rendered` are further ways in which the chart writes its reference.
    pub fn add_facts(
        &mut self,
        reference: &ImageReference,
        rendered: &[String],
        digest: &Digest,
        facts: &ImageFacts,
    ) {
        let value = facts_value(facts);
        for spelling in every_spelling(reference, rendered, digest) {
            self.images.insert(spelling, value.clone());
        }
    }

    /// Adds the digest of an image. `rendered` are further ways in which the chart writes its reference.
    pub fn add_digest(&mut self, reference: &ImageReference, rendered: &[String], digest: &Digest) {
        let pin = pin(reference, digest);
        for spelling in every_spelling(reference, rendered, digest) {
            self.pins.insert(spelling, pin.clone());
        }
    }

    /// Facts of an image, as a chart renders its reference.
    pub(crate) fn facts(&self, rendered: &str) -> Option<&Value> {
        self.images.get(rendered).or(self.any.as_ref())
    }

    /// Digest of an image, as a chart renders its reference.
    pub(crate) fn digest(&self, rendered: &str) -> Option<&Pin> {
        self.pins.get(rendered)
    }

    /// Every way to write a reference of the package, and what it is replaced by.
    pub(crate) fn pins(&self) -> impl Iterator<Item = (&str, &Pin)> {
        self.pins
            .iter()
            .map(|(spelling, pin)| (spelling.as_str(), pin))
    }

    /// Whether nothing is known of any image.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty() && self.pins.is_empty() && self.any.is_none()
    }

    /// The form in which templates read it. Spellings of one image share one entry, since release Secrets are small.
    pub(crate) fn to_json(&self) -> Value {
        let mut entries: Vec<Value> = Vec::new();
        let mut number = |value: Value| match entries.iter().position(|entry| *entry == value) {
            Some(position) => position,
            None => {
                entries.push(value);
                entries.len() - 1
            }
        };
        let mut table = |name: &str, values: Vec<(&String, Value)>| {
            let numbers: serde_json::Map<String, Value> = values
                .into_iter()
                .map(|(key, value)| (key.clone(), number(value).to_string().into()))
                .collect();
            (name.to_owned(), Value::Object(numbers))
        };
        let images = table(
            "images",
            self.images.iter().map(|(k, v)| (k, v.clone())).collect(),
        );
        let pins = table(
            "pins",
            self.pins.iter().map(|(k, v)| (k, json!(v))).collect(),
        );
        let entries: serde_json::Map<String, Value> = entries
            .into_iter()
            .enumerate()
            .map(|(index, entry)| (index.to_string(), entry))
            .collect();
        let mut all = serde_json::Map::from_iter([images, pins]);
        all.insert("entries".to_owned(), Value::Object(entries));
        all.insert("any".to_owned(), self.any.clone().unwrap_or(Value::Null));
        Value::Object(all)
    }
}

impl Evidence {
    /// Reads what [`Evidence::to_json`] wrote; nothing when it is of another form.
    pub(crate) fn from_json(value: &Value) -> Option<Self> {
        let entry = |number: &Value| value.get("entries")?.get(number.as_str()?);
        let table = |name: &str| value.get(name)?.as_object();
        let mut evidence = Self {
            any: value.get("any").filter(|any| !any.is_null()).cloned(),
            ..Self::default()
        };
        for (spelling, number) in table("images")? {
            let facts = entry(number)?.clone();
            evidence.images.insert(spelling.clone(), facts);
        }
        for (spelling, number) in table("pins")? {
            let pin = serde_json::from_value(entry(number)?.clone()).ok()?;
            evidence.pins.insert(spelling.clone(), pin);
        }
        Some(evidence)
    }
}

fn pin(reference: &ImageReference, digest: &Digest) -> Pin {
    Pin {
        registry: reference.registry().to_owned(),
        repository: reference.repository().to_owned(),
        tag: reference
            .tag()
            .map(|tag| format!(":{tag}"))
            .unwrap_or_default(),
        digest: digest.clone(),
    }
}

/// Every way in which a chart may write a reference, the hardened chart included.
fn every_spelling(reference: &ImageReference, rendered: &[String], digest: &Digest) -> Vec<String> {
    let mut found = spellings(reference);
    found.extend(rendered.iter().cloned());
    found.push(pin(reference, digest).reference(None));
    found.push(format!("{}@{digest}", reference.name()));
    found
}

/// Facts as the rule language reads them: writable paths always with `path`, `copyUp` and a name for their volume.
fn facts_value(facts: &ImageFacts) -> Value {
    let mut value = serde_json::to_value(facts).unwrap_or_default();
    if let Some(map) = value.as_object_mut() {
        map.shift_remove("digest");
    }
    if let (Some(paths), Some(map)) = (&facts.writable, value.as_object_mut()) {
        let paths = paths
            .iter()
            .filter(|path| is_mountable(path.path()))
            .map(|path| {
                let bare = path.path().trim_end_matches('/');
                json!({"path": bare, "copyUp": path.copy_up(), "slug": slug(bare)})
            })
            .collect();
        map.insert("writable".to_owned(), Value::Array(paths));
    }
    value
}

/// What Kubernetes accepts as a `mountPath`, and what a template can carry: absolute, no colon, no `..`.
fn is_mountable(path: &str) -> bool {
    path.len() > 1
        && path.len() <= 1024
        && path.starts_with('/')
        && !path.contains(':')
        && !path.chars().any(char::is_control)
        && !path.split('/').any(|part| part == "..")
        && !path.trim_end_matches('/').is_empty()
}

/// A path as part of a volume's name.
fn slug(path: &str) -> String {
    let mut text = String::new();
    for c in path.chars() {
        match c {
            'a'..='z' | '0'..='9' => text.push(c),
            'A'..='Z' => text.push(c.to_ascii_lowercase()),
            _ if text.ends_with('-') || text.is_empty() => {}
            _ => text.push('-'),
        }
        if text.len() >= 40 {
            break;
        }
    }
    text.trim_matches('-').to_owned()
}

/// Every way in which a chart may write a reference.
fn spellings(reference: &ImageReference) -> Vec<String> {
    let mut names = vec![reference.name()];
    if reference.registry() == "docker.io" {
        let repository = reference.repository();
        names.push(repository.to_owned());
        names.push(format!("index.docker.io/{repository}"));
        names.push(format!("registry-1.docker.io/{repository}"));
        if let Some(official) = repository.strip_prefix("library/") {
            names.push(official.to_owned());
            names.push(format!("docker.io/{official}"));
        }
    }
    let mut found = Vec::new();
    for name in names {
        let digest = reference
            .digest()
            .map(|digest| format!("@{digest}"))
            .unwrap_or_default();
        match reference.tag() {
            Some(tag) => {
                found.push(format!("{name}:{tag}{digest}"));
                if tag == "latest" && digest.is_empty() {
                    found.push(name.clone());
                }
            }
            None => found.push(format!("{name}{digest}")),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use quench_model::WritablePath;

    #[test]
    fn an_image_is_known_under_every_spelling_and_its_digest() {
        let mut evidence = Evidence::default();
        let digest = Digest::of(b"x");
        evidence.add_digest(&"nginx".parse().unwrap(), &[], &digest);
        for spelling in [
            "nginx",
            "nginx:latest",
            "library/nginx:latest",
            "docker.io/nginx",
            "docker.io/library/nginx:latest",
            "index.docker.io/library/nginx",
        ] {
            let pin = evidence
                .digest(spelling)
                .unwrap_or_else(|| panic!("{spelling}"));
            assert_eq!(
                pin.reference(None),
                format!("docker.io/library/nginx:latest@{digest}")
            );
        }
        let pinned = format!("docker.io/library/nginx:latest@{digest}");
        assert!(evidence.digest(&pinned).is_some());
        assert!(evidence.digest("nginx:1.27").is_none());
        let pin = evidence.digest("nginx").unwrap();
        assert_eq!(
            pin.reference(Some("registry.internal/quench/")),
            format!("registry.internal/quench/library/nginx:latest@{digest}")
        );
    }

    #[test]
    fn paths_that_cannot_be_mounted_are_left_out() {
        let facts = ImageFacts {
            writable: Some(
                ["/tmp/", "/", "relative", "/a/../b", "/a:b", "/var/Cache_x"]
                    .map(|path| WritablePath::Plain(path.to_owned()))
                    .to_vec(),
            ),
            ..ImageFacts::default()
        };
        assert_eq!(
            facts_value(&facts)["writable"],
            json!([
                {"path": "/tmp", "copyUp": false, "slug": "tmp"},
                {"path": "/var/Cache_x", "copyUp": false, "slug": "var-cache-x"}
            ])
        );
    }
}
