//! What an environment offers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Facts of an environment that a package is installed into. Every field is optional: a rule that needs a
/// fact the target does not give does nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Target {
    /// Registry (and path prefix) that images are pulled from, such as `registry.internal/quench`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// `kubernetes` or `openshift`; OpenShift assigns user and group ids itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Kubernetes version to render for, such as `1.33.0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kube_version: Option<String>,
    /// Storage class for volumes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<String>,
    /// Ingress class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ingress_class: Option<String>,
    /// Team that owns what is installed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// How to reach that team.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contact: Option<String>,
    /// Labels every object gets, beside the recommended ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}
