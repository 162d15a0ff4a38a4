//! A place a check looks at: an object, its pod, or a container.

use serde_json::{Value, json};

use crate::evidence::{Evidence, Pin};
use crate::rule::{Path, Root};
use crate::workload;

use super::network::Network;

/// Where a check looks, by keys, so that the object can be changed in between.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Keys from the object to the map that holds the pod's `metadata` and `spec`.
    pub(super) template: Option<&'static [&'static str]>,
    /// List and index of the container.
    pub(super) container: Option<(&'static str, usize)>,
    /// Image of the container, as rendered, before any rule changed it.
    pub(super) reference: Option<String>,
    /// Facts of that image.
    pub(super) image: Option<Value>,
    /// Its digest.
    pub(super) pin: Option<Pin>,
    /// The same for conditions.
    pub(super) pin_value: Option<Value>,
    /// The list being changed, and the index of the item within.
    pub(super) item: Option<(Path, usize)>,
    /// How the workload's pods stand in the network, once all of the release is there.
    pub(super) network: Option<Network>,
    whole: bool,
}

impl Place {
    /// Every place of an object in the order in which they are looked at: containers, pod, object.
    pub(super) fn all(object: &Value, evidence: &Evidence) -> Vec<Self> {
        let bare = Self {
            template: workload::template_keys(object),
            container: None,
            reference: None,
            image: None,
            pin: None,
            pin_value: None,
            item: None,
            network: None,
            whole: false,
        };
        let mut places = Vec::new();
        if let Some(pod) = bare.get(object, Root::Pod) {
            for list in workload::CONTAINER_LISTS {
                let containers = pod.get(list).and_then(Value::as_array);
                for (index, container) in containers.into_iter().flatten().enumerate() {
                    if !container.is_object() {
                        continue;
                    }
                    let reference = container.get("image").and_then(Value::as_str);
                    let pin = reference.and_then(|reference| evidence.digest(reference));
                    places.push(Self {
                        container: Some((list, index)),
                        reference: reference.map(str::to_owned),
                        image: reference
                            .and_then(|reference| evidence.facts(reference))
                            .cloned(),
                        pin: pin.cloned(),
                        pin_value: pin.map(|pin| json!(pin)),
                        ..bare.clone()
                    });
                }
            }
            places.push(bare.clone());
        }
        places.push(Self {
            whole: true,
            ..bare
        });
        places
    }

    /// The pod of a workload, when all of its release is there.
    pub(super) fn of_release(object: &Value, network: Network) -> Self {
        Self {
            template: workload::template_keys(object),
            container: None,
            reference: None,
            image: None,
            pin: None,
            pin_value: None,
            item: None,
            network: Some(network),
            whole: false,
        }
    }

    /// The same place, at an item of a list.
    pub(super) fn at_item(&self, path: Path, index: usize) -> Self {
        Self {
            item: Some((path, index)),
            ..self.clone()
        }
    }

    pub(super) fn is_object(&self) -> bool {
        self.whole
    }

    pub(super) fn is_pod(&self) -> bool {
        !self.whole && self.container.is_none()
    }

    pub(super) fn is_regular_container(&self) -> bool {
        matches!(self.container, Some(("containers", _)))
    }

    /// A field below a root, as a path from the object: containers by name.
    pub(super) fn field(&self, object: &Value, root: Root, keys: &str) -> String {
        if let (Root::Item, Some((list, index))) = (root, self.item) {
            let name = self
                .get(object, root)
                .and_then(|item| item.get("name"))
                .and_then(Value::as_str)
                .map_or_else(|| index.to_string(), str::to_owned);
            return self.field(
                object,
                list.root,
                &format!("{}[{name}].{keys}", list.dotted()),
            );
        }
        let mut parts: Vec<String> = Vec::new();
        if root != Root::Object {
            parts.extend(
                self.template
                    .into_iter()
                    .flatten()
                    .map(|key| (*key).to_owned()),
            );
        }
        if matches!(root, Root::Pod | Root::Container) {
            parts.push("spec".to_owned());
        }
        if let (Root::Container, Some((list, index))) = (root, self.container) {
            let name = self
                .get(object, root)
                .and_then(|container| container.get("name"))
                .and_then(Value::as_str)
                .map_or_else(|| index.to_string(), str::to_owned);
            parts.push(format!("{list}[{name}]"));
        }
        parts.push(keys.to_owned());
        parts.retain(|part| !part.is_empty());
        parts.join(".")
    }

    /// What a root that is part of the object leads to.
    pub(super) fn get<'v>(&self, object: &'v Value, root: Root) -> Option<&'v Value> {
        let template = || {
            self.template?
                .iter()
                .try_fold(object, |value, key| value.get(key))
        };
        match root {
            Root::Object => Some(object),
            Root::Template => template(),
            Root::Pod => template()?.get("spec"),
            Root::Container => {
                let (list, index) = self.container?;
                template()?.get("spec")?.get(list)?.get(index)
            }
            Root::Item => {
                let (path, index) = self.item?;
                path.keys
                    .iter()
                    .try_fold(self.get(object, path.root)?, |value, key| value.get(key))?
                    .get(index)
            }
            Root::Image | Root::Pin | Root::Settings => None,
        }
    }

    /// The same, to change it.
    pub(super) fn get_mut<'v>(&self, object: &'v mut Value, root: Root) -> Option<&'v mut Value> {
        if root == Root::Object {
            return Some(object);
        }
        if root == Root::Item {
            let (path, index) = self.item?;
            let root = self.get_mut(object, path.root)?;
            let list = path
                .keys
                .iter()
                .try_fold(root, |value, key| value.get_mut(key))?;
            return list.get_mut(index);
        }
        let template = self
            .template?
            .iter()
            .try_fold(object, |value, key| value.get_mut(key))?;
        match root {
            Root::Template => Some(template),
            Root::Pod => template.get_mut("spec"),
            Root::Container => {
                let (list, index) = self.container?;
                template.get_mut("spec")?.get_mut(list)?.get_mut(index)
            }
            Root::Object | Root::Image | Root::Pin | Root::Item | Root::Settings => None,
        }
    }
}
