//! What in a chart or pod names a place in a network.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Map, Value};

/// Schemes by which programs fetch things.
const SCHEMES: [&str; 8] = [
    "http://",
    "https://",
    "git://",
    "git+ssh://",
    "ssh://",
    "ftp://",
    "oci://",
    "s3://",
];
/// Deepest nesting looked into.
const MAX_DEPTH: usize = 64;

/// Remote documents that a JSON schema refers to.
pub(super) fn remote_references(schema: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut texts_of = Vec::new();
    texts(schema, &mut Vec::new(), &mut texts_of);
    for (path, text) in texts_of {
        let is_reference = path
            .last()
            .is_some_and(|key| key == "$ref" || key == "$dynamicRef");
        if is_reference && SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            found.insert(text.to_owned());
        }
    }
    found
}

/// URLs in command, arguments and environment of a container that lead out of the cluster: scheme and host alone, since the
/// rest may hold a secret.
pub(super) fn in_container(container: &Map<String, Value>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for field in ["command", "args", "env"] {
        let mut inner = Vec::new();
        if let Some(value) = container.get(field) {
            texts(value, &mut Vec::new(), &mut inner);
        }
        for (_, text) in inner {
            found.extend(in_text(text));
        }
    }
    found
}

fn in_text(text: &str) -> impl Iterator<Item = String> + '_ {
    SCHEMES.iter().flat_map(move |scheme| {
        text.match_indices(scheme).filter_map(move |(at, _)| {
            // `ssh://` is the end of `git+ssh://` too.
            let before = text.get(..at)?.chars().next_back();
            if before.is_some_and(|c| c.is_ascii_alphanumeric() || c == '+') {
                return None;
            }
            let rest = text.get(at + scheme.len()..)?;
            let authority = rest
                .split(|c: char| c.is_whitespace() || "/?#\"'`,;|&<>()".contains(c))
                .next()?;
            let host = authority.rsplit('@').next()?;
            leads_out(host).then(|| format!("{scheme}{host}"))
        })
    })
}

/// Whether a host lies outside of the cluster, as far as its name tells.
fn leads_out(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if let Ok(address) = name.parse::<IpAddr>() {
        return match address {
            IpAddr::V4(a) => {
                !(a.is_private() || a.is_loopback() || a.is_link_local() || a.is_unspecified())
            }
            IpAddr::V6(a) => !(a.is_loopback() || a.is_unspecified() || a.is_unique_local()),
        };
    }
    // A variable, or a template of the program's own: what it becomes cannot be seen.
    let is_host = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    let labels: Vec<&str> = name.trim_end_matches('.').split('.').collect();
    let is_of_cluster = labels.contains(&"svc")
        || matches!(
            labels.last(),
            Some(&("local" | "localhost" | "internal" | "invalid" | "test"))
        );
    is_host && labels.len() > 1 && !labels.iter().any(|l| l.is_empty()) && !is_of_cluster
}

/// Every text in a value, with the keys that lead to it.
pub(super) fn texts<'a>(
    value: &'a Value,
    path: &mut Vec<String>,
    found: &mut Vec<(Vec<String>, &'a str)>,
) {
    if path.len() > MAX_DEPTH {
        return;
    }
    match value {
        Value::String(text) => found.push((path.clone(), text)),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                path.push(index.to_string());
                texts(item, path, found);
                path.pop();
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                path.push(key.clone());
                texts(item, path, found);
                path.pop();
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        in_text(text).collect()
    }

    #[test]
    fn urls_that_lead_out_are_named_by_scheme_and_host_alone() {
        assert_eq!(
            found("curl -sSL https://user:secret@get.example.org:8443/x?token=1 | sh"),
            ["https://get.example.org:8443"]
        );
        assert_eq!(
            found("git clone git+ssh://git.example.org/a"),
            ["git+ssh://git.example.org"]
        );
        assert_eq!(
            found("http://a.example.org,http://b.example.org"),
            ["http://a.example.org", "http://b.example.org"]
        );
        assert_eq!(found("http://192.0.2.1/x"), ["http://192.0.2.1"]);
    }

    #[test]
    fn what_stays_within_the_cluster_or_cannot_be_read_is_not_named() {
        for text in [
            "http://web",
            "http://web:8080/healthz",
            "http://web.shop.svc:80",
            "https://kubernetes.default.svc.cluster.local",
            "http://127.0.0.1:9090",
            "http://[::1]:9090",
            "http://10.0.0.1",
            "http://$(HOST).example.org",
            "http://${HOST}/x",
            "no url at all",
        ] {
            assert_eq!(found(text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn a_schema_refers_to_what_is_elsewhere_only_by_reference() {
        let schema = serde_json::json!({
            "$schema": "http://json-schema.org/draft-07/schema#",
            "properties": {
                "a": {"$ref": "#/definitions/a"},
                "b": {"$ref": "https://schemas.example.org/b.json"},
                "c": {"default": "https://example.org"},
            },
        });
        let found: Vec<String> = remote_references(&schema).into_iter().collect();
        assert_eq!(found, ["https://schemas.example.org/b.json"]);
    }
}
