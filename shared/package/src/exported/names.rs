//! What `index.json` of an exported package names.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

use quench_content::artefact::{Index, Manifest};
use quench_content::{COSIGN_SUFFIXES, RefName};
use quench_model::{Descriptor, Digest, PackageName, annotation, media_type};

use super::Reached;
use super::contents::Contents;
use crate::delta;

impl<R: Read + Seek> Contents<R> {
    /// `index.json` has no digest of its own, so each of its entries must be what the package makes it: its name,
    /// the referrers of its manifests, its revisions' findings, cosign's tags. Gives what is attached.
    pub(super) fn check_names(
        &mut self,
        named: &[Descriptor],
        package: &PackageName,
        lineage: &[Descriptor],
        reached: &Reached,
    ) -> Result<Vec<(Digest, Descriptor)>, String> {
        if self.index != Index::of(named.to_vec()) {
            return Err("entry index.json holds more than an export writes".to_owned());
        }
        if !named.is_sorted_by(|a, b| {
            a.annotation(annotation::REF_NAME) < b.annotation(annotation::REF_NAME)
        }) {
            return Err("entry index.json names something twice or out of order".to_owned());
        }
        let revisions: BTreeSet<&Digest> = lineage.iter().map(|d| &d.digest).collect();
        let mut attached = Vec::new();
        for entry in named {
            let name = entry.annotation(annotation::REF_NAME).unwrap_or_default();
            let plain = |media_type: &str, artifact_type: Option<&str>| Descriptor {
                media_type: media_type.to_owned(),
                artifact_type: artifact_type.map(str::to_owned),
                platform: None,
                annotations: BTreeMap::from([(annotation::REF_NAME.to_owned(), name.to_owned())]),
                ..entry.clone()
            };
            let expected = match name_of(name) {
                Some(Named::Delta) => plain(media_type::DELTA, None),
                Some(Named::Findings(digest)) if revisions.contains(&digest) => {
                    plain(media_type::MANIFEST, Some(media_type::FINDINGS))
                }
                Some(Named::Referrers(digest)) if reached.is_manifest(&digest) => {
                    for referrer in self.check_referrers(entry, &digest)? {
                        attached.push((digest.clone(), referrer));
                    }
                    plain(media_type::INDEX, None)
                }
                Some(Named::Cosign(digest)) if reached.is_manifest(&digest) => {
                    let media_type = match entry.media_type.as_str() {
                        known if media_type::is_manifest(known) => known,
                        _ => media_type::MANIFEST,
                    };
                    plain(media_type, None)
                }
                None if name == RefName::package(package).as_str() => {
                    plain(media_type::INDEX, Some(media_type::PACKAGE))
                }
                _ => {
                    return Err(format!(
                        "index.json names {name:?}, which is not of this package"
                    ));
                }
            };
            if *entry != expected {
                return Err(format!("the entry {name:?} of index.json was changed"));
            }
        }
        Ok(attached)
    }

    /// Each referrer of a manifest must say itself that it is attached to it.
    fn check_referrers(
        &mut self,
        list: &Descriptor,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, String> {
        let list: Index = self.document(list)?;
        for referrer in &list.manifests {
            let manifest: Manifest = self.document(referrer)?;
            if manifest.subject.map(|s| s.digest).as_ref() != Some(subject) {
                return Err(format!(
                    "{} is listed with {subject}, but is not attached to it",
                    referrer.digest
                ));
            }
            // What decides what it is taken for is what it says itself.
            let kind = manifest.artifact_type.unwrap_or(manifest.config.media_type);
            let misnamed = referrer.artifact_type.as_deref() != Some(kind.as_str())
                || referrer
                    .annotations
                    .iter()
                    .any(|(key, value)| manifest.annotations.get(key) != Some(value));
            if misnamed {
                return Err(format!(
                    "{} is listed with {subject} as something it is not",
                    referrer.digest
                ));
            }
        }
        Ok(list.manifests)
    }
}

/// What a name of `index.json` is, by its form; none for a package's.
enum Named {
    Delta,
    Findings(Digest),
    Referrers(Digest),
    Cosign(Digest),
}

fn name_of(name: &str) -> Option<Named> {
    let digest = |hex: &str| format!("sha256:{hex}").parse::<Digest>().ok();
    if name == delta::NAME {
        return Some(Named::Delta);
    }
    if let Some(hex) = name.strip_prefix("findings-") {
        return digest(hex).map(Named::Findings);
    }
    let rest = name.strip_prefix("sha256-")?;
    match rest.split_once('.') {
        None => digest(rest).map(Named::Referrers),
        Some((hex, suffix)) if COSIGN_SUFFIXES.contains(&suffix) => digest(hex).map(Named::Cosign),
        Some(_) => None,
    }
}
