//! The Kubernetes Pod Security Standards, judged over a pod specification.
//!
//! Written after the published standard (kubernetes.io, "Pod Security Standards") with the version at which each
//! control began or changed, as the admission controller built into Kubernetes applies it. The controller's own
//! fixtures are the conformance test. Start with [`evaluate`], or [`strictest`] for one word about a pod.

mod baseline;
mod restricted;

use serde_json::{Map, Value};

/// A standard that forbids something. The third, "privileged", forbids nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standard {
    /// Stops known privilege escalations.
    Baseline,
    /// Follows current hardening practice.
    Restricted,
}

/// Minor version of the standard: 31 stands for v1.31. The standard is versioned with Kubernetes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32);

impl Version {
    /// The newest version judged here. Later ones are judged by it, until they change a control.
    pub const LATEST: Self = Self(37);
}

/// A control that a pod breaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Name of the control, as the admission controller names its check.
    pub control: &'static str,
    /// Where: `pod`, `container "name"`, `volume "name"`, `annotation "key"`.
    pub place: String,
    /// What is wrong there.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} {}", self.control, self.place, self.detail)
    }
}

/// What `pod` breaks of `standard` at `version`; empty when it meets the standard. `metadata` is the pod's (or
/// pod template's): some controls read its annotations.
pub fn evaluate(
    standard: Standard,
    version: Version,
    metadata: Option<&Value>,
    spec: &Value,
) -> Vec<Violation> {
    let pod = Pod::new(metadata, spec, version);
    let mut found = Vec::new();
    baseline::check(&pod, standard, &mut found);
    if standard == Standard::Restricted {
        restricted::check(&pod, &mut found);
    }
    found
}

/// Name of the strictest standard a pod meets: `restricted`, `baseline` or `privileged`.
pub fn strictest(version: Version, metadata: Option<&Value>, spec: &Value) -> &'static str {
    if evaluate(Standard::Restricted, version, metadata, spec).is_empty() {
        "restricted"
    } else if evaluate(Standard::Baseline, version, metadata, spec).is_empty() {
        "baseline"
    } else {
        "privileged"
    }
}

/// A pod as the controls look at it: absent and null are the same, and so is what is not of the expected type,
/// since the API server refuses that before any standard is asked.
struct Pod<'a> {
    annotations: Option<&'a Map<String, Value>>,
    spec: &'a Value,
    containers: Vec<&'a Value>,
    version: Version,
}

impl<'a> Pod<'a> {
    fn new(metadata: Option<&'a Value>, spec: &'a Value, version: Version) -> Self {
        let containers = ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(|list| items(spec, list))
            .collect();
        Self {
            annotations: metadata
                .and_then(|metadata| metadata.get("annotations"))
                .and_then(Value::as_object),
            spec,
            containers,
            version,
        }
    }

    fn since(&self, minor: u32) -> bool {
        self.version >= Version(minor)
    }

    /// Windows pods cannot set fields that only Linux has, so from 1.25 on they need not.
    fn is_windows(&self) -> bool {
        text(self.spec, &["os", "name"]) == Some("windows")
    }

    /// Whether root in the pod is not root on the host, which relaxes some controls from 1.35 on.
    fn has_user_namespace(&self) -> bool {
        boolean(self.spec, &["hostUsers"]) == Some(false)
    }

    /// The pod's and every container's security context, with what each is called.
    fn security_contexts(&self) -> impl Iterator<Item = (String, &'a Value)> {
        let of_pod = self
            .spec
            .get("securityContext")
            .map(|context| ("pod".to_owned(), context));
        let of_containers = self
            .containers
            .iter()
            .filter_map(|container| Some((called(container), container.get("securityContext")?)));
        of_pod
            .into_iter()
            .chain(of_containers)
            .filter(|(_, context)| context.is_object())
    }
}

fn called(container: &Value) -> String {
    format!("container {:?}", text(container, &["name"]).unwrap_or(""))
}

/// What lies at a path, null counting as nothing.
fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter()
        .try_fold(value, |value, key| value.get(key))
        .filter(|value| !value.is_null())
}

fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).and_then(Value::as_str)
}

fn boolean(value: &Value, path: &[&str]) -> Option<bool> {
    at(value, path).and_then(Value::as_bool)
}

fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value
        .get(key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Collects violations of one control.
struct Control<'f> {
    name: &'static str,
    found: &'f mut Vec<Violation>,
}

impl<'f> Control<'f> {
    fn new(name: &'static str, found: &'f mut Vec<Violation>) -> Self {
        Self { name, found }
    }

    fn broken(&mut self, place: impl Into<String>, detail: impl Into<String>) {
        self.found.push(Violation {
            control: self.name,
            place: place.into(),
            detail: detail.into(),
        });
    }
}
