//! Services that workloads are told of.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::{at, items, text, texts};
use super::{Edge, Workload, of_kind, port};

/// Services that stand as a host in what a workload is told.
pub(super) fn call_edges(
    workload: &Workload<'_>,
    workloads: &[Workload<'_>],
    services: &[&Value],
    objects: &[&Value],
    edges: &mut BTreeSet<Edge>,
) {
    let told = told(workload, objects);
    for service in services {
        let name = text(service, &["metadata", "name"]);
        if name.is_empty() || leads_only_to(service, workload, workloads) {
            continue;
        }
        let shown = told.iter().find(|(_, text)| names_host(text, &name));
        if let Some((place, _)) = shown {
            edges.insert(Edge {
                from: workload.name.clone(),
                to: format!("Service/{name}"),
                ports: items(service, &["spec", "ports"])
                    .iter()
                    .map(port)
                    .collect(),
                shown_by: place.clone(),
            });
        }
    }
}

/// Whether a Service leads to this workload alone: members of a cluster name each other.
fn leads_only_to(service: &Value, workload: &Workload<'_>, workloads: &[Workload<'_>]) -> bool {
    let Some(selector) = at(service, &["spec", "selector"]).and_then(Value::as_object) else {
        return false;
    };
    let selected = |workload: &Workload<'_>| {
        !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| text(&workload.labels, &[key]) == text(value, &[]))
    };
    selected(workload)
        && workloads
            .iter()
            .all(|other| other.name == workload.name || !selected(other))
}

/// Texts a workload is told, with the place.
fn told(workload: &Workload<'_>, objects: &[&Value]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut maps: BTreeSet<String> = BTreeSet::new();
    for list in ["initContainers", "containers"] {
        for container in items(&workload.spec, &[list]) {
            let name = text(container, &["name"]);
            for entry in items(container, &["env"]) {
                let key = text(entry, &["name"]);
                found.push((format!("env {key} of {name}"), text(entry, &["value"])));
                maps.insert(text(entry, &["valueFrom", "configMapKeyRef", "name"]));
            }
            for entry in items(container, &["envFrom"]) {
                maps.insert(text(entry, &["configMapRef", "name"]));
            }
            for key in ["command", "args"] {
                for word in texts(container, &[key]) {
                    found.push((format!("{key} of {name}"), word));
                }
            }
        }
    }
    for volume in items(&workload.spec, &["volumes"]) {
        maps.insert(text(volume, &["configMap", "name"]));
        for source in items(volume, &["projected", "sources"]) {
            maps.insert(text(source, &["configMap", "name"]));
        }
    }
    maps.remove("");
    for map in of_kind(objects, &["ConfigMap"]) {
        let name = text(map, &["metadata", "name"]);
        if maps.contains(&name) {
            let data = at(map, &["data"]).and_then(Value::as_object);
            for (key, value) in data.into_iter().flatten() {
                found.push((format!("{key} of ConfigMap {name}"), text(value, &[])));
            }
        }
    }
    found
}

/// Whether a text names a Service as a host. In a single word the bare name will do; elsewhere something must
/// show that a host is meant: a scheme or `@` before it, a port or the cluster's domain behind it.
fn names_host(text: &str, service: &str) -> bool {
    let single = !text.trim().contains(char::is_whitespace);
    let part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    text.match_indices(service).any(|(start, _)| {
        let before = text.get(..start).unwrap_or_default();
        let after = text.get(start + service.len()..).unwrap_or_default();
        if before.ends_with(part) || before.ends_with('.') || after.starts_with(part) {
            return false;
        }
        let after_port = after
            .strip_prefix(':')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        let domain = after.strip_prefix('.').is_some_and(|rest| {
            let mut labels = rest
                .split(|c: char| !part(c) && c != '.')
                .next()
                .unwrap_or("")
                .split('.');
            labels.next() == Some("svc") || labels.next() == Some("svc")
        });
        let scheme = before.ends_with("://") || before.ends_with('@');
        let alone = before.is_empty() || before.ends_with(['=', ',', ' ', '"', '\'']);
        let ends = after.is_empty() || after.starts_with([',', '/', ' ', '"', '\'']);
        let dotted_on = after.starts_with('.') && !domain;
        if dotted_on {
            return false;
        }
        after_port || domain || scheme || (single && alone && ends)
    })
}
