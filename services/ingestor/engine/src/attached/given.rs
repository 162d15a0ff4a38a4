//! What is attached to images that were given beside the chart.

use std::collections::BTreeSet;

use quench_content::{COSIGN_SUFFIXES, MANIFEST_LIMIT, RefName, Store};
use quench_model::{Descriptor, Digest};
use quench_package::{EngineError, GivenAttachment, ImageTable, closure};

use super::described;

/// Attaches in the store what was given with these images.
pub(crate) async fn attach_given<'a>(
    store: &Store,
    table: &ImageTable,
    images: impl Iterator<Item = &'a Descriptor>,
) -> Result<(), EngineError> {
    if table.attached.is_empty() {
        return Ok(());
    }
    let mut within: BTreeSet<Digest> = BTreeSet::new();
    for image in images {
        let parts = closure(store, image).await?;
        within.extend(parts.into_iter().map(|part| part.digest));
    }
    let mut left: Vec<&GivenAttachment> = table.attached.iter().collect();
    // Each round takes in what is attached to what the round before took in.
    loop {
        let (now, later): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|given| within.contains(&given.subject));
        if now.is_empty() {
            return Ok(());
        }
        for given in now {
            attach(store, given).await?;
            within.insert(given.descriptor.digest.clone());
        }
        left = later;
    }
}

/// A submission may come from anywhere, so what it says is looked at once more.
async fn attach(store: &Store, given: &GivenAttachment) -> Result<(), EngineError> {
    let refuse = |reason: &str| {
        EngineError::Input(format!(
            "attachment {} of {}: {reason}",
            given.descriptor.digest, given.subject
        ))
    };
    if let Some(suffix) = &given.suffix {
        if !COSIGN_SUFFIXES.contains(&suffix.as_str()) {
            return Err(refuse("it has a tag that is not one of cosign's"));
        }
        let tag = RefName::cosign(&given.subject, suffix);
        return Ok(store.tag(&tag, &given.descriptor).await?);
    }
    let bytes = store.read(&given.descriptor, MANIFEST_LIMIT).await?;
    let (descriptor, subject) = described(&given.descriptor, &bytes);
    if subject.as_ref() != Some(&given.subject) {
        return Err(refuse("it does not say that it is attached to that"));
    }
    Ok(store.list_referrer(&given.subject, &descriptor).await?)
}
