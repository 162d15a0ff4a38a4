//! Where objects keep their pods.

use serde_json::Value;

/// Kinds with pods, and the keys that lead to the map holding the pod's `metadata` and `spec`. The template library is made
/// from the same table.
pub(crate) const WORKLOADS: [(&str, &[&str]); 9] = [
    ("Pod", &[]),
    ("PodTemplate", &["template"]),
    ("Deployment", &["spec", "template"]),
    ("StatefulSet", &["spec", "template"]),
    ("DaemonSet", &["spec", "template"]),
    ("ReplicaSet", &["spec", "template"]),
    ("ReplicationController", &["spec", "template"]),
    ("Job", &["spec", "template"]),
    ("CronJob", &["spec", "jobTemplate", "spec", "template"]),
];

/// Kinds whose pods go by `spec.selector`, a label selector.
pub(crate) const SELECTING: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];

/// Groups of Kubernetes' own workloads, the oldest included. Other groups have kinds of the same names.
pub(crate) const GROUPS: [&str; 4] = ["", "apps", "batch", "extensions"];

/// Lists of containers that rules look at. Ephemeral containers are never part of a chart.
pub(crate) const CONTAINER_LISTS: [&str; 2] = ["initContainers", "containers"];

/// Where the map lies that holds the pod's `metadata` and `spec`; none for objects without a pod.
pub(crate) fn template_keys(object: &Value) -> Option<&'static [&'static str]> {
    let version = object.get("apiVersion").and_then(Value::as_str)?;
    let group = version.split_once('/').map_or("", |(group, _)| group);
    if !GROUPS.contains(&group) {
        return None;
    }
    let kind = object.get("kind").and_then(Value::as_str)?;
    let (_, keys) = WORKLOADS.into_iter().find(|(name, _)| *name == kind)?;
    let template = keys.iter().try_fold(object, |value, key| value.get(key))?;
    template.get("spec")?.is_object().then_some(keys)
}
