//! Which parts of a template may name an image.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::ValuePath;
use super::effective::Effective;

/// A word with `image` in it, and what follows it.
static IMAGE_WORD: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r#"(?i)([\w.-]*image[\w-]*)(.{0,3})"#).ok());
/// `host.tld/path:tag` or `…@sha256:`.
static REFERENCE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?/[a-z0-9][a-z0-9._/-]*(?::\w|@sha256:)").ok()
});

/// Deepest nesting of values looked into.
const MAX_DEPTH: usize = 12;

/// Whether a text of a template, or of the values, may name an image. Settings of pulls and of metrics queries do not.
pub(super) fn in_text(text: &str) -> bool {
    let words = IMAGE_WORD.as_ref();
    let named = words.is_none_or(|pattern| {
        pattern.captures_iter(text).any(|found| {
            let part = |index| found.get(index).map_or("", |m| m.as_str());
            is_image_word(part(1)) && !is_query(part(2))
        })
    });
    named
        || REFERENCE
            .as_ref()
            .is_none_or(|pattern| pattern.is_match(text))
}

fn is_image_word(word: &str) -> bool {
    let lower = word.to_ascii_lowercase();
    !lower.starts_with("imagepull") && !lower.ends_with("imagepullsecrets")
}

/// `image!=""` and `image=~"…"` select series in queries.
fn is_query(after: &str) -> bool {
    ["!=", "=~", "=\"", "=\\\""]
        .iter()
        .any(|start| after.starts_with(start))
}

/// Whether a key may be that of an image or of a part of its name.
fn is_image_key(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    (lower.contains("image") && is_image_word(&lower))
        || ["repository", "registry", "digest"].contains(&lower.as_str())
}

/// Whether what is printed of a path may be an image, or hold one.
pub(super) fn in_value(path: &ValuePath, effective: &Effective<'_>) -> bool {
    let value = effective.get(path);
    match value {
        Some(Value::Bool(_) | Value::Number(_)) => false,
        Some(value) if !is_empty(value) => {
            path.keys()
                .iter()
                .rev()
                .take(3)
                .any(|key| is_image_key(key))
                || holds_image(value, 0)
        }
        // Nothing is there now, and what a user may put there is up to the user.
        _ => path.keys().last().is_some_and(|key| is_image_key(key)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

fn holds_image(value: &Value, depth: usize) -> bool {
    if depth > MAX_DEPTH {
        return true;
    }
    match value {
        Value::String(text) => in_text(text),
        Value::Array(items) => items.iter().any(|item| holds_image(item, depth + 1)),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| is_image_key(key) || holds_image(value, depth + 1)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_from_pulls_and_queries() {
        for text in [
            "image: x",
            "  sidecarImage: ",
            "--config-reloader-image=",
            "\"image\":",
            "quay.io/a/b:v1",
        ] {
            assert!(in_text(text), "{text}");
        }
        for text in [
            "imagePullPolicy: Always",
            "imagePullSecrets:",
            "x{image!=\"\"}",
            "https://a.example/b",
            "kind: Pod",
        ] {
            assert!(!in_text(text), "{text}");
        }
    }
}
