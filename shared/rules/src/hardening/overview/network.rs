//! Who talks to whom, as far as the objects show it.
//!
//! Services lead to the pods they select, ingresses and routes to Services, webhooks and API services from the API server to
//! Services. That a workload calls a Service is read from its environment, arguments and ConfigMaps, where the Service
//! stands as a host; what a program calls without being told is not seen.

mod calls;
mod policies;

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::workload;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::permissions::Account;
use super::{at, items, name_of, text, texts};

use calls::call_edges;
use policies::policies;

/// Who talks to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Network {
    /// Those who talk.
    pub nodes: Vec<Node>,
    /// What they say to whom.
    pub edges: Vec<Edge>,
    /// Network policies, and whom they are for.
    pub policies: Vec<PolicyEntry>,
}

/// One who talks, or is talked to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// `Kind/name`; for what is not of the chart, what it is.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Who may reach it, for workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Exposure>,
    /// Whom it may reach, for workloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Exposure>,
}

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeKind {
    /// Not of the chart.
    Outside,
    /// An ingress or route.
    Entry,
    /// A Service.
    Service,
    /// An object with pods.
    Workload,
}

/// Whether network policies of the chart limit a workload in one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exposure {
    /// No policy of the chart: everything is let through, unless the cluster has policies of its own.
    Open,
    /// Only what a policy names.
    Limited,
    /// A policy names nothing: nothing is let through.
    Closed,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// Name of the node that connects.
    pub from: String,
    /// Name of the node connected to.
    pub to: String,
    /// Ports, as `80` or `80/UDP`; empty where they are not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<String>,
    /// Field or object that shows it.
    pub shown_by: String,
}

/// A network policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyEntry {
    /// Its name.
    pub name: String,
    /// Workloads it selects.
    pub workloads: Vec<String>,
    /// What it lets in, one line a rule; none when it does not limit that direction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ingress: Option<Vec<String>>,
    /// What it lets out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub egress: Option<Vec<String>>,
}

/// Clients that are not of the chart.
const CLIENTS: &str = "clients outside the cluster";
/// The API server.
const API_SERVER: &str = "Kubernetes API";

struct Workload<'v> {
    name: String,
    labels: Value,
    spec: Value,
    object: &'v Value,
}

/// Reads objects; what is found is sorted.
pub(super) fn read(objects: &[&Value], accounts: &[Account]) -> Network {
    let workloads: Vec<Workload<'_>> = objects
        .iter()
        .filter_map(|object| {
            let pod = workload::pod(object)?;
            Some(Workload {
                name: name_of(object),
                labels: pod
                    .metadata
                    .and_then(|metadata| metadata.get("labels"))
                    .cloned()
                    .unwrap_or_default(),
                spec: Value::Object(pod.spec.clone()),
                object,
            })
        })
        .collect();
    let services: Vec<&Value> = of_kind(objects, &["Service"]).collect();
    let mut edges = BTreeSet::new();
    for service in &services {
        service_edges(service, &workloads, &mut edges);
    }
    entry_edges(objects, &mut edges);
    api_edges(objects, accounts, &mut edges);
    host_edges(&workloads, &mut edges);
    for workload in &workloads {
        call_edges(workload, &workloads, &services, objects, &mut edges);
    }
    let policies = policies(objects, &workloads);
    Network {
        nodes: nodes(&workloads, &edges, &policies),
        edges: edges.into_iter().collect(),
        policies,
    }
}

fn of_kind<'v>(objects: &'v [&'v Value], kinds: &'v [&'v str]) -> impl Iterator<Item = &'v Value> {
    objects
        .iter()
        .copied()
        .filter(move |object| kinds.contains(&text(object, &["kind"]).as_str()))
}

fn service_edges(service: &Value, workloads: &[Workload<'_>], edges: &mut BTreeSet<Edge>) {
    let name = name_of(service);
    let ports: Vec<String> = items(service, &["spec", "ports"])
        .iter()
        .map(port)
        .collect();
    let kind = text(service, &["spec", "type"]);
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        edges.insert(Edge {
            from: CLIENTS.to_owned(),
            to: name.clone(),
            ports: ports.clone(),
            shown_by: format!("Service of type {kind}"),
        });
    }
    if kind == "ExternalName" {
        edges.insert(Edge {
            from: name,
            to: text(service, &["spec", "externalName"]),
            ports,
            shown_by: "Service of type ExternalName".to_owned(),
        });
        return;
    }
    let Some(selector) = at(service, &["spec", "selector"]).and_then(Value::as_object) else {
        return;
    };
    for workload in workloads {
        let selected = !selector.is_empty()
            && selector
                .iter()
                .all(|(key, value)| text(&workload.labels, &[key]) == text(value, &[]));
        if selected {
            let targets = items(service, &["spec", "ports"]).iter().map(|entry| {
                let target = text(entry, &["targetPort"]);
                let target = if target.is_empty() {
                    text(entry, &["port"])
                } else {
                    target
                };
                with_protocol(&target, &text(entry, &["protocol"]))
            });
            edges.insert(Edge {
                from: name.clone(),
                to: workload.name.clone(),
                ports: targets.collect(),
                shown_by: "the Service's selector".to_owned(),
            });
        }
    }
}

fn port(entry: &Value) -> String {
    with_protocol(&text(entry, &["port"]), &text(entry, &["protocol"]))
}

fn with_protocol(port: &str, protocol: &str) -> String {
    match protocol {
        "" | "TCP" => port.to_owned(),
        protocol => format!("{port}/{protocol}"),
    }
}

/// Ingresses, routes of the Gateway API, and OpenShift's routes.
fn entry_edges(objects: &[&Value], edges: &mut BTreeSet<Edge>) {
    let kinds = [
        "Ingress",
        "HTTPRoute",
        "GRPCRoute",
        "TLSRoute",
        "TCPRoute",
        "UDPRoute",
        "Route",
    ];
    for entry in of_kind(objects, &kinds) {
        let name = name_of(entry);
        let mut backends: Vec<(String, String, String)> = Vec::new();
        let mut hosts = texts(entry, &["spec", "hostnames"]);
        hosts.extend(Some(text(entry, &["spec", "host"])).filter(|host| !host.is_empty()));
        let backend = |at: &Value| {
            let service = [&["service", "name"][..], &["serviceName"][..]];
            let port = [
                &["service", "port", "number"][..],
                &["service", "port", "name"][..],
                &["servicePort"][..],
            ];
            let first = |paths: &[&[&str]]| {
                paths
                    .iter()
                    .map(|path| text(at, path))
                    .find(|text| !text.is_empty())
                    .unwrap_or_default()
            };
            (first(&service), first(&port))
        };
        for key in ["defaultBackend", "backend"] {
            if let Some(default) = at(entry, &["spec", key]) {
                let (service, port) = backend(default);
                backends.push((service, port, "default backend".to_owned()));
            }
        }
        for rule in items(entry, &["spec", "rules"]) {
            let host = text(rule, &["host"]);
            for path in items(rule, &["http", "paths"]) {
                if let Some(target) = at(path, &["backend"]) {
                    let (service, port) = backend(target);
                    backends.push((service, port, format!("{host}{}", text(path, &["path"]))));
                }
            }
            hosts.extend(Some(host).filter(|host| !host.is_empty()));
            for target in items(rule, &["backendRefs"]) {
                let (service, port) = (text(target, &["name"]), text(target, &["port"]));
                backends.push((service, port, "backendRefs".to_owned()));
            }
        }
        if text(entry, &["spec", "to", "kind"]) == "Service" {
            let port = text(entry, &["spec", "port", "targetPort"]);
            backends.push((text(entry, &["spec", "to", "name"]), port, "to".to_owned()));
        }
        hosts.sort();
        hosts.dedup();
        let tls = !items(entry, &["spec", "tls"]).is_empty()
            || at(entry, &["spec", "tls", "termination"]).is_some();
        edges.insert(Edge {
            from: CLIENTS.to_owned(),
            to: name.clone(),
            ports: vec![if tls { "HTTPS" } else { "HTTP" }.to_owned()],
            shown_by: match hosts.as_slice() {
                [] => "any host".to_owned(),
                hosts => format!("hosts {}", hosts.join(", ")),
            },
        });
        for (service, port, shown_by) in backends {
            if !service.is_empty() {
                edges.insert(Edge {
                    from: name.clone(),
                    to: format!("Service/{service}"),
                    ports: Some(port)
                        .into_iter()
                        .filter(|port| !port.is_empty())
                        .collect(),
                    shown_by,
                });
            }
        }
    }
}

/// To and from the API server: tokens that were given rights, webhooks, API services.
fn api_edges(objects: &[&Value], accounts: &[Account], edges: &mut BTreeSet<Edge>) {
    for account in accounts.iter().filter(|account| account.bound) {
        for workload in &account.with_token {
            edges.insert(Edge {
                from: workload.clone(),
                to: API_SERVER.to_owned(),
                ports: vec!["443".to_owned()],
                shown_by: format!(
                    "{} is bound to a role, and its token is mounted",
                    account.name
                ),
            });
        }
    }
    let webhooks = [
        "ValidatingWebhookConfiguration",
        "MutatingWebhookConfiguration",
    ];
    for hook in of_kind(objects, &webhooks) {
        for entry in items(hook, &["webhooks"]) {
            from_api(hook, at(entry, &["clientConfig", "service"]), edges);
        }
    }
    for service in of_kind(objects, &["APIService"]) {
        from_api(service, at(service, &["spec", "service"]), edges);
    }
    for definition in of_kind(objects, &["CustomResourceDefinition"]) {
        let path = ["spec", "conversion", "webhook", "clientConfig", "service"];
        from_api(definition, at(definition, &path), edges);
    }
}

fn from_api(object: &Value, service: Option<&Value>, edges: &mut BTreeSet<Edge>) {
    let Some(service) = service else {
        return;
    };
    let port = text(service, &["port"]);
    edges.insert(Edge {
        from: API_SERVER.to_owned(),
        to: format!("Service/{}", text(service, &["name"])),
        ports: vec![if port.is_empty() {
            "443".to_owned()
        } else {
            port
        }],
        shown_by: name_of(object),
    });
}

/// Ports of the node.
fn host_edges(workloads: &[Workload<'_>], edges: &mut BTreeSet<Edge>) {
    for workload in workloads {
        let host = at(&workload.spec, &["hostNetwork"]) == Some(&Value::Bool(true));
        let mut ports = Vec::new();
        for container in items(&workload.spec, &["containers"]) {
            for entry in items(container, &["ports"]) {
                let taken = text(entry, &["hostPort"]);
                let number = match taken.as_str() {
                    "" | "0" if host => text(entry, &["containerPort"]),
                    "" | "0" => continue,
                    _ => taken,
                };
                ports.push(with_protocol(&number, &text(entry, &["protocol"])));
            }
        }
        if host || !ports.is_empty() {
            edges.insert(Edge {
                from: CLIENTS.to_owned(),
                to: workload.name.clone(),
                ports,
                shown_by: if host {
                    "it is in the node's network"
                } else {
                    "it takes ports of the node"
                }
                .to_owned(),
            });
        }
    }
}

fn nodes(
    workloads: &[Workload<'_>],
    edges: &BTreeSet<Edge>,
    policies: &[PolicyEntry],
) -> Vec<Node> {
    let mut nodes: BTreeMap<(NodeKind, String), Node> = BTreeMap::new();
    for workload in workloads {
        let exposure = |rules: &dyn Fn(&PolicyEntry) -> Option<&Vec<String>>| {
            let limits: Vec<&Vec<String>> = policies
                .iter()
                .filter(|policy| policy.workloads.contains(&workload.name))
                .filter_map(rules)
                .collect();
            match limits.as_slice() {
                [] => Exposure::Open,
                limits if limits.iter().all(|rules| rules.is_empty()) => Exposure::Closed,
                _ => Exposure::Limited,
            }
        };
        let node = Node {
            name: workload.name.clone(),
            kind: NodeKind::Workload,
            ingress: Some(exposure(&|policy| policy.ingress.as_ref())),
            egress: Some(exposure(&|policy| policy.egress.as_ref())),
        };
        nodes.insert((node.kind, node.name.clone()), node);
    }
    let known: BTreeSet<String> = nodes.keys().map(|(_, name)| name.clone()).collect();
    for edge in edges {
        for name in [&edge.from, &edge.to] {
            if known.contains(name) {
                continue;
            }
            let kind = match name.split_once('/') {
                Some(("Service", _)) => NodeKind::Service,
                Some((kind, _)) if kind == "Ingress" || kind.ends_with("Route") => NodeKind::Entry,
                _ => NodeKind::Outside,
            };
            nodes.entry((kind, name.clone())).or_insert_with(|| Node {
                name: name.clone(),
                kind,
                ingress: None,
                egress: None,
            });
        }
    }
    nodes.into_values().collect()
}
