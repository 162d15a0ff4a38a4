//! What a package was made from, as a SLSA provenance v1 predicate, and signing a whole package.
//!
//! Format: <https://slsa.dev/spec/v1.0/provenance>. Nothing in it depends on when or where it is made.

use std::collections::BTreeMap;

use quench_content::{RefName, Store};
use quench_model::{Descriptor, Digest, annotation, media_type};
use serde_json::{Value, json};

use super::signed::is_signed;
use super::{SigningKey, Statement, attest, sign_digest};
use crate::attachment::work_notes;
use crate::{Package, PackageError, closure};

/// Type of the predicate.
const PREDICATE: &str = "https://slsa.dev/provenance/v1";
/// How a package is made; what the parameters mean.
const BUILD_TYPE: &str = "urn:quench:hardening:v1";
/// Claim of a signature that names the statement signed with it.
pub(super) const STATEMENT_CLAIM: &str = "quench.statement";

/// Annotation of a listed attachment: the revision it is attached to.
const ATTACHED_TO: &str = "quench.revision";

/// How [`sign_package`] signs.
#[derive(Debug, Clone, Default)]
pub struct SignOptions {
    /// Whether the chart and every image, each platform of it, is signed too, as `cosign sign --recursive` does.
    pub recursive: bool,
    /// What stands as `docker-reference` in the revision's signature; the package's name when left out.
    pub identity: Option<String>,
}

/// What was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The signature of the revision.
    pub signature: Descriptor,
    /// The statement of what the revision was made from.
    pub statement: Descriptor,
    /// Number of manifests that were signed, the revision included.
    pub manifests: usize,
}

/// Signs a revision: a statement of what it was made from and what is attached to it, and a signature over its digest
/// that names this statement. Signing twice with the same key changes nothing.
///
/// # Errors
/// When the package cannot be read, or the store refuses.
pub async fn sign_package(
    store: &Store,
    package: &Package,
    key: &SigningKey,
    options: &SignOptions,
) -> Result<Signed, PackageError> {
    let predicate = predicate(store, package).await?;
    let revision = &package.revision;
    let subject = Statement::about(
        package.name.as_str(),
        &revision.digest,
        PREDICATE,
        predicate,
    );
    let statement = attest(store, revision, &subject, Some(key)).await?;
    let envelope = store.manifest(&statement).await?.layers;
    let claims = envelope
        .first()
        .map(|layer| (STATEMENT_CLAIM.to_owned(), json!(layer.digest)))
        .into_iter()
        .collect();
    let identity = options
        .identity
        .clone()
        .unwrap_or_else(|| package.name.to_string());
    let signature = sign_digest(store, revision, &identity, claims, key).await?;
    let mut manifests = 1;
    if options.recursive {
        let chart = (&package.chart.manifest, package.name.to_string());
        let images = package.images.iter().map(|image| {
            let repository = image.reference.name();
            (&image.descriptor, repository)
        });
        for (root, identity) in std::iter::once(chart).chain(images) {
            for part in closure(store, root).await? {
                if part.is_manifest() {
                    sign_digest(store, &part, &identity, BTreeMap::new(), key).await?;
                    manifests += 1;
                }
            }
        }
    }
    Ok(Signed {
        signature,
        statement,
        manifests,
    })
}

async fn predicate(store: &Store, package: &Package) -> Result<Value, PackageError> {
    let lineage = package.lineage(store).await?;
    let request = package.request(store).await?;
    let mut levels = Vec::new();
    let mut materials = Vec::new();
    for revision in lineage.iter().rev() {
        let mut level = json!({
            "level": revision.level,
            "revision": revision.revision.digest,
        });
        let notes = work_notes(store, &revision.revision.digest).await?;
        for (field, note) in [
            ("engine", annotation::WORK_ENGINE),
            ("input", annotation::WORK_INPUT),
            ("policy", annotation::WORK_POLICY),
            ("epoch", annotation::WORK_EPOCH),
        ] {
            if let (Some(level), Some(note)) = (level.as_object_mut(), notes.get(note)) {
                level.insert(field.to_owned(), json!(note));
            }
        }
        levels.push(level);
    }
    if let Some(first) = lineage.last() {
        let archive = first.chart_archive(store).await?;
        materials.push(resource(
            "chart",
            &archive.digest,
            Some(&archive.media_type),
        ));
        for image in &first.images {
            materials.push(resource(
                &image.reference.to_string(),
                &image.original,
                Some(&image.descriptor.media_type),
            ));
        }
    }
    let mut byproducts = Vec::new();
    for revision in &lineage {
        let digest = &revision.revision.digest;
        for referrer in store.referrers(digest, None).await? {
            // Findings of past epochs stay behind when a package travels; that there are findings does not.
            if !is_signed(&referrer) && is_current(store, digest, &referrer).await? {
                let kind = referrer.artifact_type.as_deref().unwrap_or_default();
                let mut listed = resource(kind, &referrer.digest, Some(kind));
                if let Some(listed) = listed.as_object_mut() {
                    listed.insert("annotations".to_owned(), json!({ ATTACHED_TO: digest }));
                }
                byproducts.push(listed);
            }
        }
    }
    Ok(json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "package": package.name,
                "version": package.version,
                "level": package.level,
                "request": package.request.digest,
                "policy": request.policy.digest(),
            },
            "internalParameters": { "levels": levels },
            "resolvedDependencies": materials,
        },
        "runDetails": {
            "builder": {
                "id": "urn:quench:builder",
                "version": { "quench": env!("CARGO_PKG_VERSION") },
            },
            "byproducts": byproducts,
        },
    }))
}

/// Whether a referrer is not one of the findings that newer ones have replaced.
async fn is_current(
    store: &Store,
    revision: &Digest,
    referrer: &Descriptor,
) -> Result<bool, PackageError> {
    if referrer.artifact_type.as_deref() != Some(media_type::FINDINGS) {
        return Ok(true);
    }
    let current = store.resolve(&RefName::findings(revision)).await?;
    Ok(current.is_some_and(|current| current.digest == referrer.digest))
}

/// A resource descriptor of the in-toto attestation framework.
fn resource(name: &str, digest: &Digest, media_type: Option<&str>) -> Value {
    json!({
        "name": name,
        "digest": { "sha256": digest.hex() },
        "mediaType": media_type,
    })
}

/// Something that was attached when a revision was signed.
pub(super) struct ListedAttachment {
    /// The revision it was attached to: the signed one, or one it was made from.
    pub(super) revision: Digest,
    /// Digest of the referrer.
    pub(super) digest: Digest,
    /// Its type.
    pub(super) kind: String,
}

/// What a statement says was attached.
///
/// # Errors
/// When the list is not as this version writes it.
pub(super) fn listed_attachments(statement: &Statement) -> Result<Vec<ListedAttachment>, String> {
    let malformed = || {
        format!(
            "the statement {} lists what it should not",
            statement.predicate_type
        )
    };
    let Some(listed) = statement.predicate.pointer("/runDetails/byproducts") else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for resource in listed.as_array().ok_or_else(malformed)? {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let digest = |text: Option<String>| text.and_then(|t| t.parse().ok()).ok_or_else(malformed);
        let hex = text(resource.pointer("/digest/sha256")).map(|hex| format!("sha256:{hex}"));
        let annotations = resource.get("annotations");
        found.push(ListedAttachment {
            revision: digest(text(annotations.and_then(|a| a.get(ATTACHED_TO))))?,
            digest: digest(hex)?,
            kind: text(resource.get("name")).ok_or_else(malformed)?,
        });
    }
    Ok(found)
}
