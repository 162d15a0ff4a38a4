//! Which images a chart needs: those its rendered pod specifications name.

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::render::Rendered;
use quench_chart::workload::{self, ObjectId, Pod};
use quench_model::{
    Evidence, Finding, FindingKind, ImageReference, Level, PackageName, Severity, Subject,
};
use quench_package::{EngineError, ImageEvidence};
use serde_json::Value;

/// What a chart's rendered objects say about images.
#[derive(Debug, Default)]
pub(crate) struct Discovered {
    /// Images, by canonical reference.
    pub(crate) images: BTreeMap<ImageReference, Discovery>,
    /// What could not be looked at.
    pub(crate) findings: Vec<Finding>,
}

/// How and where a chart names an image.
#[derive(Debug, Default)]
pub(crate) struct Discovery {
    /// Spellings.
    pub(crate) rendered: BTreeSet<String>,
    /// Places.
    pub(crate) evidence: BTreeSet<ImageEvidence>,
}

/// Finds the images of every pod specification.
///
/// # Errors
/// [`EngineError::Input`] when a pod names an image by what is no reference: Kubernetes would refuse it too.
pub(crate) fn discover(
    package: &PackageName,
    rendered: &Rendered,
) -> Result<Discovered, EngineError> {
    let mut found = Discovered::default();
    for document in &rendered.documents {
        let Some(object) = &document.object else {
            continue;
        };
        for object in workload::objects(object) {
            let id = ObjectId::of(object);
            if is_custom(&id.api_version) {
                found
                    .findings
                    .push(unsearched(package, &document.source, &id));
            }
            if let Some(pod) = workload::pod(object) {
                found.pod(package, &document.source, &pod)?;
            }
        }
    }
    found.findings.sort_by(|a, b| a.id.cmp(&b.id));
    found.findings.dedup_by(|a, b| a.id == b.id);
    Ok(found)
}

impl Discovered {
    fn pod(
        &mut self,
        package: &PackageName,
        template: &str,
        pod: &Pod<'_>,
    ) -> Result<(), EngineError> {
        for container in pod.containers() {
            let place = evidence(template, &pod.owner, container.name, container.kind.field());
            match container.image.filter(|image| !image.is_empty()) {
                Some(image) => self.add(image, place)?,
                None => self.findings.push(imageless(package, &place)),
            }
        }
        // Image volumes (KEP-4639) are pulled like containers are.
        let volumes = pod.spec.get("volumes").and_then(Value::as_array);
        for volume in volumes.into_iter().flatten() {
            let text = |pointer: &str| volume.pointer(pointer).and_then(Value::as_str);
            if let Some(image) = text("/image/reference").filter(|image| !image.is_empty()) {
                let name = text("/name").unwrap_or_default();
                self.add(image, evidence(template, &pod.owner, name, "volumes"))?;
            }
        }
        Ok(())
    }

    fn add(&mut self, image: &str, place: ImageEvidence) -> Result<(), EngineError> {
        let reference: ImageReference = image.parse().map_err(|e| {
            EngineError::Input(format!(
                "{} renders {}/{}, {} {:?}: {e}; check the values",
                place.template, place.kind, place.name, place.field, place.container
            ))
        })?;
        let discovery = self.images.entry(reference).or_default();
        discovery.rendered.insert(image.to_owned());
        discovery.evidence.insert(place);
        Ok(())
    }
}

fn evidence(template: &str, owner: &ObjectId, container: &str, field: &str) -> ImageEvidence {
    ImageEvidence {
        template: template.to_owned(),
        kind: owner.kind.clone(),
        name: owner.name.clone(),
        container: container.to_owned(),
        field: field.to_owned(),
    }
}

/// Whether an API is not Kubernetes' own: its group is a domain outside `k8s.io`.
fn is_custom(api_version: &str) -> bool {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    group.contains('.') && !group.ends_with(".k8s.io")
}

fn unsearched(package: &PackageName, template: &str, id: &ObjectId) -> Finding {
    let subject = Subject {
        package: package.clone(),
        image: None,
        purl: None,
        location: Some(format!("{}/{}", id.kind, id.name)),
    };
    let mut finding = Finding::opened(
        FindingKind::Completeness,
        "custom-resource-not-searched",
        subject,
        Severity::Info,
        Level::Integrated,
        format!("{}/{} was not searched for images", id.kind, id.name),
    );
    finding.message = format!(
        "a controller reads {} ({}) and may start images that no pod specification of this chart names; check \
         its documentation and give them their own chart",
        id.kind, id.api_version
    );
    finding.evidence.push(Evidence::new(
        template,
        format!("apiVersion: {}", id.api_version),
    ));
    finding
}

fn imageless(package: &PackageName, place: &ImageEvidence) -> Finding {
    let subject = Subject {
        package: package.clone(),
        image: None,
        purl: None,
        location: Some(format!("{}/{}/{}", place.kind, place.name, place.container)),
    };
    let mut finding = Finding::opened(
        FindingKind::Completeness,
        "container-without-image",
        subject,
        Severity::Medium,
        Level::Integrated,
        format!(
            "container {:?} of {}/{} names no image",
            place.container, place.kind, place.name
        ),
    );
    finding.message =
        "whatever fills it in at installation is not in the package; set the image in the values"
            .to_owned();
    finding.evidence.push(Evidence::new(
        &*place.template,
        format!("{}: no image", place.field),
    ));
    finding
}
