//! What a change of values does to what a chart renders.

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::Chart;
use quench_chart::render::{Rendered, Request};
use quench_chart::workload::{self, ObjectId};
use serde_json::{Value, json};

use super::super::tree::Tree;
use crate::Siblings;
use crate::evaluate::{self, Outcome, Surroundings};
use crate::parameters::Removes;
use crate::rule::Account;

/// A place that breaks a rule: rule and location.
pub(super) type Place = (&'static str, String);

/// What matters of a render.
pub(super) struct Assessed {
    /// Places that break a rule and that the rules do not mend.
    pub(super) broken: BTreeSet<Place>,
    /// Objects with the template they come from.
    objects: BTreeMap<ObjectId, String>,
    containers: BTreeSet<(ObjectId, String)>,
    images: BTreeSet<String>,
    /// Workloads, and accounts themselves, with what the chart shows about the account, and whether pods get its token.
    accounts: BTreeMap<ObjectId, (Account, bool)>,
    /// Objects that operators make something of.
    custom: BTreeMap<ObjectId, Value>,
    policies: BTreeMap<ObjectId, Value>,
}

impl Assessed {
    pub(super) fn new(
        chart: &Chart,
        request: &Request,
        rendered: &Rendered,
        surroundings: Surroundings<'_>,
    ) -> Self {
        let tree = Tree::new(chart, request, rendered);
        // Here, other than in a template, what the whole tree binds can be seen.
        let release = Siblings::of(rendered.objects(), false);
        let shown = |own: &Siblings, pod: &Value| match own.account(pod) {
            Account::Unclear => release.account(pod),
            account => account,
        };
        let mut assessed = Self {
            broken: BTreeSet::new(),
            objects: BTreeMap::new(),
            containers: BTreeSet::new(),
            images: BTreeSet::new(),
            accounts: BTreeMap::new(),
            custom: BTreeMap::new(),
            policies: BTreeMap::new(),
        };
        for document in &rendered.documents {
            let Some(object) = &document.object else {
                continue;
            };
            let around = tree.around(document, surroundings);
            assessed.broken.extend(
                evaluate::harden(&mut object.clone(), around)
                    .into_iter()
                    .filter(|verdict| matches!(verdict.outcome, Outcome::Unfixed { .. }))
                    .map(|verdict| (verdict.rule, verdict.location())),
            );
            for object in workload::objects(object) {
                let id = ObjectId::of(object);
                if id.kind == "NetworkPolicy" {
                    assessed.policies.insert(id.clone(), object.clone());
                }
                if is_custom(&id.api_version) {
                    assessed.custom.insert(id.clone(), object.clone());
                }
                if id.kind == "ServiceAccount" {
                    let pod = json!({"serviceAccountName": id.name});
                    let token = object.get("automountServiceAccountToken") != Some(&false.into());
                    let account = shown(around.siblings, &pod);
                    assessed.accounts.insert(id.clone(), (account, token));
                }
                assessed.objects.insert(id, document.source.clone());
            }
            for pod in workload::pods(object) {
                let account = shown(around.siblings, &Value::Object(pod.spec.clone()));
                let named = pod.spec.get("serviceAccountName").and_then(Value::as_str);
                let token = match pod.spec.get("automountServiceAccountToken") {
                    Some(Value::Bool(token)) => *token,
                    _ => !named.is_some_and(|name| release.withholds_token(name)),
                };
                assessed
                    .accounts
                    .insert(pod.owner.clone(), (account, token));
                for container in pod.containers() {
                    assessed
                        .containers
                        .insert((pod.owner.clone(), container.name.to_owned()));
                    assessed.images.extend(container.image.map(str::to_owned));
                }
            }
        }
        assessed
    }

    /// Why a change from this to `after` must not be made; none where nothing speaks against it. `removes` is what may go.
    pub(super) fn harm(&self, after: &Self, removes: &[Removes]) -> Option<String> {
        self.gone(after, removes)
            .or_else(|| {
                let image = after.images.difference(&self.images).next()?;
                Some(format!(
                    "it runs an image that the chart does not run now: {image}"
                ))
            })
            .or_else(|| {
                let (rule, place) = after.broken.difference(&self.broken).next()?;
                Some(format!("with it {place} breaks the rule {rule}"))
            })
            .or_else(|| self.custom_changed(after))
            .or_else(|| self.token_taken(after))
            .or_else(|| self.taken_name(after))
            .or_else(|| self.cut_off(after))
    }

    fn gone(&self, after: &Self, removes: &[Removes]) -> Option<String> {
        let may_go = |id: &ObjectId, source: &str| {
            removes.iter().any(|removes| match removes {
                Removes::Nothing => false,
                Removes::Kinds(kinds) => kinds.contains(&id.kind.as_str()),
                Removes::Tests => source.contains("/templates/test"),
            })
        };
        let psp = removes
            .iter()
            .any(|removes| matches!(removes, Removes::Kinds(kinds) if kinds.contains(&"PodSecurityPolicy")));
        let object = self
            .objects
            .iter()
            .filter(|(id, _)| !after.objects.contains_key(id))
            .filter(|(id, source)| !may_go(id, source))
            // Roles and bindings that let accounts use a PodSecurityPolicy go with it.
            .find(|(_, source)| !(psp && source.to_ascii_lowercase().contains("psp")));
        if let Some((id, _)) = object {
            return Some(format!("it takes {} {} away", id.kind, id.name));
        }
        let container = self
            .containers
            .difference(&after.containers)
            .find(|(owner, _)| after.objects.contains_key(owner));
        container.map(|(owner, name)| {
            format!(
                "it takes the container {name} of {} {} away",
                owner.kind, owner.name
            )
        })
    }

    /// What an operator makes of a custom resource is not rendered, so nobody can look at it.
    fn custom_changed(&self, after: &Self) -> Option<String> {
        after
            .custom
            .iter()
            .find(|(id, object)| self.custom.get(*id) != Some(object))
            .map(|(id, _)| {
                let (kind, name) = (&id.kind, &id.name);
                format!("it changes the custom resource {kind} {name}, and what an operator makes of that cannot be seen")
            })
    }

    /// Every namespace has its default account: Helm refuses to make it once more.
    fn taken_name(&self, after: &Self) -> Option<String> {
        let is_taken = |id: &ObjectId| id.kind == "ServiceAccount" && id.name == "default";
        let mut added = after
            .objects
            .keys()
            .filter(|id| !self.objects.contains_key(*id));
        added.any(is_taken).then(|| {
            "it makes an account called default, which every namespace has already; name another one in the values".to_owned()
        })
    }

    /// A token is only taken from pods whose account has nothing to use it for.
    fn token_taken(&self, after: &Self) -> Option<String> {
        self.accounts.iter().find_map(|(id, (account, token))| {
            let still = after.accounts.get(id).is_none_or(|(_, token)| *token);
            if still || !token || *account == Account::Free {
                return None;
            }
            let who = format!("{} {}", id.kind, id.name);
            Some(match account {
                Account::Bound => format!(
                    "it takes the API token from {who}, whose account a binding gives permissions"
                ),
                _ => format!(
                    "it takes the API token from {who}, whose account may be given permissions elsewhere"
                ),
            })
        })
    }

    /// A policy that admits only peers it names cuts off whoever else is served today.
    fn cut_off(&self, after: &Self) -> Option<String> {
        after
            .policies
            .iter()
            .filter(|(id, policy)| self.policies.get(*id) != Some(policy))
            .find_map(|(id, policy)| {
                let spec = policy.get("spec")?;
                let name = &id.name;
                let types = spec.get("policyTypes").and_then(Value::as_array);
                let has = |kind: &str| types.is_some_and(|types| types.iter().any(|t| t == kind));
                let rules = |key: &str| {
                    spec.get(key)
                        .and_then(Value::as_array)
                        .map_or(&[][..], Vec::as_slice)
                };
                let open = |rule: &Value, peers: &str| {
                    rule.get(peers)
                        .and_then(Value::as_array)
                        .is_none_or(Vec::is_empty)
                };
                let ingress = types.is_none() || has("Ingress");
                if ingress && !rules("ingress").iter().any(|rule| open(rule, "from")) {
                    return Some(format!(
                        "its NetworkPolicy {name} admits only peers it names, and who else must get in is not known"
                    ));
                }
                let egress = has("Egress") || spec.get("egress").is_some();
                let unlimited = |rule: &Value| open(rule, "to") && open(rule, "ports");
                if egress && !rules("egress").iter().any(unlimited) {
                    return Some(format!(
                        "its NetworkPolicy {name} limits what the pods reach, and what they must reach is not known"
                    ));
                }
                None
            })
    }
}

/// Whether an API is none of Kubernetes itself.
fn is_custom(api_version: &str) -> bool {
    const OWN: [&str; 14] = [
        "admissionregistration",
        "apiextensions",
        "apiregistration",
        "authentication",
        "authorization",
        "certificates",
        "coordination",
        "discovery",
        "events",
        "flowcontrol.apiserver",
        "networking",
        "rbac.authorization",
        "scheduling",
        "storage",
    ];
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    group.contains('.')
        && !group
            .strip_suffix(".k8s.io")
            .is_some_and(|name| OWN.contains(&name))
}
