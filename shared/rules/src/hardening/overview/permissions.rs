//! Accounts, and what role-based access control lets them do.

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::workload;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{at, items, name_of, text, texts};

/// An account of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// `ServiceAccount name`, `User name` or `Group name`.
    pub name: String,
    /// Whether the chart creates it.
    pub created: bool,
    /// Workloads that run under it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<String>,
    /// Those of them that get its token.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub with_token: Vec<String>,
    /// Whether a binding of the chart names it.
    pub bound: bool,
}

/// Something an account may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Permission {
    /// The account.
    pub account: String,
    /// `Kind/name` of the role.
    pub role: String,
    /// `Kind/name` of the binding.
    pub binding: String,
    /// Whether it holds in the whole cluster, or in the binding's namespace alone.
    pub cluster_wide: bool,
    /// Resources with their API group, or paths; empty when the chart does not bring the role.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names it is limited to; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// Verbs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub verbs: Vec<String>,
    /// Whether the chart brings the role. What it allows is not known otherwise.
    pub known: bool,
    /// What is far-reaching about it, for people; empty when nothing is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub concern: String,
}

/// Accounts and what they may do, both sorted.
pub(super) fn read(objects: &[&Value]) -> (Vec<Account>, Vec<Permission>) {
    let of_kind = |kind: &'static str| {
        objects
            .iter()
            .copied()
            .filter(move |object| text(object, &["kind"]) == kind)
    };
    let mut accounts: BTreeMap<String, Account> = BTreeMap::new();
    let mut no_token: BTreeSet<String> = BTreeSet::new();
    for object in of_kind("ServiceAccount") {
        let name = format!("ServiceAccount {}", text(object, &["metadata", "name"]));
        if at(object, &["automountServiceAccountToken"]) == Some(&Value::Bool(false)) {
            no_token.insert(name.clone());
        }
        account(&mut accounts, &name).created = true;
    }
    for object in objects {
        let Some(pod) = workload::pod(object) else {
            continue;
        };
        let spec = Value::Object(pod.spec.clone());
        let named = ["serviceAccountName", "serviceAccount"]
            .into_iter()
            .map(|key| text(&spec, &[key]))
            .find(|name| !name.is_empty());
        let name = format!(
            "ServiceAccount {}",
            named.unwrap_or_else(|| "default".to_owned())
        );
        // The pod's word comes before the account's.
        let token = match at(&spec, &["automountServiceAccountToken"]).and_then(Value::as_bool) {
            Some(word) => word,
            None => !no_token.contains(&name),
        };
        let owner = name_of(object);
        let entry = account(&mut accounts, &name);
        if token {
            entry.with_token.push(owner.clone());
        }
        entry.workloads.push(owner);
    }
    let mut permissions = Vec::new();
    for object in of_kind("RoleBinding").chain(of_kind("ClusterRoleBinding")) {
        for subject in items(object, &["subjects"]) {
            let name = format!("{} {}", text(subject, &["kind"]), text(subject, &["name"]));
            account(&mut accounts, &name).bound = true;
            permissions.extend(of_binding(object, &name, objects));
        }
    }
    permissions.sort_by(|a, b| {
        (&a.account, &a.role, &a.binding, &a.resources, &a.verbs).cmp(&(
            &b.account,
            &b.role,
            &b.binding,
            &b.resources,
            &b.verbs,
        ))
    });
    permissions.dedup();
    (accounts.into_values().collect(), permissions)
}

fn account<'a>(accounts: &'a mut BTreeMap<String, Account>, name: &str) -> &'a mut Account {
    accounts.entry(name.to_owned()).or_insert_with(|| Account {
        name: name.to_owned(),
        created: false,
        workloads: Vec::new(),
        with_token: Vec::new(),
        bound: false,
    })
}

fn of_binding(binding: &Value, account: &str, objects: &[&Value]) -> Vec<Permission> {
    let kind = text(binding, &["roleRef", "kind"]);
    let name = text(binding, &["roleRef", "name"]);
    let bare = Permission {
        account: account.to_owned(),
        role: format!("{kind}/{name}"),
        binding: name_of(binding),
        cluster_wide: text(binding, &["kind"]) == "ClusterRoleBinding",
        resources: Vec::new(),
        names: Vec::new(),
        verbs: Vec::new(),
        known: false,
        concern: String::new(),
    };
    let role = objects.iter().find(|object| {
        text(object, &["kind"]) == kind && text(object, &["metadata", "name"]) == name
    });
    let Some(role) = role else {
        let concern = match name.as_str() {
            "cluster-admin" => "everything in the cluster",
            _ => "what it allows is not in the chart",
        };
        return vec![Permission {
            concern: concern.to_owned(),
            ..bare
        }];
    };
    // Roles of that kind are put together by the cluster, of whatever other roles carry the labels.
    if at(role, &["aggregationRule"]).is_some() {
        return vec![Permission {
            concern: "put together from other roles in the cluster".to_owned(),
            ..bare
        }];
    }
    items(role, &["rules"])
        .iter()
        .map(|rule| {
            let mut permission = Permission {
                resources: resources(rule),
                names: texts(rule, &["resourceNames"]),
                verbs: texts(rule, &["verbs"]),
                known: true,
                ..bare.clone()
            };
            permission.concern = concern(&permission);
            permission
        })
        .collect()
}

fn resources(rule: &Value) -> Vec<String> {
    let groups = texts_with_empty(rule, "apiGroups");
    let mut found: Vec<String> = items(rule, &["resources"])
        .iter()
        .map(|resource| {
            let resource = text(resource, &[]);
            match groups.as_slice() {
                [] => resource,
                [group] if group.is_empty() => resource,
                groups => {
                    let groups: Vec<&str> = groups
                        .iter()
                        .map(|group| if group.is_empty() { "core" } else { group })
                        .collect();
                    format!("{resource} ({})", groups.join(", "))
                }
            }
        })
        .collect();
    found.extend(texts(rule, &["nonResourceURLs"]));
    found
}

fn texts_with_empty(value: &Value, key: &str) -> Vec<String> {
    items(value, &[key])
        .iter()
        .map(|item| text(item, &[]))
        .collect()
}

/// What the Kubernetes documentation ("Role Based Access Control Good Practices") warns of.
fn concern(permission: &Permission) -> String {
    let resource = |name: &str| {
        permission.resources.iter().any(|resource| {
            let bare = resource.split(" (").next().unwrap_or(resource);
            bare == name || bare == "*"
        })
    };
    let verb = |names: &[&str]| {
        permission
            .verbs
            .iter()
            .any(|verb| verb == "*" || names.contains(&verb.as_str()))
    };
    let reads = ["get", "list", "watch"];
    let writes = ["create", "update", "patch"];
    let mut concerns = Vec::new();
    if permission.verbs.iter().any(|verb| verb == "*") {
        concerns.push("every verb");
    }
    let everything = permission
        .resources
        .iter()
        .any(|resource| resource.starts_with('*'));
    if everything {
        concerns.push("every resource");
    }
    // Of everything, no part need be named.
    if !everything {
        for (found, told) in [
            (resource("secrets") && verb(&reads), "reads Secrets"),
            (
                [
                    "pods",
                    "deployments",
                    "daemonsets",
                    "statefulsets",
                    "jobs",
                    "cronjobs",
                ]
                .iter()
                .any(|name| resource(name))
                    && verb(&["create"]),
                "creates pods, and with them gets any account of the namespace",
            ),
            (
                ["pods/exec", "pods/attach"]
                    .iter()
                    .any(|name| resource(name))
                    && verb(&["create", "get"]),
                "runs commands in pods",
            ),
            (
                ["roles", "clusterroles"].iter().any(|name| resource(name))
                    && verb(&["escalate", "bind"]),
                "gives itself more rights",
            ),
            (
                ["rolebindings", "clusterrolebindings"]
                    .iter()
                    .any(|name| resource(name))
                    && verb(&writes),
                "binds roles",
            ),
            (verb(&["impersonate"]), "acts as others"),
            (resource("nodes/proxy"), "reaches the kubelet of any node"),
            (
                resource("serviceaccounts/token") && verb(&["create"]),
                "makes tokens of accounts",
            ),
            (
                [
                    "validatingwebhookconfigurations",
                    "mutatingwebhookconfigurations",
                ]
                .iter()
                .any(|name| resource(name))
                    && verb(&writes),
                "changes what the API server lets in",
            ),
            (
                resource("certificatesigningrequests/approval") && verb(&["update", "patch"]),
                "approves certificates",
            ),
            (
                resource("persistentvolumes") && verb(&["create"]),
                "makes volumes, those of the host among them",
            ),
        ] {
            if found {
                concerns.push(told);
            }
        }
    }
    concerns.join("; ")
}
