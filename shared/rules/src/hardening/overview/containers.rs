//! Containers and volumes.

use quench_chart::workload::{self, ContainerKind, Pod};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{at, items, text, texts};

/// A container of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerEntry {
    /// `Kind/name` of the object.
    pub object: String,
    /// Name of the container.
    pub container: String,
    /// Whether it runs before the others.
    #[serde(default)]
    pub init: bool,
    /// Image as rendered; empty when there is none.
    pub image: String,
    /// Numeric user the object asks for; none leaves it to the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<i64>,
    /// Whether the object demands a user other than root.
    #[serde(default)]
    pub non_root: bool,
    /// Whether it is privileged.
    #[serde(default)]
    pub privileged: bool,
    /// Whether its root file system is read-only.
    #[serde(default)]
    pub read_only_root: bool,
    /// Whether its processes can gain privileges: yes, unless it says no.
    #[serde(default)]
    pub can_escalate: bool,
    /// Capabilities added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub added: Vec<String>,
    /// Capabilities dropped.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dropped: Vec<String>,
    /// Seccomp profile in force; empty when none is named.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub seccomp: String,
    /// Ports it declares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortEntry>,
    /// Volumes it mounts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountEntry>,
}

/// A port a container declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortEntry {
    /// Its name; empty when it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Number, as rendered.
    pub number: String,
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Port of the node it takes; empty when it takes none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// Probes that ask it: `liveness`, `readiness`, `startup`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
}

/// A volume in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MountEntry {
    /// Where.
    pub path: String,
    /// Which volume of the pod.
    pub volume: String,
    /// Whether it cannot be written to through this mount.
    #[serde(default)]
    pub read_only: bool,
}

/// A volume of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeEntry {
    /// `Kind/name` of the object.
    pub object: String,
    /// Name of the volume.
    pub volume: String,
    /// What it is: `emptyDir`, `persistentVolumeClaim`, `secret`, …
    pub kind: String,
    /// What it holds: name of the claim, Secret or ConfigMap, path of the host; empty where nothing tells.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub holds: String,
}

/// Every container and volume, in the order of the objects.
pub(super) fn read(objects: &[&Value]) -> (Vec<ContainerEntry>, Vec<VolumeEntry>) {
    let mut containers = Vec::new();
    let mut volumes = Vec::new();
    for object in objects {
        let Some(pod) = workload::pod(object) else {
            continue;
        };
        let owner = super::name_of(object);
        let spec = Value::Object(pod.spec.clone());
        containers.extend(containers_of(&owner, &pod, &spec));
        for volume in items(&spec, &["volumes"]) {
            volumes.push(volume_entry(&owner, volume));
        }
        for claim in items(object, &["spec", "volumeClaimTemplates"]) {
            volumes.push(VolumeEntry {
                object: owner.clone(),
                volume: text(claim, &["metadata", "name"]),
                kind: "persistentVolumeClaim".to_owned(),
                holds: format!(
                    "one of {} a pod",
                    text(claim, &["spec", "resources", "requests", "storage"])
                ),
            });
        }
    }
    (containers, volumes)
}

fn containers_of(owner: &str, pod: &Pod<'_>, spec: &Value) -> Vec<ContainerEntry> {
    pod.containers()
        .map(|container| {
            let own = Value::Object(container.spec.clone());
            // The container's own word comes before the pod's.
            let context = |key: &str| {
                at(&own, &["securityContext", key]).or_else(|| at(spec, &["securityContext", key]))
            };
            let says = |key: &str| at(&own, &["securityContext", key]).and_then(Value::as_bool);
            ContainerEntry {
                object: owner.to_owned(),
                container: container.name.to_owned(),
                init: container.kind == ContainerKind::Init,
                image: container.image.unwrap_or_default().to_owned(),
                user: context("runAsUser").and_then(number),
                non_root: context("runAsNonRoot").and_then(Value::as_bool) == Some(true),
                privileged: says("privileged") == Some(true),
                read_only_root: says("readOnlyRootFilesystem") == Some(true),
                can_escalate: says("allowPrivilegeEscalation") != Some(false),
                added: texts(&own, &["securityContext", "capabilities", "add"]),
                dropped: texts(&own, &["securityContext", "capabilities", "drop"]),
                seccomp: context("seccompProfile")
                    .map(|profile| text(profile, &["type"]))
                    .unwrap_or_default(),
                ports: ports(&own),
                mounts: items(&own, &["volumeMounts"])
                    .iter()
                    .map(|mount| MountEntry {
                        path: text(mount, &["mountPath"]),
                        volume: text(mount, &["name"]),
                        read_only: at(mount, &["readOnly"]).and_then(Value::as_bool) == Some(true),
                    })
                    .collect(),
            }
        })
        .collect()
}

/// Templates make numbers floating-point.
fn number(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| text(value, &[]).trim_end_matches(".0").parse().ok())
}

fn ports(container: &Value) -> Vec<PortEntry> {
    let asked: Vec<(&str, String)> = [
        ("liveness", "livenessProbe"),
        ("readiness", "readinessProbe"),
        ("startup", "startupProbe"),
    ]
    .into_iter()
    .flat_map(|(name, key)| {
        ["httpGet", "tcpSocket", "grpc"]
            .into_iter()
            .map(move |how| (name, text(container, &[key, how, "port"])))
    })
    .filter(|(_, port)| !port.is_empty())
    .collect();
    items(container, &["ports"])
        .iter()
        .map(|port| {
            let name = text(port, &["name"]);
            let number = text(port, &["containerPort"]);
            PortEntry {
                protocol: Some(text(port, &["protocol"]))
                    .filter(|protocol| !protocol.is_empty())
                    .unwrap_or_else(|| "TCP".to_owned()),
                host: Some(text(port, &["hostPort"]))
                    .filter(|host| host != "0")
                    .unwrap_or_default(),
                probes: asked
                    .iter()
                    .filter(|(_, port)| *port == number || (!name.is_empty() && *port == name))
                    .map(|(probe, _)| (*probe).to_owned())
                    .collect(),
                name,
                number,
            }
        })
        .collect()
}

fn volume_entry(owner: &str, volume: &Value) -> VolumeEntry {
    let none = Map::new();
    let source = volume
        .as_object()
        .unwrap_or(&none)
        .iter()
        .find(|(key, value)| *key != "name" && !value.is_null());
    // The API server makes a volume without a source an emptyDir.
    let (kind, source) = source.map_or(("emptyDir", &Value::Null), |(key, value)| {
        (key.as_str(), value)
    });
    let holds = [
        "claimName",
        "secretName",
        "name",
        "path",
        "driver",
        "server",
        "medium",
        "reference",
    ]
    .into_iter()
    .map(|key| text(source, &[key]))
    .find(|held| !held.is_empty());
    let parts: Vec<String> = items(source, &["sources"])
        .iter()
        .filter_map(Value::as_object)
        .flatten()
        .map(|(key, part)| {
            format!("{key} {}", text(part, &["name"]))
                .trim_end()
                .to_owned()
        })
        .collect();
    VolumeEntry {
        object: owner.to_owned(),
        volume: text(volume, &["name"]),
        kind: kind.to_owned(),
        holds: holds.unwrap_or_else(|| parts.join(", ")),
    }
}
