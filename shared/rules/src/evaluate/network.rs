//! Network policies for the workloads of a release, once all else of it is there.
//!
//! Says the same as `template/network.tpl`, which says it to templates.

use std::collections::{BTreeMap, BTreeSet};

use quench_model::Evidence as Fact;
use serde_json::{Map, Value, json};

use crate::release::{Release, label_value};
use crate::rule::Direction;
use crate::settings::{Settings, printed};
use crate::workload::{CONTAINER_LISTS, SELECTING, template_keys};

/// Labels that Kubernetes puts on pods of a StatefulSet. Services may go by them; no template has them.
const GIVEN_LABELS: [&str; 2] = [
    "statefulset.kubernetes.io/pod-name",
    "apps.kubernetes.io/pod-index",
];

const INSTANCE: &str = "app.kubernetes.io/instance";

/// How a workload's pods stand in the network.
#[derive(Debug, Clone)]
pub(super) struct Network {
    isolated: BTreeSet<String>,
    ports: BTreeSet<String>,
    /// Names of ports that containers declare.
    named: BTreeSet<String>,
    /// Names of ports that Services lead to.
    asked: BTreeSet<String>,
    peers: BTreeMap<String, Value>,
}

impl Network {
    pub(super) fn isolated(&self, direction: Direction) -> bool {
        self.isolated.contains(direction.name())
    }

    pub(super) fn ports_known(&self) -> bool {
        !self.ports.is_empty() && self.asked.is_subset(&self.named)
    }

    /// The policy that a step adds.
    pub(super) fn policy(
        &self,
        workload: &Value,
        direction: Direction,
        settings: &Settings,
        release: &Release,
    ) -> Value {
        let text = |pointer: &str| {
            workload
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let mut labels = Map::new();
        for (label, value) in [
            ("instance", &release.name),
            ("managed-by", &release.service),
            ("name", &release.chart),
            ("version", &release.app_version),
        ] {
            let value = label_value(value);
            if !value.is_empty() {
                labels.insert(format!("app.kubernetes.io/{label}"), value.into());
            }
        }
        let kind = text("/kind").to_lowercase();
        let name = text("/metadata/name");
        let word = direction.name().to_lowercase();
        let mut metadata =
            json!({"name": format!("quench-{word}-{kind}-{name}"), "labels": labels});
        if let (Some(metadata), Some(Value::String(namespace))) = (
            metadata.as_object_mut(),
            workload.pointer("/metadata/namespace"),
        ) {
            metadata.insert("namespace".to_owned(), namespace.clone().into());
        }
        let mut spec = json!({
            "podSelector": workload.pointer("/spec/selector"),
            "policyTypes": [direction.name()],
        });
        if let Some(spec) = spec.as_object_mut() {
            spec.insert(
                word,
                match direction {
                    Direction::Ingress => self.ingress(),
                    Direction::Egress => self.egress(workload, settings),
                },
            );
        }
        json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": metadata,
            "spec": spec,
        })
    }

    /// What decided, for people.
    pub(super) fn evidence(&self) -> Vec<Fact> {
        let ports: Vec<&str> = self.ports.iter().map(String::as_str).collect();
        vec![Fact::new(
            "chart",
            format!("listens on {}", ports.join(", ")),
        )]
    }

    fn peers(&self) -> Vec<Value> {
        self.peers
            .values()
            .map(|selector| json!({"podSelector": selector}))
            .collect()
    }

    fn ingress(&self) -> Value {
        let ports: Vec<Value> = self
            .ports
            .iter()
            .filter_map(|port| {
                let (number, protocol) = port.split_once(':')?;
                Some(json!({"port": number.parse::<u16>().ok()?, "protocol": protocol}))
            })
            .collect();
        json!([{"from": self.peers()}, {"ports": ports}])
    }

    fn egress(&self, workload: &Value, settings: &Settings) -> Value {
        let mut rules = vec![
            json!({"ports": [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
            json!({"to": self.peers()}),
        ];
        let keys: &[&str] = if has_token(workload) {
            &["networks", "apiServers"]
        } else {
            &["networks"]
        };
        let egress = settings.facts.get("egress");
        let allowed: Vec<Value> = keys
            .iter()
            .filter_map(|key| egress?.get(key)?.as_array())
            .flatten()
            .filter(|network| network.is_string())
            .map(|network| json!({"ipBlock": {"cidr": network}}))
            .collect();
        if !allowed.is_empty() {
            rules.push(json!({"to": allowed}));
        }
        rules.into()
    }
}

fn has_token(workload: &Value) -> bool {
    let token = pod_of(workload).and_then(|pod| pod.get("automountServiceAccountToken"));
    token.map(printed).as_deref() != Some("false")
}

fn template_of(object: &Value) -> Option<&Value> {
    template_keys(object)?
        .iter()
        .try_fold(object, |value, key| value.get(key))
}

fn pod_of(object: &Value) -> Option<&Value> {
    template_of(object)?.get("spec")
}

/// Objects of a release, as far as the network goes.
pub(super) struct Neighbours<'a> {
    workloads: Vec<Workload<'a>>,
    services: Vec<Service<'a>>,
    policies: Vec<Policy<'a>>,
}

pub(super) struct Workload<'a> {
    pub(super) object: &'a Value,
    namespace: &'a str,
    labels: Map<String, Value>,
    selector: Value,
    /// Whether its pods go by a selector, so that rules look at it.
    pub(super) kept: bool,
}

struct Service<'a> {
    namespace: &'a str,
    selector: Value,
    ports: &'a [Value],
    annotations: Option<&'a Value>,
}

struct Policy<'a> {
    namespace: &'a str,
    selector: Value,
    directions: Vec<String>,
}

impl<'a> Neighbours<'a> {
    pub(super) fn of(objects: impl IntoIterator<Item = &'a Value>, release: &Release) -> Self {
        let mut neighbours = Self {
            workloads: Vec::new(),
            services: Vec::new(),
            policies: Vec::new(),
        };
        for object in objects {
            neighbours.add(object, release);
        }
        neighbours
    }

    fn add(&mut self, object: &'a Value, release: &Release) {
        let kind = object
            .get("kind")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let namespace = object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .filter(|namespace| *namespace != release.namespace)
            .unwrap_or_default();
        let spec = |key: &str| object.get("spec").and_then(|spec| spec.get(key));
        let map = |value: Option<&Value>| value.and_then(Value::as_object).cloned();
        if let Some(template) = template_of(object) {
            let selector = map(spec("selector"));
            self.workloads.push(Workload {
                object,
                namespace,
                labels: map(template.pointer("/metadata/labels")).unwrap_or_default(),
                kept: SELECTING.contains(&kind)
                    && selector.is_some()
                    && object.get("metadata").is_some_and(Value::is_object),
                selector: selector.unwrap_or_default().into(),
            });
        } else if kind == "Service" {
            let mut selector = map(spec("selector")).unwrap_or_default();
            selector.retain(|key, _| !GIVEN_LABELS.contains(&key.as_str()));
            if !selector.is_empty() {
                self.services.push(Service {
                    namespace,
                    selector: json!({"matchLabels": selector}),
                    ports: spec("ports")
                        .and_then(Value::as_array)
                        .map_or(&[], Vec::as_slice),
                    annotations: object.pointer("/metadata/annotations"),
                });
            }
        } else if matches!(kind, "NetworkPolicy" | "CiliumNetworkPolicy") {
            self.policies.push(policy(object, namespace));
        }
    }

    pub(super) fn workloads(&self) -> impl Iterator<Item = &Workload<'a>> {
        self.workloads.iter().filter(|workload| workload.kept)
    }

    pub(super) fn network(&self, workload: &Workload<'_>) -> Network {
        let mut network = Network {
            isolated: BTreeSet::new(),
            ports: BTreeSet::new(),
            named: BTreeSet::new(),
            asked: BTreeSet::new(),
            peers: BTreeMap::new(),
        };
        for policy in &self.policies {
            if policy.namespace == workload.namespace && selects(&policy.selector, &workload.labels)
            {
                network.isolated.extend(policy.directions.iter().cloned());
            }
        }
        let instance = workload.labels.get(INSTANCE).filter(|i| i.is_string());
        if let Some(instance) = instance {
            network
                .peers
                .insert(String::new(), json!({"matchLabels": {INSTANCE: instance}}));
        }
        for other in &self.workloads {
            if other.namespace != workload.namespace {
                continue;
            }
            if selects(&workload.selector, &other.labels) {
                self.listens(other, &mut network);
            }
            let is_instance = instance.is_some() && other.labels.get(INSTANCE) == instance;
            if other.kept && !is_instance {
                let text = |pointer: &str| {
                    let text = other.object.pointer(pointer).and_then(Value::as_str);
                    text.unwrap_or_default()
                };
                network.peers.insert(
                    format!("{}/{}", text("/kind"), text("/metadata/name")),
                    other.selector.clone(),
                );
            }
        }
        network
    }

    /// Adds what the release shows that pods of a workload listen on.
    fn listens(&self, workload: &Workload<'_>, network: &mut Network) {
        let mut ports: Vec<(Value, Option<&Value>)> = Vec::new();
        let pod = pod_of(workload.object);
        let containers = CONTAINER_LISTS
            .into_iter()
            .filter_map(|list| pod?.get(list)?.as_array())
            .flatten();
        for container in containers {
            let declared = container.get("ports").and_then(Value::as_array);
            for port in declared.into_iter().flatten() {
                let number = port.get("containerPort").cloned().unwrap_or_default();
                ports.push((number, port.get("protocol")));
                let name = port.get("name").and_then(Value::as_str);
                network.named.extend(name.map(str::to_owned));
            }
            for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
                for way in ["httpGet", "tcpSocket", "grpc"] {
                    let port = container
                        .get(probe)
                        .and_then(|probe| probe.get(way)?.get("port"));
                    ports.extend(port.map(|port| (port.clone(), None)));
                }
            }
        }
        let mut annotated =
            vec![template_of(workload.object).and_then(|t| t.pointer("/metadata/annotations"))];
        for service in &self.services {
            if service.namespace != workload.namespace
                || !selects(&service.selector, &workload.labels)
            {
                continue;
            }
            annotated.push(service.annotations);
            for port in service.ports.iter().filter(|port| port.is_object()) {
                let target = ["targetPort", "port"]
                    .into_iter()
                    .filter_map(|key| port.get(key))
                    .find(|value| !value.is_null());
                match target {
                    Some(Value::String(name)) => {
                        network.asked.insert(name.clone());
                    }
                    Some(number) => ports.push((number.clone(), port.get("protocol"))),
                    None => {}
                }
            }
        }
        for annotations in annotated.into_iter().flatten() {
            let port = annotations.get("prometheus.io/port").map(printed);
            let port = port.filter(|port| {
                (1..=5).contains(&port.len()) && port.bytes().all(|b| b.is_ascii_digit())
            });
            if let Some(number) = port.and_then(|port| port.parse::<u32>().ok()) {
                ports.push((number.into(), None));
            }
        }
        for (number, protocol) in ports {
            let Some(number) = port_number(&number) else {
                continue;
            };
            let protocol = protocol
                .and_then(Value::as_str)
                .filter(|protocol| matches!(*protocol, "UDP" | "SCTP"))
                .unwrap_or("TCP");
            network.ports.insert(format!("{number}:{protocol}"));
        }
    }
}

/// A number that can be a port. YAML may write it as 80.0, and templates know no other.
fn port_number(value: &Value) -> Option<u16> {
    let number = value.as_f64()?;
    if number.fract() != 0.0 || number < 1.0 || number > f64::from(u16::MAX) {
        return None;
    }
    format!("{number:.0}").parse().ok()
}

fn policy<'a>(object: &'a Value, namespace: &'a str) -> Policy<'a> {
    let spec = |key: &str| object.get("spec").and_then(|spec| spec.get(key));
    let version = object.get("apiVersion").and_then(Value::as_str);
    let group = version.and_then(|version| version.split('/').next());
    // Policies of other makers select in ways of their own: they may be about any pod of the namespace.
    if !matches!(group, Some("networking.k8s.io" | "extensions")) {
        return Policy {
            namespace,
            selector: json!({}),
            directions: vec!["Ingress".to_owned(), "Egress".to_owned()],
        };
    }
    let directions = match spec("policyTypes").and_then(Value::as_array) {
        Some(types) => types.iter().map(printed).collect(),
        None if spec("egress").is_some() => vec!["Ingress".to_owned(), "Egress".to_owned()],
        None => vec!["Ingress".to_owned()],
    };
    Policy {
        namespace,
        selector: spec("podSelector")
            .filter(|selector| selector.is_object())
            .cloned()
            .unwrap_or_else(|| json!({})),
        directions,
    }
}

/// Whether a selector selects pods of these labels. Its expressions are taken to hold.
fn selects(selector: &Value, labels: &Map<String, Value>) -> bool {
    selector
        .get("matchLabels")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .all(|(key, value)| {
            labels
                .get(key)
                .is_some_and(|label| printed(label) == printed(value))
        })
}
