//! What lies in a layout beside its images because it is attached to them: signatures, attestations, SBOMs.
//!
//! Tools write them in the ways registries have them: an entry whose manifest names its subject, an index of referrers
//! under the name `sha256-<subject>`, a manifest under `sha256-<subject>.sig`, `.att` or `.sbom`; and `cosign save` writes
//! an entry of the image's own name that says what it is in an annotation.

use std::collections::BTreeSet;

use quench_content::COSIGN_SUFFIXES;
use quench_content::artefact::Index;
use quench_model::{Descriptor, Digest, annotation};
use quench_package::{Context, EngineError, GivenAttachment};

use super::given::Given;
use super::layout::{Blobs, Tree};
use crate::attached::described;

/// Most attachments in one layout.
const ATTACHED: usize = 20_000;
/// What `cosign save` annotates its entries with (cosign `pkg/oci/layout/write.go`).
const COSIGN_KIND: &str = "kind";
const COSIGN_KINDS: [(&str, &str); 3] = [
    ("dev.cosignproject.cosign/sigs", "sig"),
    ("dev.cosignproject.cosign/atts", "att"),
    // Not written by cosign itself, but by others that write what it reads.
    ("dev.cosignproject.cosign/sboms", "sbom"),
];

/// An entry that is attached to something, if that is there.
pub(super) struct Candidate<'e> {
    given: GivenAttachment,
    /// The entry of `index.json`, where the manifest in it says what it is attached to.
    own: Option<&'e Descriptor>,
}

/// Tells the entries that may be attached to something from all others.
pub(super) fn sort<'e>(
    blobs: &Blobs,
    entries: &'e [Descriptor],
) -> Result<(Vec<Candidate<'e>>, Vec<&'e Descriptor>), EngineError> {
    let (mut candidates, mut others) = (Vec::new(), Vec::new());
    let mut add = |subject: Digest, suffix: Option<&str>, descriptor: &Descriptor, own| {
        if candidates.len() >= ATTACHED {
            let reason = format!("more than {ATTACHED} manifests are attached");
            return Err(blobs.fault("index.json", &reason));
        }
        candidates.push(Candidate {
            given: GivenAttachment {
                subject,
                suffix: suffix.map(str::to_owned),
                descriptor: Descriptor {
                    artifact_type: None,
                    platform: None,
                    annotations: std::collections::BTreeMap::new(),
                    ..descriptor.clone()
                },
            },
            own,
        });
        Ok(())
    };
    for entry in entries.iter().filter(|entry| entry.is_manifest()) {
        let name = entry.annotation(annotation::REF_NAME).unwrap_or_default();
        match named(name) {
            Some((subject, Some(suffix))) => {
                add(subject, Some(suffix), entry, None)?;
                continue;
            }
            Some((subject, None)) if entry.is_index() => {
                let index: Index = serde_json::from_slice(&blobs.manifest(entry)?)
                    .map_err(|e| blobs.fault(name, &e.to_string()))?;
                for listed in index.manifests.iter().filter(|d| d.is_manifest()) {
                    add(subject.clone(), None, listed, None)?;
                }
                continue;
            }
            _ => {}
        }
        if let Some((subject, suffix)) = saved_by_cosign(entry, entries) {
            add(subject, Some(suffix), entry, None)?;
            continue;
        }
        match described(entry, &blobs.manifest(entry)?).1 {
            Some(subject) => add(subject, None, entry, Some(entry))?,
            None => others.push(entry),
        }
    }
    Ok((candidates, others))
}

/// Takes in what is attached to something of the layout, and what is attached to that. Gives the entries whose subject is
/// not there: they stand for themselves.
pub(super) async fn take_in<'e>(
    blobs: &Blobs,
    candidates: Vec<Candidate<'e>>,
    mut within: BTreeSet<Digest>,
    given: &mut Given,
    context: &Context,
) -> Result<Vec<&'e Descriptor>, EngineError> {
    let mut left = candidates;
    loop {
        let (now, later): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|candidate| within.contains(&candidate.given.subject));
        left = later;
        if now.is_empty() {
            break;
        }
        for Candidate { given: one, .. } in now {
            let (typed, own_subject) =
                described(&one.descriptor, &blobs.manifest(&one.descriptor)?);
            if one.suffix.is_none() && own_subject.as_ref() != Some(&one.subject) {
                tracing::warn!(
                    subject = %one.subject, attachment = %one.descriptor.digest, source = given.source(),
                    "it is listed, but does not say that it is attached: it is left out"
                );
                continue;
            }
            for descriptor in Tree::read(blobs, &one.descriptor)?.order {
                context.check_cancelled()?;
                blobs.store(&descriptor, &context.store).await?;
            }
            within.insert(one.descriptor.digest.clone());
            given.attach(match one.suffix {
                Some(_) => one,
                None => GivenAttachment {
                    descriptor: typed,
                    ..one
                },
            });
        }
    }
    Ok(left.into_iter().filter_map(|one| one.own).collect())
}

/// What a name of the form `sha256-<hex>` with or without one of cosign's suffixes speaks of.
fn named(name: &str) -> Option<(Digest, Option<&str>)> {
    let rest = name.strip_prefix("sha256-")?;
    let (hex, suffix) = match rest.split_once('.') {
        Some((hex, suffix)) if COSIGN_SUFFIXES.contains(&suffix) => (hex, Some(suffix)),
        Some(_) => return None,
        None => (rest, None),
    };
    Some((format!("sha256:{hex}").parse().ok()?, suffix))
}

/// The image whose signatures or attestations `cosign save` wrote as this entry: the one of the same name.
fn saved_by_cosign(entry: &Descriptor, entries: &[Descriptor]) -> Option<(Digest, &'static str)> {
    let kind = |entry: &Descriptor| entry.annotation(COSIGN_KIND).map(str::to_owned);
    let own = kind(entry)?;
    let (_, suffix) = COSIGN_KINDS.iter().find(|(known, _)| *known == own)?;
    let image = entries.iter().find(|other| {
        kind(other).is_some_and(|kind| kind.starts_with("dev.cosignproject.cosign/image"))
            && other.annotation(annotation::REF_NAME) == entry.annotation(annotation::REF_NAME)
    })?;
    Some((image.digest.clone(), suffix))
}
