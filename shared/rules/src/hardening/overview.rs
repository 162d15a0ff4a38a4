//! What a chart runs, and who may reach what: containers, volumes, accounts and their permissions, network flows.
//!
//! Read from rendered objects, so it holds for the values they were rendered with. What the objects do not show is
//! said to be unknown, never left out as if it were not there.

mod containers;
mod network;
mod permissions;

use quench_chart::render::Rendered;
use quench_chart::workload;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use containers::{ContainerEntry, MountEntry, PortEntry, VolumeEntry};
pub use network::{Edge, Exposure, Network, Node, NodeKind, PolicyEntry};
pub use permissions::{Account, Permission};

/// What a chart runs, and who may reach what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Overview {
    /// Every rendered object as `Kind/name`, in the order in which they are rendered.
    pub objects: Vec<String>,
    /// Every container, init containers included.
    pub containers: Vec<ContainerEntry>,
    /// Every volume of every pod.
    pub volumes: Vec<VolumeEntry>,
    /// Accounts that pods run under, or that bindings name.
    pub accounts: Vec<Account>,
    /// What those accounts may do.
    pub permissions: Vec<Permission>,
    /// Who talks to whom.
    pub network: Network,
}

impl Overview {
    /// Reads rendered objects.
    pub(super) fn of(rendered: &Rendered) -> Self {
        let objects: Vec<&Value> = rendered.objects().flat_map(workload::objects).collect();
        let (containers, volumes) = containers::read(&objects);
        let (accounts, permissions) = permissions::read(&objects);
        let network = network::read(&objects, &accounts);
        Self {
            objects: objects.iter().map(|object| name_of(object)).collect(),
            containers,
            volumes,
            accounts,
            permissions,
            network,
        }
    }
}

/// `Kind/name`, as places are named everywhere.
fn name_of(object: &Value) -> String {
    format!(
        "{}/{}",
        text(object, &["kind"]),
        text(object, &["metadata", "name"])
    )
}

/// What lies at a path, null counting as nothing.
fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter()
        .try_fold(value, |value, key| value.get(key))
        .filter(|value| !value.is_null())
}

/// A scalar as text; empty where there is none.
fn text(value: &Value, path: &[&str]) -> String {
    match at(value, path) {
        Some(Value::String(text)) => text.clone(),
        Some(scalar @ (Value::Bool(_) | Value::Number(_))) => scalar.to_string(),
        _ => String::new(),
    }
}

/// Items of a list; none where there is no list.
fn items<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Texts of a list.
fn texts(value: &Value, path: &[&str]) -> Vec<String> {
    items(value, path)
        .iter()
        .map(|item| text(item, &[]))
        .filter(|text| !text.is_empty())
        .collect()
}

#[cfg(test)]
mod tests;
