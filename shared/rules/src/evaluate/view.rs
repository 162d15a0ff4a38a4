//! Conditions, over one place of one object.

use std::collections::BTreeSet;

use quench_model::{Evidence as Fact, FactsSource};
use serde_json::{Value, json};

use crate::release::label_value;
use crate::relocation::relocate;
use crate::rule::{Condition, Expression, Literal, Path, Root};
use crate::workload::CONTAINER_LISTS;

use super::quantity::thousandths;
use super::{Change, Place, Surroundings};

/// An object, looked at from one place.
pub(super) struct View<'v> {
    object: &'v Value,
    place: &'v Place,
    surroundings: Surroundings<'v>,
    /// Id of the rule that looks.
    rule: &'static str,
    /// A container other than the place's.
    container: Option<&'v Value>,
    item: Option<&'v Value>,
}

impl<'v> View<'v> {
    pub(super) fn new(
        object: &'v Value,
        place: &'v Place,
        surroundings: Surroundings<'v>,
        rule: &'static str,
    ) -> Self {
        Self {
            object,
            place,
            surroundings,
            rule,
            container: None,
            item: None,
        }
    }

    pub(super) fn with_item(&self, item: &'v Value) -> Self {
        Self {
            item: Some(item),
            ..*self
        }
    }

    fn with_container(&self, container: &'v Value) -> Self {
        Self {
            container: Some(container),
            ..*self
        }
    }

    fn root(&self, root: Root) -> Option<&Value> {
        match (root, self.container) {
            (Root::Container, Some(container)) => Some(container),
            (Root::Image | Root::Pin, Some(_)) => None,
            (Root::Image, None) => self.place.image.as_ref(),
            (Root::Pin, None) => self.place.pin_value.as_ref(),
            (Root::Item, _) => self
                .item
                .or_else(|| self.place.get(self.object, Root::Item)),
            (Root::Settings, _) => Some(&self.surroundings.settings.facts),
            (root, _) => self.place.get(self.object, root),
        }
    }

    /// What a path leads to; null counts as nothing.
    pub(super) fn at(&self, path: &Path) -> Option<&Value> {
        let found = self.root(path.root).and_then(|root| {
            path.keys
                .iter()
                .try_fold(root, |value, key| value.as_object()?.get(*key))
        });
        found
            .filter(|value| !value.is_null())
            .or_else(|| path.otherwise.and_then(|other| self.at(other)))
    }

    fn text(&self, path: &Path) -> Option<&str> {
        self.at(path).and_then(Value::as_str)
    }

    fn list(&self, path: &Path) -> &[Value] {
        self.at(path)
            .and_then(Value::as_array)
            .map_or(&[], Vec::as_slice)
    }

    fn entries(&self, path: &Path) -> impl Iterator<Item = (&String, &Value)> {
        self.at(path)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    }

    pub(super) fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::Always => true,
            Condition::Linux => !self.root(Root::Pod).is_some_and(|pod| {
                [
                    &["os", "name"][..],
                    &["nodeSelector", "kubernetes.io/os"][..],
                ]
                .iter()
                .filter_map(|keys| keys.iter().try_fold(pod, |value, key| value.get(key)))
                .any(|name| name == "windows")
            }),
            Condition::Present(path) => self.at(path).is_some(),
            Condition::Is(path, literal) => self.at(path).is_some_and(|value| is(value, literal)),
            Condition::OneOf(path, texts) => {
                self.text(path).is_some_and(|text| texts.contains(&text))
            }
            Condition::Below(path, bound) => self
                .at(path)
                .and_then(Value::as_f64)
                .is_some_and(|number| number < bound_of(*bound)),
            Condition::AtMost(small, large) => {
                let read = |path| self.at(path).and_then(thousandths);
                matches!((read(small), read(large)), (Some(small), Some(large)) if small <= large)
            }
            Condition::Has(path, text) => self.list(path).iter().any(|item| item == text),
            Condition::StartsWith(path, head) => {
                self.text(path).is_some_and(|text| text.starts_with(head))
            }
            Condition::Contains(path, part) => {
                self.text(path).is_some_and(|text| text.contains(part))
            }
            Condition::AnyItem(path, condition) => self
                .list(path)
                .iter()
                .any(|item| self.with_item(item).holds(condition)),
            Condition::AnyKey(path, head) => self
                .at(path)
                .and_then(Value::as_object)
                .is_some_and(|map| map.keys().any(|key| key.starts_with(head))),
            Condition::AnyContainer(condition) => CONTAINER_LISTS
                .into_iter()
                .filter_map(|list| self.root(Root::Pod)?.get(list)?.as_array())
                .flatten()
                .filter(|container| container.is_object())
                .any(|container| self.with_container(container).holds(condition)),
            Condition::Mounted(path) => self.text(path).is_some_and(|path| self.is_mounted(path)),
            Condition::Account(account) => self
                .root(Root::Pod)
                .is_some_and(|pod| self.surroundings.siblings.account(pod) == *account),
            Condition::Served => self.served_port().is_some(),
            Condition::Repeats(path, key) => {
                let mut seen = BTreeSet::new();
                self.list(path)
                    .iter()
                    .filter_map(|item| item.get(key)?.as_str())
                    .any(|text| !seen.insert(text))
            }
            Condition::AnyValue(path, part, texts) => self.entries(path).any(|(key, value)| {
                key.to_lowercase().contains(part)
                    && value.as_str().is_some_and(|text| texts.contains(&text))
            }),
            Condition::AnyPair(path, head, text) => self
                .entries(path)
                .any(|(key, value)| key.starts_with(head) && value == text),
            Condition::Decided => self.surroundings.settings.decided.contains(self.rule),
            Condition::Isolated(direction) => self
                .place
                .network
                .as_ref()
                .is_some_and(|network| network.isolated(*direction)),
            Condition::PortsKnown => self
                .place
                .network
                .as_ref()
                .is_some_and(|network| network.ports_known()),
            Condition::AtRegistry => {
                let image = self.root(Root::Container).and_then(|c| c.get("image"));
                match (
                    self.surroundings.settings.text("registry"),
                    image.and_then(Value::as_str),
                ) {
                    (Some(registry), Some(image)) => image
                        .strip_prefix(registry.trim_end_matches('/'))
                        .is_some_and(|rest| rest.starts_with('/')),
                    _ => false,
                }
            }
            Condition::NamesImages => !self.relocated(&mut self.object.clone()).is_empty(),
            Condition::All(all) => all.iter().all(|condition| self.holds(condition)),
            Condition::Any(any) => any.iter().any(|condition| self.holds(condition)),
            Condition::Not(condition) => !self.holds(condition),
        }
    }

    fn is_mounted(&self, path: &str) -> bool {
        let mounts = self
            .root(Root::Container)
            .and_then(|container| container.get("volumeMounts"))
            .and_then(Value::as_array);
        mounts
            .into_iter()
            .flatten()
            .filter_map(|mount| mount.get("mountPath").and_then(Value::as_str))
            .any(|mount| {
                let mount = mount.strip_suffix('/').unwrap_or(mount);
                path.strip_prefix(mount)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }

    /// Relocates the object given, which is the view's own or a copy of it.
    pub(super) fn relocated(&self, object: &mut Value) -> Vec<Change> {
        match self.surroundings.settings.text("registry") {
            Some(registry) => {
                let pods = self.place.template.is_some();
                relocate(object, self.surroundings.evidence, registry, pods)
            }
            None => Vec::new(),
        }
    }

    fn served_port(&self) -> Option<Value> {
        self.surroundings
            .siblings
            .served_port(self.root(Root::Template)?, self.root(Root::Container)?)
    }

    pub(super) fn container_name(&self) -> Option<String> {
        self.place.container?;
        let name = self.root(Root::Container)?.get("name");
        Some(name.and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The value of an expression; none when there is nothing to put.
    pub(super) fn value(&self, expression: &Expression) -> Option<Value> {
        let release = self.surroundings.release;
        let label = |text: &str| Some(label_value(text)).filter(|text| !text.is_empty());
        match expression {
            Expression::Literal(literal) => Some(literal_value(literal)),
            Expression::Map(entries) => Some(Value::Object(
                entries
                    .iter()
                    .filter_map(|(key, value)| Some(((*key).to_owned(), self.value(value)?)))
                    .collect(),
            )),
            Expression::One(one) => Some(Value::Array(vec![self.value(one)?])),
            Expression::Each(path, key) => {
                let mut found: Vec<Value> = Vec::new();
                for item in self.list(path) {
                    if let Some(text) = item.get(key).filter(|text| text.is_string())
                        && !found.contains(text)
                    {
                        found.push(text.clone());
                    }
                }
                Some(found.into())
            }
            Expression::Of(path) => self.at(path).cloned(),
            Expression::Pinned => {
                let registry = self.surroundings.settings.text("registry");
                Some(self.place.pin.as_ref()?.reference(registry).into())
            }
            Expression::ServedPort => self.served_port(),
            Expression::ChartName => label(&release.chart).map(Value::from),
            Expression::AppVersion => label(&release.app_version).map(Value::from),
            Expression::ReleaseName => label(&release.name).map(Value::from),
            Expression::ReleaseService => label(&release.service).map(Value::from),
        }
    }

    /// Items of lists that make a condition hold, for people. Values stay out: they may be secrets.
    pub(super) fn witnesses(&self, condition: &Condition) -> Vec<String> {
        match condition {
            Condition::AnyItem(path, condition) => self
                .list(path)
                .iter()
                .enumerate()
                .filter(|(_, item)| self.with_item(item).holds(condition))
                .map(|(index, item)| witness(path, index, item))
                .collect(),
            Condition::All(all) | Condition::Any(all) => all
                .iter()
                .filter(|condition| self.holds(condition))
                .flat_map(|condition| self.witnesses(condition))
                .collect(),
            _ => Vec::new(),
        }
    }

    /// What a path leads to, as a fact for people.
    pub(super) fn fact(&self, path: &Path) -> Option<Fact> {
        let bare = Path {
            otherwise: None,
            ..*path
        };
        let Some(value) = self.at(&bare) else {
            return path.otherwise.and_then(|other| self.fact(other));
        };
        let source = match path.root {
            Root::Image => {
                let reference = self.place.reference.as_deref().unwrap_or("image");
                let stated = self
                    .place
                    .image
                    .as_ref()
                    .and_then(|facts| facts.get("source"))
                    .is_some_and(|source| *source == json!(FactsSource::File));
                if stated {
                    format!("facts stated for {reference}")
                } else {
                    format!("image {reference}")
                }
            }
            Root::Pin => "image lock".to_owned(),
            Root::Settings => "settings".to_owned(),
            Root::Object | Root::Template | Root::Pod | Root::Container | Root::Item => {
                "chart".to_owned()
            }
        };
        if path.root == Root::Pin {
            let digest = value.get("digest").and_then(Value::as_str);
            return Some(Fact::new(source, digest.unwrap_or_default()));
        }
        if path.root == Root::Image && path.keys == ["writable"] {
            let paths: Vec<&str> = value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|path| path.get("path").and_then(Value::as_str))
                .collect();
            return Some(Fact::new(source, format!("writes to {}", paths.join(", "))));
        }
        let key = if path.keys.is_empty() {
            String::new()
        } else {
            format!("{}: ", path.dotted())
        };
        Some(Fact::new(
            source,
            format!("{key}{}", crate::settings::printed(value)),
        ))
    }
}

fn witness(path: &Path, index: usize, item: &Value) -> String {
    let words = |key: &str| -> Vec<&str> {
        item.get(key)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect()
    };
    let list = path.keys.last().copied().unwrap_or_default();
    let (verbs, resources) = (words("verbs"), words("resources"));
    match item {
        _ if !verbs.is_empty() => {
            let of = if resources.is_empty() {
                words("nonResourceURLs")
            } else {
                resources
            };
            format!(
                "{list}[{index}] allows {} of {}",
                verbs.join(", "),
                of.join(", ")
            )
        }
        Value::String(text) if !matches!(list, "command" | "args") => text.clone(),
        item => match item.get("name").and_then(Value::as_str) {
            Some(name) => format!("{list}[{index}] {name}"),
            None => format!("{list}[{index}]"),
        },
    }
}

fn is(value: &Value, literal: &Literal) -> bool {
    match literal {
        Literal::Bool(wanted) => value == wanted,
        // A YAML number written 0.0 is what templates hold for 0 too.
        Literal::Number(wanted) => value.as_f64() == Some(bound_of(*wanted)),
        Literal::Text(wanted) => value == wanted,
    }
}

pub(super) fn literal_value(literal: &Literal) -> Value {
    match literal {
        Literal::Bool(value) => (*value).into(),
        Literal::Number(value) => (*value).into(),
        Literal::Text(value) => (*value).into(),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "literals of rules are small, and templates compare as float64 too"
)]
fn bound_of(number: i64) -> f64 {
    number as f64
}
