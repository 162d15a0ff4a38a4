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
    /// Runtime class of pods, for runtimes that isolate more than runc does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_class: Option<String>,
    /// Whether nodes give pods user namespaces of their own (Kubernetes 1.33 and a runtime that has them).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_namespaces: Option<bool>,
    /// When images are pulled: `Always` or `IfNotPresent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull_policy: Option<PullPolicy>,
    /// Type of Services that charts open to the outside: `ClusterIP`, where an ingress leads to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_type: Option<ServiceType>,
    /// Secret with a certificate for the hosts of ingresses that bring none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_secret: Option<String>,
    /// Pod Security Standard that namespaces of charts enforce.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod_security: Option<PodSecurityLevel>,
    /// Most an `emptyDir` volume may hold, as a Kubernetes quantity: `1Gi`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub empty_dir_size: Option<String>,
    /// Whether the nodes' kernel settings are made by those who run them (`vm.max_map_count` and the like), so that pods
    /// need not make them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_sysctls: Option<bool>,
    /// What containers get that say nothing about it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ContainerResources>,
    /// What pods may reach beside name servers and the pods of their own release. Without it nothing is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

/// When images are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// At each start, which asks the registry whether the pod may have the image.
    Always,
    /// When the node has none of that name.
    IfNotPresent,
}

/// Types of Services a target may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServiceType {
    /// Reached from within the cluster.
    #[serde(rename = "ClusterIP")]
    ClusterIp,
}

/// Pod Security Standards a namespace can enforce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodSecurityLevel {
    /// Stops known privilege escalations.
    Baseline,
    /// Follows current hardening practice.
    Restricted,
}

/// Requests and limits, as Kubernetes quantities: `100m`, `128Mi`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ContainerResources {
    /// What the scheduler keeps free.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub requests: BTreeMap<String, String>,
    /// What they get at most.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<String, String>,
}

/// Where pods may connect to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Egress {
    /// Networks, such as `10.20.0.0/16`, for every pod.
    pub networks: Vec<String>,
    /// Addresses of the API server, such as `10.0.0.1/32`, for pods that have a token for it. Which they are cannot be
    /// seen from a chart: pods with a token are left alone where there are none.
    pub api_servers: Vec<String>,
}
