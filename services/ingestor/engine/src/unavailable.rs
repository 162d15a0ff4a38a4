//! Saying which images cannot be had, who needs them, and what to do.

use std::collections::BTreeMap;

use quench_model::ImageReference;
use quench_package::{EngineError, ImageClass, Submission};

use crate::discover::Image;
use crate::engine::IMAGE_RETRY;
use crate::fetch::{FailedAt, FetchError};

/// Most images that one error names.
const NAMED: usize = 20;

/// The error for images that were asked for in vain. Whatever is not the images' doing is told by itself.
pub(crate) fn unavailable(
    asked: &[&ImageReference],
    images: &BTreeMap<ImageReference, Image>,
    submission: &Submission,
    failed: Vec<FailedAt>,
) -> EngineError {
    let mut retry_after = None;
    let mut told = Vec::with_capacity(failed.len());
    let mut is_optional = true;
    for FailedAt { place, error } in failed {
        let (reason, wait) = match error {
            FetchError::Unavailable(reason, wait) => (reason, wait),
            FetchError::Engine(error) => return error,
        };
        retry_after = retry_after.max(wait);
        let reference = place.and_then(|place| asked.get(place)).copied();
        let image = reference.and_then(|reference| images.get(reference));
        is_optional &= image.is_some_and(|image| image.class == ImageClass::Optional);
        let needed = image
            .and_then(|image| image.evidence.first())
            .map(|place| format!(" (needed by {place})"))
            .unwrap_or_default();
        let name = reference.map_or_else(|| "of several".to_owned(), ToString::to_string);
        told.push((format!("{name}{needed}"), reason));
    }
    let (what, them, they) = match told.as_slice() {
        [(image, reason)] => (
            format!("image {image} cannot be had: {reason}; "),
            "it",
            "it is",
        ),
        many => (list(many), "them", "they are"),
    };
    let table = &submission.parts.images;
    let given: Vec<&str> = table.images.keys().map(String::as_str).collect();
    let given = match given.is_empty() {
        true => String::new(),
        false => format!("; given are {}", given.join(", ")),
    };
    let without = match is_optional {
        true => format!(
            "; {they} not needed at the given values: leave such images out with --images required"
        ),
        false => String::new(),
    };
    EngineError::Unavailable {
        reason: format!(
            "{what}give {them} with --images-from oci:DIR, docker-archive:FILE or oci-archive:FILE{given}{without}"
        ),
        retry_after: retry_after.unwrap_or(IMAGE_RETRY),
    }
}

/// A line for each of several images.
fn list(told: &[(String, String)]) -> String {
    let mut text = format!("{} images cannot be had:\n", told.len());
    for (image, reason) in told.iter().take(NAMED) {
        text.push_str(&format!("  {image}: {reason}\n"));
    }
    if let Some(more) = told.len().checked_sub(NAMED).filter(|more| *more > 0) {
        text.push_str(&format!("  and {more} more\n"));
    }
    text
}
