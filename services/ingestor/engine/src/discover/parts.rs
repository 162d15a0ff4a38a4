//! References that are written in parts: `{registry, repository, tag}` in a map, or `X_REPOSITORY` beside `X_TAG`.

use std::collections::BTreeMap;

use quench_model::{Digest, ImageReference};
use serde_json::{Map, Value};

/// A reference put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) text: String,
    pub(crate) reference: ImageReference,
    /// Whether a tag or digest was among the parts.
    pub(crate) is_pinned: bool,
    /// Whether the parts can be nothing else: a repository with a tag, digest or registry beside it, and no key that speaks of a
    /// chart or a source repository.
    pub(crate) is_clear: bool,
}

/// Names a part goes by, the most telling first.
const REPOSITORY: [&str; 3] = ["repository", "repo", "image"];
const REGISTRY: [&str; 3] = ["registry", "hub", "imageregistry"];
const TAG: [&str; 3] = ["tag", "imagetag", "version"];
const DIGEST: [&str; 3] = ["digest", "sha", "imagedigest"];

/// The reference that a map is the parts of. `key` is the map's own name; `default_tag` stands in for an empty tag.
pub(crate) fn of_map(
    map: &Map<String, Value>,
    key: &str,
    default_tag: Option<&str>,
) -> Option<Whole> {
    let parts: BTreeMap<String, String> = map
        .iter()
        .filter_map(|(name, value)| Some((plain(name), scalar(value)?)))
        .collect();
    let says_image = super::text::is_image_key(key);
    let names: &[&str] = if says_image {
        &["repository", "repo", "image", "name"]
    } else {
        &REPOSITORY
    };
    let get = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| parts.get(*name))
            .filter(|text| !text.is_empty())
    };
    let has = |names: &[&str]| names.iter().any(|name| parts.contains_key(*name));
    let repository = get(names)?;
    let pinned = has(&TAG[..2]) || has(&DIGEST) || says_image && has(&TAG);
    if !(pinned || has(&REGISTRY)) {
        return None;
    }
    // A chart or a source repository has these beside it.
    let is_other = ["chart", "url", "branch", "revision", "path", "giturl"]
        .iter()
        .any(|name| parts.contains_key(*name));
    let tag = if says_image {
        get(&TAG)
    } else {
        get(&TAG[..2])
    };
    let mut whole = join(
        get(&REGISTRY).map(String::as_str),
        repository,
        tag.map(String::as_str).or(default_tag),
        get(&DIGEST).map(String::as_str),
    )?;
    whole.is_clear = !is_other && (whole.is_pinned || has(&REGISTRY));
    whole.is_pinned =
        tag.is_some() || get(&DIGEST).is_some() || whole.is_pinned && default_tag.is_none();
    Some(whole)
}

/// References whose parts are named by a common beginning: `SIDECAR_IMAGE_REPOSITORY`, `SIDECAR_IMAGE_TAG`. With the beginning
/// of each.
pub(crate) fn of_names<'a>(
    entries: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<(String, Whole)> {
    let mut groups: BTreeMap<String, BTreeMap<&str, &str>> = BTreeMap::new();
    for (name, value) in entries {
        let lower = name.to_ascii_lowercase();
        for part in [
            "repository",
            "repo",
            "registry",
            "tag",
            "version",
            "digest",
            "name",
            "",
        ] {
            let Some(start) = lower.strip_suffix(part) else {
                continue;
            };
            let start = start.trim_end_matches(['_', '-', '.']);
            if start.len() < lower.len() || part.is_empty() {
                groups
                    .entry(start.to_owned())
                    .or_default()
                    .insert(part, value.trim());
                break;
            }
        }
    }
    let mut found = Vec::new();
    for (start, parts) in groups {
        let says_image = start.contains("image");
        let get = |name: &str| parts.get(name).copied().filter(|text| !text.is_empty());
        let repository = get("repository").or(get("repo")).or(if says_image {
            get("name").or(get(""))
        } else {
            None
        });
        let tag = get("tag").or(if says_image { get("version") } else { None });
        let Some(repository) = repository else {
            continue;
        };
        if tag.is_none() && get("digest").is_none() && get("registry").is_none() {
            continue;
        }
        if let Some(whole) = join(get("registry"), repository, tag, get("digest")) {
            found.push((start, whole));
        }
    }
    found
}

/// A key without what only separates words.
fn plain(key: &str) -> String {
    key.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Null => Some(String::new()),
        _ => None,
    }
}

fn join(
    registry: Option<&str>,
    repository: &str,
    tag: Option<&str>,
    digest: Option<&str>,
) -> Option<Whole> {
    if repository.contains("://") || repository.contains("{{") {
        return None;
    }
    let mut text = String::new();
    if let Some(registry) = registry.map(|registry| registry.trim_end_matches('/')) {
        // Some charts write the registry into the repository as well.
        if !repository.starts_with(&format!("{registry}/")) {
            text.push_str(registry);
            text.push('/');
        }
    }
    text.push_str(repository);
    let last = repository.rsplit('/').next().unwrap_or(repository);
    let own = last.contains(':') || last.contains('@');
    let mut is_pinned = own;
    if let (false, Some(tag)) = (own, tag) {
        match tag.split_once('@') {
            // `tag: v1@sha256:…` and `tag: sha256:…` are usual.
            Some((tag, digest)) => text.push_str(&format!(":{tag}@{digest}")),
            None if tag.starts_with("sha256:") => text.push_str(&format!("@{tag}")),
            None => text.push_str(&format!(":{tag}")),
        }
        is_pinned = true;
    }
    if let (false, Some(digest)) = (text.contains('@'), digest) {
        let digest = match digest.parse::<Digest>() {
            Ok(digest) => digest.to_string(),
            Err(_) => format!("sha256:{digest}")
                .parse::<Digest>()
                .ok()?
                .to_string(),
        };
        text.push_str(&format!("@{digest}"));
        is_pinned = true;
    }
    let reference = text.parse().ok()?;
    Some(Whole {
        text,
        reference,
        is_pinned,
        is_clear: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn whole(map: &Value, key: &str) -> Option<String> {
        of_map(map.as_object().unwrap(), key, Some("9.9")).map(|whole| whole.text)
    }

    #[test]
    fn maps_are_put_together() {
        let digest = "b".repeat(64);
        for (map, key, expected) in [
            (
                json!({"registry": "quay.io", "repository": "a/b", "tag": "1"}),
                "image",
                "quay.io/a/b:1",
            ),
            (json!({"repository": "a/b", "tag": 7}), "sidecar", "a/b:7"),
            (
                json!({"repository": "quay.io/a/b", "tag": ""}),
                "image",
                "quay.io/a/b:9.9",
            ),
            (
                json!({"repository": "a/b", "tag": "1", "sha": digest.as_str()}),
                "image",
                &format!("a/b:1@sha256:{digest}"),
            ),
            (
                json!({"repository": "a/b", "digest": format!("sha256:{digest}")}),
                "x",
                &format!("a/b:9.9@sha256:{digest}"),
            ),
            (json!({"name": "a/b", "version": "2"}), "baseImage", "a/b:2"),
            (
                json!({"registry": "quay.io", "image": "a/b", "tag": "v1"}),
                "kubectl",
                "quay.io/a/b:v1",
            ),
        ] {
            assert_eq!(whole(&map, key).as_deref(), Some(expected), "{map}");
        }
        for (map, key) in [
            (
                json!({"repository": "https://charts.example.org", "version": "1"}),
                "chart",
            ),
            (json!({"repository": "a/b"}), "git"),
            (json!({"name": "web", "version": "1"}), "app"),
            (json!({"repository": "", "tag": "1"}), "image"),
        ] {
            assert_eq!(whole(&map, key), None, "{map}");
        }
    }

    #[test]
    fn names_with_a_common_beginning_are_put_together() {
        let found = of_names([
            ("SIDECAR_IMAGE_REPOSITORY", "quay.io/a/b"),
            ("SIDECAR_IMAGE_TAG", "v1"),
            ("PROXY_IMAGE", "envoy/envoy"),
            ("PROXY_IMAGE_VERSION", "1.30"),
            ("APP_NAME", "web"),
            ("APP_VERSION", "1"),
        ]);
        let texts: Vec<_> = found.iter().map(|(_, whole)| whole.text.as_str()).collect();
        assert_eq!(texts, ["envoy/envoy:1.30", "quay.io/a/b:v1"]);
    }
}
