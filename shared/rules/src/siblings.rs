//! What one object of a chart must know about the others.
//!
//! A token may be taken from a pod only when no binding gives its account anything, a probe put on a port only when a
//! Service leads there. Both can change with every value, so neither can be decided when the chart is rewritten. The
//! library therefore has the chart's templates that render such objects rendered once more, when the first workload
//! asks, and keeps what they say for the rest of the render. [`scan`] finds those templates; [`Siblings`] is
//! the same knowledge for the evaluator.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::rule::Account;
use crate::settings::printed;

/// Accounts, roles, bindings and Services of one chart (without its subcharts), as rendered.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Siblings {
    accounts: BTreeSet<String>,
    /// Accounts that say that pods get no token.
    without_token: BTreeSet<String>,
    /// Roles that bindings give to an account, as `Kind/name`.
    bound: BTreeMap<String, BTreeSet<String>>,
    /// Roles of the chart, with whether they give anything.
    roles: BTreeMap<String, bool>,
    everyone: bool,
    elsewhere: bool,
    services: Vec<Service>,
}

/// What pods and accounts say about tokens.
const AUTOMOUNT: &str = "automountServiceAccountToken";

#[derive(Debug, Clone, Default, PartialEq)]
struct Service {
    selector: Map<String, Value>,
    ports: Vec<Value>,
}

/// Kinds of the objects that are looked at, by the evaluator and by the library.
pub(crate) const KINDS: [&str; 6] = [
    "Service",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "RoleBinding",
    "ClusterRoleBinding",
];

/// Whether a template's text can render an account, a role, a binding or a Service.
pub fn scan(text: &str) -> bool {
    let mut is_made = false;
    for (at, word) in text.match_indices("kind") {
        let rest = text.get(at + word.len()..).unwrap_or_default();
        let rest = rest.trim_start_matches(['"', '\'', ' ']);
        let Some(value) = rest.strip_prefix(':') else {
            continue;
        };
        let value = value.lines().next().unwrap_or_default();
        if words(value).any(|word| KINDS.contains(&word)) {
            return true;
        }
        is_made |= value.contains("{{");
    }
    // Kinds are often put together from parts, and kept in variables.
    is_made && (words(text).any(|word| KINDS.contains(&word)) || text.contains("RoleBinding"))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric())
}

/// Whether a template's text can render a binding.
pub fn scan_bindings(text: &str) -> bool {
    text.contains("RoleBinding")
}

impl Siblings {
    /// What objects of one chart say. `elsewhere` tells whether another chart of the same tree has bindings: a
    /// template cannot look into those, so nothing can be said about accounts then.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Value>, elsewhere: bool) -> Self {
        let mut siblings = Self {
            elsewhere,
            ..Self::default()
        };
        for object in objects {
            siblings.add(object);
        }
        siblings
    }

    fn add(&mut self, object: &Value) {
        let name = object
            .pointer("/metadata/name")
            .map(printed)
            .unwrap_or_default();
        match object.get("kind").and_then(Value::as_str) {
            Some("ServiceAccount") => {
                if object.get(AUTOMOUNT) == Some(&Value::Bool(false)) {
                    self.without_token.insert(name.clone());
                }
                self.accounts.insert(name);
            }
            Some(kind @ ("Role" | "ClusterRole")) => {
                let gives = self.roles.entry(format!("{kind}/{name}")).or_default();
                *gives |= gives_anything(object);
            }
            Some("RoleBinding" | "ClusterRoleBinding") => {
                let role = match object.get("roleRef").and_then(Value::as_object) {
                    Some(role) => {
                        let text = |key: &str| printed(role.get(key).unwrap_or(&Value::Null));
                        format!("{}/{}", text("kind"), text("name"))
                    }
                    None => "/".to_owned(),
                };
                let subjects = object.get("subjects").and_then(Value::as_array);
                for subject in subjects.into_iter().flatten() {
                    let text = |key: &str| subject.get(key).map(printed).unwrap_or_default();
                    match text("kind").as_str() {
                        "ServiceAccount" => {
                            let roles = self.bound.entry(text("name")).or_default();
                            roles.insert(role.clone());
                        }
                        "Group" if text("name").starts_with("system:") => self.everyone = true,
                        _ => {}
                    }
                }
            }
            Some("Service") => {
                let spec = object.get("spec");
                let field = |key: &str| spec.and_then(|spec| spec.get(key));
                self.services.push(Service {
                    selector: field("selector")
                        .and_then(Value::as_object)
                        .cloned()
                        .unwrap_or_default(),
                    ports: field("ports")
                        .and_then(Value::as_array)
                        .cloned()
                        .unwrap_or_default(),
                });
            }
            _ => {}
        }
    }

    /// Whether an account says that pods get no token.
    pub(crate) fn withholds_token(&self, account: &str) -> bool {
        self.without_token.contains(account)
    }

    /// What the chart shows about the account of a pod.
    pub(crate) fn account(&self, pod: &Value) -> Account {
        let name = ["serviceAccountName", "serviceAccount"]
            .into_iter()
            .find_map(|key| {
                pod.get(key)
                    .and_then(Value::as_str)
                    .filter(|n| !n.is_empty())
            })
            .unwrap_or("default");
        let is_open = pod.get(AUTOMOUNT).is_none_or(Value::is_null);
        if is_open && self.withholds_token(name) {
            Account::Withheld
        } else if self.is_bound(name) {
            Account::Bound
        } else if self.elsewhere || self.everyone {
            Account::Unclear
        } else if name == "default" || self.accounts.contains(name) {
            Account::Free
        } else {
            Account::Foreign
        }
    }

    /// Whether a role gives an account anything; one that is not of the chart may.
    fn is_bound(&self, account: &str) -> bool {
        let roles = self.bound.get(account);
        roles
            .into_iter()
            .flatten()
            .any(|role| self.roles.get(role).copied().unwrap_or(true))
    }

    /// The first TCP port of the container that a Service leads to: its name, else its number.
    pub(crate) fn served_port(&self, template: &Value, container: &Value) -> Option<Value> {
        let none = Map::new();
        let labels = template
            .pointer("/metadata/labels")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        let own: Vec<&Value> = ports(container).filter(|port| is_tcp(port)).collect();
        for service in &self.services {
            let selects = !service.selector.is_empty()
                && service.selector.iter().all(|(key, value)| {
                    labels
                        .get(key)
                        .is_some_and(|l| printed(l) == printed(value))
                });
            if !selects {
                continue;
            }
            for port in service.ports.iter().filter(|port| is_tcp(port)) {
                let target = ["targetPort", "port"]
                    .into_iter()
                    .filter_map(|key| port.get(key))
                    .find(|value| !value.is_null());
                let Some(target) = target.map(printed) else {
                    continue;
                };
                for own in &own {
                    let name = own.get("name").and_then(Value::as_str).unwrap_or("");
                    let number = own.get("containerPort");
                    if name == target || number.is_some_and(|n| printed(n) == target) {
                        return match name {
                            "" => number.cloned(),
                            name => Some(name.into()),
                        };
                    }
                }
            }
        }
        None
    }
}

/// Whether a role gives something that a pod asks the API server for. One without rules does not, nor one that lets its accounts
/// `use` pod security policies or security context constraints: that is asked when the pod is admitted, not by the pod.
fn gives_anything(role: &Value) -> bool {
    let gives = |rule: &Value| {
        let verbs = rule.get("verbs").and_then(Value::as_array);
        verbs.is_none_or(|verbs| verbs.iter().any(|verb| verb != "use"))
    };
    let by_rules = match role.get("rules") {
        None | Some(Value::Null) => false,
        Some(Value::Array(rules)) => rules.iter().any(gives),
        Some(_) => true,
    };
    let aggregates = role
        .get("aggregationRule")
        .is_some_and(|rule| !rule.is_null());
    by_rules || aggregates
}

fn ports(container: &Value) -> impl Iterator<Item = &Value> {
    container
        .get("ports")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|port| port.is_object())
}

fn is_tcp(port: &Value) -> bool {
    port.is_object()
        && match port.get("protocol") {
            None | Some(Value::Null) => true,
            Some(protocol) => matches!(printed(protocol).as_str(), "" | "TCP"),
        }
}

#[cfg(test)]
mod tests {
    use super::scan;

    #[test]
    fn templates_that_can_render_what_is_looked_at_are_told() {
        for text in [
            "kind: Service\n",
            "{\"kind\": \"ServiceAccount\"}",
            "kind: {{ if .Values.wide }}Cluster{{ end }}RoleBinding\n",
            "{{ $kind := \"ClusterRole\" }}\nkind: {{ $kind }}\n",
            "kind: {{ print $scope \"RoleBinding\" }}",
            "apiVersion: v1\nkind : Role # of the reader",
        ] {
            assert!(scan(text), "{text}");
        }
        for text in [
            "kind: ServiceMonitor\nspec: {selector: {kind: x}}\n",
            "kind: ConfigMap\ndata: {a: 'Service'}\n",
            "kind: {{ .Values.kind }}\n",
            "listKind: ServiceList\n",
        ] {
            assert!(!scan(text), "{text}");
        }
    }
}
