//! Pod specs, containers and images in rendered objects.
//!
//! Start with [`pods`] for reading and [`for_each_pod_mut`] for changing; both look into `List` objects.
//! [`Pod::containers`] and [`images`] go on from there.

use std::fmt;

use serde_json::{Map, Value};

/// Deepest nesting of `List` objects looked into.
const MAX_LIST_DEPTH: usize = 8;

/// Names an object the way people look for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId {
    /// `apiVersion` as written.
    pub api_version: String,
    /// `kind` as written.
    pub kind: String,
    /// `metadata.namespace`; empty where none is written.
    pub namespace: String,
    /// `metadata.name`; the `generateName` with a `*` after it where there is no name.
    pub name: String,
}

impl ObjectId {
    /// Reads the identity of an object. Missing parts are empty.
    pub fn of(object: &Value) -> Self {
        let text = |value: Option<&Value>| {
            value
                .and_then(Value::as_str)
                .map(str::to_owned)
                .unwrap_or_default()
        };
        let metadata = object.get("metadata");
        let field = |key: &str| text(metadata.and_then(|metadata| metadata.get(key)));
        let name = match field("name") {
            name if name.is_empty() => match field("generateName") {
                prefix if prefix.is_empty() => prefix,
                prefix => format!("{prefix}*"),
            },
            name => name,
        };
        Self {
            api_version: text(object.get("apiVersion")),
            kind: text(object.get("kind")),
            namespace: field("namespace"),
            name,
        }
    }
}

impl fmt::Display for ObjectId {
    /// `Kind/name`, with `namespace/` before it where one is written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        write!(f, "{}/{}", self.kind, self.name)
    }
}

/// Which of a pod's three lists a container stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ContainerKind {
    /// Runs before the pod's containers (or beside them, with `restartPolicy: Always`).
    Init,
    /// Runs the workload.
    Regular,
    /// Put in for debugging.
    Ephemeral,
}

impl ContainerKind {
    /// All kinds, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Init, Self::Regular, Self::Ephemeral];

    /// Name of the list in the pod spec.
    pub fn field(self) -> &'static str {
        match self {
            Self::Init => "initContainers",
            Self::Regular => "containers",
            Self::Ephemeral => "ephemeralContainers",
        }
    }
}

/// A pod that an object describes: the pod itself, or the template of a workload.
#[derive(Debug, Clone)]
pub struct Pod<'a> {
    /// The object.
    pub owner: ObjectId,
    /// Labels and annotations of the pod: `metadata` beside `spec`. `None` where the template has none.
    pub metadata: Option<&'a Map<String, Value>>,
    /// The pod spec.
    pub spec: &'a Map<String, Value>,
    /// JSON pointer from the object to the pod spec.
    pub pointer: &'static str,
}

/// A container of a pod.
#[derive(Debug, Clone)]
pub struct Container<'a> {
    /// List it stands in.
    pub kind: ContainerKind,
    /// Place in that list, from 0.
    pub index: usize,
    /// Its name; empty where none is written.
    pub name: &'a str,
    /// Its image as written; `None` where it is missing or no text.
    pub image: Option<&'a str>,
    /// All of it.
    pub spec: &'a Map<String, Value>,
}

/// An image as a chart renders it, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageUse {
    /// The reference as written.
    pub image: String,
    /// `Kind/name/container`.
    pub place: String,
    /// List the container stands in.
    pub kind: ContainerKind,
}

impl<'a> Pod<'a> {
    /// Containers: init containers first, in order.
    pub fn containers(&self) -> impl Iterator<Item = Container<'a>> + use<'a> {
        let spec = self.spec;
        ContainerKind::ALL.into_iter().flat_map(move |kind| {
            spec.get(kind.field())
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .enumerate()
                .filter_map(move |(index, value)| {
                    let spec = value.as_object()?;
                    Some(Container {
                        kind,
                        index,
                        name: spec.get("name").and_then(Value::as_str).unwrap_or_default(),
                        image: spec.get("image").and_then(Value::as_str),
                        spec,
                    })
                })
        })
    }
}

impl<'a> Pod<'a> {
    /// Names and references of the volumes that are images (KEP-4639): they are pulled like those of containers.
    pub fn image_volumes(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let volumes = self.spec.get("volumes").and_then(Value::as_array);
        volumes.into_iter().flatten().filter_map(|volume| {
            let reference = volume.pointer("/image/reference")?.as_str()?;
            let name = volume.get("name").and_then(Value::as_str);
            (!reference.is_empty()).then(|| (name.unwrap_or_default(), reference))
        })
    }
}

/// Where an object of this kind holds its pod: the pointer to the object that has `metadata` and `spec`.
///
/// The version of the API is not looked at: the shape of these has never changed, and a chart that still writes
/// `extensions/v1beta1` has pods too.
pub fn pod_pointer(api_version: &str, kind: &str) -> Option<&'static str> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Pod") => Some(""),
        ("", "ReplicationController")
        | ("apps" | "extensions", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job") => Some("/spec/template"),
        ("", "PodTemplate") => Some("/template"),
        ("batch", "CronJob") => Some("/spec/jobTemplate/spec/template"),
        _ => None,
    }
}

fn spec_pointer(template: &str) -> &'static str {
    match template {
        "" => "/spec",
        "/template" => "/template/spec",
        "/spec/jobTemplate/spec/template" => "/spec/jobTemplate/spec/template/spec",
        _ => "/spec/template/spec",
    }
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Whether the object is a list of objects: `kind` ends in `List` and it has `items`.
fn is_list(object: &Value) -> bool {
    text(object, "kind").ends_with("List") && object.get("items").is_some_and(Value::is_array)
}

/// The objects in an object: itself, or the members of a `List`, at any depth that makes sense.
pub fn objects(object: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    collect(object, 0, &mut found);
    found
}

fn collect<'a>(object: &'a Value, depth: usize, found: &mut Vec<&'a Value>) {
    match object.get("items").and_then(Value::as_array) {
        Some(items) if is_list(object) && depth < MAX_LIST_DEPTH => {
            for item in items {
                collect(item, depth + 1, found);
            }
        }
        _ => found.push(object),
    }
}

/// Calls `change` with each object in an object: itself, or the members of a `List`.
pub fn for_each_object_mut(object: &mut Value, change: &mut dyn FnMut(&mut Value)) {
    visit(object, 0, change);
}

fn visit(object: &mut Value, depth: usize, change: &mut dyn FnMut(&mut Value)) {
    if is_list(object) && depth < MAX_LIST_DEPTH {
        for item in object
            .get_mut("items")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            visit(item, depth + 1, change);
        }
    } else {
        change(object);
    }
}

/// The pods an object describes.
pub fn pods(object: &Value) -> Vec<Pod<'_>> {
    objects(object).into_iter().filter_map(pod).collect()
}

/// The pod that this object itself, no `List`, describes.
pub fn pod(object: &Value) -> Option<Pod<'_>> {
    let pointer = pod_pointer(text(object, "apiVersion"), text(object, "kind"))?;
    let template = object.pointer(pointer)?;
    Some(Pod {
        owner: ObjectId::of(object),
        metadata: template.get("metadata").and_then(Value::as_object),
        spec: template.get("spec")?.as_object()?,
        pointer: spec_pointer(pointer),
    })
}

/// Calls `change` with the owner and the template (the map that has `metadata` and `spec`) of each pod an object describes.
pub fn for_each_pod_mut(
    object: &mut Value,
    change: &mut dyn FnMut(&ObjectId, &mut Map<String, Value>),
) {
    for_each_object_mut(object, &mut |object| {
        let Some(pointer) = pod_pointer(text(object, "apiVersion"), text(object, "kind")) else {
            return;
        };
        let owner = ObjectId::of(object);
        let template = object.pointer_mut(pointer).and_then(Value::as_object_mut);
        if let Some(template) = template
            && template.get("spec").is_some_and(Value::is_object)
        {
            change(&owner, template);
        }
    });
}

/// Calls `change` with each container of a pod spec.
pub fn for_each_container_mut(
    spec: &mut Map<String, Value>,
    change: &mut dyn FnMut(ContainerKind, &mut Map<String, Value>),
) {
    for kind in ContainerKind::ALL {
        for container in spec
            .get_mut(kind.field())
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
            .filter_map(Value::as_object_mut)
        {
            change(kind, container);
        }
    }
}

/// Every image in the pods of an object, in order.
pub fn images(object: &Value) -> Vec<ImageUse> {
    pods(object)
        .iter()
        .flat_map(|pod| {
            pod.containers()
                .filter_map(|container| {
                    Some(ImageUse {
                        image: container.image?.to_owned(),
                        place: format!("{}/{}/{}", pod.owner.kind, pod.owner.name, container.name),
                        kind: container.kind,
                    })
                })
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yaml(text: &str) -> Value {
        crate::yaml::parse(text).unwrap()
    }

    #[test]
    fn every_workload_kind_has_its_pod() {
        for (version, kind, head) in [
            ("v1", "Pod", ""),
            ("apps/v1", "Deployment", "spec: {template: {HERE}}"),
            ("apps/v1", "StatefulSet", "spec: {template: {HERE}}"),
            (
                "extensions/v1beta1",
                "DaemonSet",
                "spec: {template: {HERE}}",
            ),
            ("apps/v1", "ReplicaSet", "spec: {template: {HERE}}"),
            ("v1", "ReplicationController", "spec: {template: {HERE}}"),
            ("batch/v1", "Job", "spec: {template: {HERE}}"),
            (
                "batch/v1beta1",
                "CronJob",
                "spec: {jobTemplate: {spec: {template: {HERE}}}}",
            ),
            ("v1", "PodTemplate", "template: {HERE}"),
        ] {
            let spec = "spec: {containers: [{name: main, image: a/b}], initContainers: [{name: first, image: c}]}";
            let body = if head.is_empty() {
                spec.to_owned()
            } else {
                head.replace("HERE", spec)
            };
            let object = yaml(&format!(
                "{{apiVersion: {version}, kind: {kind}, metadata: {{name: x}}, {body}}}"
            ));
            let images = images(&object);
            let places: Vec<_> = images.iter().map(|i| i.place.as_str()).collect();
            assert_eq!(
                places,
                [format!("{kind}/x/first"), format!("{kind}/x/main")],
                "{kind}"
            );
            let pods = pods(&object);
            assert_eq!(
                object.pointer(pods[0].pointer).and_then(Value::as_object),
                Some(pods[0].spec)
            );
        }
    }

    #[test]
    fn kinds_of_other_groups_are_not_mistaken() {
        let object = yaml(
            "{apiVersion: serving.knative.dev/v1, kind: Job, metadata: {name: x}, spec: {template: {spec: {containers: []}}}}",
        );
        assert!(pods(&object).is_empty());
    }

    #[test]
    fn lists_are_looked_into_and_changed() {
        let mut list = yaml(
            "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, image: i}]}}\n\
             - apiVersion: v1\n  kind: PodList\n  items:\n  - {apiVersion: v1, kind: Pod, metadata: {generateName: b-}, spec: {containers: [{name: c, image: i}]}}\n",
        );
        for_each_pod_mut(&mut list, &mut |_, template| {
            if let Some(spec) = template.get_mut("spec").and_then(Value::as_object_mut) {
                for_each_container_mut(spec, &mut |_, container| {
                    container.insert("image".to_owned(), "changed".into());
                });
            }
        });
        let found = images(&list);
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|image| image.image == "changed"));
        assert_eq!(found[1].place, "Pod/b-*/c");
    }
}
