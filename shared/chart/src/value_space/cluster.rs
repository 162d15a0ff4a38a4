//! What templates ask of the cluster.

use crate::template::Expr;

/// API groups that are part of Kubernetes, and that helm knows without a cluster.
/// Source: Kubernetes API reference, "API groups".
const BUILT_IN: [&str; 21] = [
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "apiregistration.k8s.io",
    "apps",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "events.k8s.io",
    "extensions",
    "flowcontrol.apiserver.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "resource.k8s.io",
    "scheduling.k8s.io",
    "storage.k8s.io",
];

/// Whether `group/version`, `group/version/Kind` or `version` is one of Kubernetes itself.
pub(super) fn is_built_in(version: &str) -> bool {
    match version.split_once('/') {
        Some((group, _)) => BUILT_IN.contains(&group),
        None => true,
    }
}

/// The argument of `….Capabilities.APIVersions.Has`.
pub(super) fn asked_version(expr: &Expr) -> Option<&Expr> {
    let Expr::Other(parts) = expr else {
        return None;
    };
    match parts.as_slice() {
        [Expr::Field(base, method), version] if method == "Has" => match &**base {
            Expr::Field(_, field) if field == "APIVersions" => Some(version),
            _ => None,
        },
        _ => None,
    }
}
