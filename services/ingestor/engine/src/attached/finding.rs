//! What could not be read of an image's attachments, as a finding.

use quench_model::{
    Evidence, Finding, FindingKind, ImageReference, Level, PackageName, Severity, Subject,
};

use super::Unread;

/// Most attachments that one finding names.
const MAX_EVIDENCE: usize = 50;

/// The finding about an image some of whose attachments could not be read.
pub(crate) fn finding(
    package: &PackageName,
    reference: &ImageReference,
    unread: &[Unread],
) -> Finding {
    let mut finding = Finding::opened(
        FindingKind::Completeness,
        "attachment-not-read",
        Subject {
            package: package.clone(),
            image: Some(reference.name()),
            purl: None,
            location: None,
        },
        Severity::Low,
        Level::Integrated,
        match unread.len() {
            1 => format!("something attached to {reference} cannot be read"),
            number => format!("{number} things attached to {reference} cannot be read"),
        },
    );
    "a signature, attestation or SBOM of the image may be missing in the package; mend or remove it where the image comes from"
        .clone_into(&mut finding.message);
    for one in unread.iter().take(MAX_EVIDENCE) {
        let what = one.attachment.as_ref().map_or_else(
            || format!("attachments of {}", one.subject),
            |attachment| format!("{attachment} of {}", one.subject),
        );
        finding.evidence.push(Evidence::new(what, &*one.reason));
    }
    if let Some(more) = unread.len().checked_sub(MAX_EVIDENCE).filter(|n| *n > 0) {
        finding
            .evidence
            .push(Evidence::new("attachments", format!("{more} more")));
    }
    finding
}
