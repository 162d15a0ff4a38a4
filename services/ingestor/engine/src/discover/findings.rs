//! What could not be looked at, or could not be decided, as findings.

use quench_model::{
    Evidence, Finding, FindingKind, ImageReference, Level, PackageName, Severity, Subject,
};
use quench_package::{ImageClass, ImageEvidence, LeftOut};

use super::Discovered;

/// Most evidence of one finding.
const MAX_EVIDENCE: usize = 50;

impl Discovered {
    /// Findings about the search itself.
    pub(crate) fn findings(&self, package: &PackageName) -> Vec<Finding> {
        let mut findings: Vec<Finding> = self
            .imageless
            .iter()
            .map(|place| imageless(package, place))
            .collect();
        findings.extend(self.unrendered(package));
        findings.extend(self.unsearched(package));
        findings
    }

    fn unrendered(&self, package: &PackageName) -> Option<Finding> {
        let failed: Vec<(&String, &String)> = self
            .failed
            .iter()
            .filter(|(_, (_, matters))| *matters)
            .map(|(set, (reason, _))| (set, reason))
            .collect();
        if failed.is_empty() {
            return None;
        }
        let mut finding = Finding::opened(
            FindingKind::Completeness,
            "values-not-rendered",
            subject(package, None, None),
            Severity::Info,
            Level::Integrated,
            format!(
                "{} of {} value sets that may bring other images do not render",
                failed.len(),
                self.rendered
            ),
        );
        "images that only these values bring are not in the package; give values with which they render (-f) to look there as well"
            .clone_into(&mut finding.message);
        for (set, reason) in failed.iter().take(MAX_EVIDENCE) {
            let first = reason.lines().next_back().unwrap_or_default().trim();
            finding.evidence.push(Evidence::new(set.as_str(), first));
        }
        if let Some(more) = failed
            .len()
            .checked_sub(MAX_EVIDENCE)
            .filter(|more| *more > 0)
        {
            let fact = format!("{more} more; the image lock has all of them");
            finding.evidence.push(Evidence::new("value sets", fact));
        }
        Some(finding)
    }

    fn unsearched(&self, package: &PackageName) -> Option<Finding> {
        if self.left_out == 0 && !self.is_cut {
            return None;
        }
        let mut finding = Finding::opened(
            FindingKind::Completeness,
            "value-space-not-exhausted",
            subject(package, None, None),
            Severity::Medium,
            Level::Integrated,
            "the chart has more value sets than were rendered".to_owned(),
        );
        "images that only the other values bring are not in the package; give values that turn on what you use (-f)"
            .clone_into(&mut finding.message);
        let fact = format!("{} rendered, {} left out", self.rendered, self.left_out);
        finding.evidence.push(Evidence::new("value sets", fact));
        if self.is_cut {
            let fact = "too large to be read to the end";
            finding.evidence.push(Evidence::new("templates", fact));
        }
        Some(finding)
    }
}

/// A finding for a reference that did not get into the package.
pub(crate) fn left_out(
    package: &PackageName,
    reference: &ImageReference,
    what: &LeftOut,
) -> Finding {
    let place = what.evidence.first();
    let location = place.map(|place| {
        if place.kind.is_empty() {
            place.template.clone()
        } else {
            format!("{}/{}", place.kind, place.name)
        }
    });
    let (id, severity, title, message) = match what.class {
        ImageClass::Possible => (
            "image-not-confirmed",
            Severity::Low,
            format!("{reference} may be an image the chart uses"),
            format!(
                "it looks like one, but {}; if it is one, give it with --images-from, if not, nothing is missing",
                what.reason
            ),
        ),
        ImageClass::Optional | ImageClass::Required => (
            "optional-image-left-out",
            Severity::Low,
            format!("{reference} is not in the package"),
            format!("the chart uses it at other values; {}", what.reason),
        ),
    };
    let mut finding = Finding::opened(
        FindingKind::Completeness,
        id,
        subject(package, Some(reference), location),
        severity,
        Level::Integrated,
        title,
    );
    finding.message = message;
    for place in what.evidence.iter().take(MAX_EVIDENCE) {
        finding
            .evidence
            .push(Evidence::new(&*place.template, place.to_string()));
    }
    finding
}

fn imageless(package: &PackageName, place: &ImageEvidence) -> Finding {
    let location = format!("{}/{}/{}", place.kind, place.name, place.container);
    let mut finding = Finding::opened(
        FindingKind::Completeness,
        "container-without-image",
        subject(package, None, Some(location)),
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

fn subject(
    package: &PackageName,
    image: Option<&ImageReference>,
    location: Option<String>,
) -> Subject {
    Subject {
        package: package.clone(),
        image: image.map(ImageReference::name),
        purl: None,
        location,
    }
}
