//! Network policies in words.

use serde_json::Value;

use super::super::{at, items, text, texts};
use super::{PolicyEntry, Workload, of_kind, with_protocol};

/// Every policy, sorted by name.
pub(super) fn policies(objects: &[&Value], workloads: &[Workload<'_>]) -> Vec<PolicyEntry> {
    let mut found: Vec<PolicyEntry> = of_kind(objects, &["NetworkPolicy"])
        .map(|policy| {
            let nothing = Value::Null;
            let selector = at(policy, &["spec", "podSelector"]).unwrap_or(&nothing);
            let namespace = text(policy, &["metadata", "namespace"]);
            let types = texts(policy, &["spec", "policyTypes"]);
            // Without types, ingress is meant, and egress when there are rules for it (Kubernetes API reference).
            let limits = |direction: &str, key: &str| {
                if types.is_empty() {
                    key == "ingress" || at(policy, &["spec", key]).is_some()
                } else {
                    types.iter().any(|name| name == direction)
                }
            };
            let rules = |key: &str, peers: &str, word: &str| -> Vec<String> {
                items(policy, &["spec", key])
                    .iter()
                    .map(|rule| rule_text(rule, peers, word))
                    .collect()
            };
            PolicyEntry {
                name: text(policy, &["metadata", "name"]),
                workloads: workloads
                    .iter()
                    .filter(|workload| {
                        let other = text(workload.object, &["metadata", "namespace"]);
                        other == namespace && selects(selector, &workload.labels)
                    })
                    .map(|workload| workload.name.clone())
                    .collect(),
                ingress: limits("Ingress", "ingress").then(|| rules("ingress", "from", "from")),
                egress: limits("Egress", "egress").then(|| rules("egress", "to", "to")),
            }
        })
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn rule_text(rule: &Value, peers: &str, word: &str) -> String {
    let ports: Vec<String> = items(rule, &["ports"])
        .iter()
        .map(|entry| {
            let port = text(entry, &["port"]);
            let port = if port.is_empty() {
                "any".to_owned()
            } else {
                port
            };
            let end = text(entry, &["endPort"]);
            let port = if end.is_empty() {
                port
            } else {
                format!("{port}-{end}")
            };
            with_protocol(&port, &text(entry, &["protocol"]))
        })
        .collect();
    let ports = match ports.as_slice() {
        [] => "every port".to_owned(),
        ports => format!("port {}", ports.join(", ")),
    };
    let who: Vec<String> = items(rule, &[peers]).iter().map(peer).collect();
    let who = match who.as_slice() {
        [] => "anywhere".to_owned(),
        who => who.join(" or "),
    };
    format!("{ports} {word} {who}")
}

fn peer(peer: &Value) -> String {
    if let Some(block) = at(peer, &["ipBlock"]) {
        let except = texts(block, &["except"]);
        let except = if except.is_empty() {
            String::new()
        } else {
            format!(" except {}", except.join(", "))
        };
        return format!("{}{except}", text(block, &["cidr"]));
    }
    let labels = |key: &str| at(peer, &[key]).map(selector_text);
    match (labels("namespaceSelector"), labels("podSelector")) {
        (None, None) => "nobody".to_owned(),
        (None, Some(pods)) => format!("pods {pods} of the namespace"),
        (Some(spaces), None) => format!("every pod of namespaces {spaces}"),
        (Some(spaces), Some(pods)) => format!("pods {pods} of namespaces {spaces}"),
    }
}

fn selector_text(selector: &Value) -> String {
    let mut parts: Vec<String> = at(selector, &["matchLabels"])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", text(value, &[])))
        .collect();
    for part in items(selector, &["matchExpressions"]) {
        let values = texts(part, &["values"]).join(", ");
        parts.push(
            format!(
                "{} {} {values}",
                text(part, &["key"]),
                text(part, &["operator"])
            )
            .trim_end()
            .to_owned(),
        );
    }
    if parts.is_empty() {
        "of any labels".to_owned()
    } else {
        parts.join(", ")
    }
}

/// Kubernetes' label selectors: `matchLabels` and `matchExpressions`; an empty one selects all.
fn selects(selector: &Value, labels: &Value) -> bool {
    let equal = at(selector, &["matchLabels"])
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .all(|(key, value)| text(labels, &[key]) == text(value, &[]));
    equal
        && items(selector, &["matchExpressions"]).iter().all(|part| {
            let key = text(part, &["key"]);
            let has = at(labels, &[&key]).is_some();
            let among = texts(part, &["values"]).contains(&text(labels, &[&key]));
            match text(part, &["operator"]).as_str() {
                "In" => has && among,
                "NotIn" => !has || !among,
                "Exists" => has,
                "DoesNotExist" => !has,
                _ => false,
            }
        })
}
