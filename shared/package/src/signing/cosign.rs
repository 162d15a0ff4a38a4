//! Signatures of digests, in the form and place where cosign looks for them.
//!
//! Format: cosign `SIGNATURE_SPEC.md` (storage, simple signing payload). A signature is a referrer of what it signs; the
//! tag `sha256-<hex>.sig` that older versions of cosign read is made of the referrers when a package is pushed
//! ([`cosign_tags`]), since a tag that several signers write is a race and a referrer is not.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quench_content::artefact::Manifest;
use quench_content::{RefName, Store, StoreError};
use quench_model::{Descriptor, Digest, annotation, media_type};
use serde::{Deserialize, Serialize};

use super::SigningKey;
use crate::PackageError;

/// Type of every payload.
const PAYLOAD: &str = "cosign container image signature";

/// Claim of a signature that names the bundle made with it.
pub(super) const BUNDLE_CLAIM: &str = "quench.bundle";

/// A simple signing payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Payload {
    critical: Critical,
    /// Claims of the signer.
    #[serde(default)]
    optional: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    payload_type: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    #[serde(rename = "docker-reference")]
    docker_reference: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    docker_manifest_digest: Digest,
}

impl Payload {
    /// Reads a payload.
    ///
    /// # Errors
    /// Says why it is none.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let payload: Self =
            serde_json::from_slice(bytes).map_err(|e| format!("is no signature payload: {e}"))?;
        if payload.critical.payload_type == PAYLOAD {
            Ok(payload)
        } else {
            Err(format!(
                "is no signature payload but {:?}",
                payload.critical.payload_type
            ))
        }
    }

    /// The digest that was signed.
    pub(super) fn digest(&self) -> &Digest {
        &self.critical.image.docker_manifest_digest
    }

    /// A claim of the signer.
    pub(super) fn claim(&self, name: &str) -> Option<&str> {
        self.optional.as_ref()?.get(name)?.as_str()
    }
}

/// Signs the digest of a manifest or index and attaches the signature to it, in the form of cosign and as a sigstore bundle.
/// Gives the referrer of the former, whose claims name the bundle.
///
/// `identity` becomes the payload's `docker-reference`. Cosign passes over it; podman, skopeo and CRI-O compare it with
/// what they were asked to pull, or with what their policy names (`exactRepository`). It is part of what is signed, so
/// it must not change with the registry a package happens to lie in: name the package or the image, not a place.
///
/// # Errors
/// When the store refuses.
pub async fn sign_digest(
    store: &Store,
    subject: &Descriptor,
    identity: &str,
    mut claims: BTreeMap<String, serde_json::Value>,
    key: &SigningKey,
) -> Result<Descriptor, StoreError> {
    let bundle = super::bundle::attach(store, subject, identity, key).await?;
    claims.insert(BUNDLE_CLAIM.to_owned(), serde_json::json!(bundle));
    let payload = Payload {
        critical: Critical {
            identity: Identity {
                docker_reference: identity.to_owned(),
            },
            image: Image {
                docker_manifest_digest: subject.digest.clone(),
            },
            payload_type: PAYLOAD.to_owned(),
        },
        optional: Some(claims),
    };
    let bytes = serde_json::to_vec(&payload).map_err(|e| StoreError::Malformed {
        what: format!("signature of {}", subject.digest),
        reason: e.to_string(),
    })?;
    let layer = store
        .put(media_type::SIMPLE_SIGNING, &bytes)
        .await?
        .annotated(
            annotation::COSIGN_SIGNATURE,
            STANDARD.encode(key.sign(&bytes)),
        );
    let mut manifest = Manifest::artefact(media_type::COSIGN_SIGNATURE, vec![layer]);
    manifest.subject = Some(plain(subject));
    store.attach(&manifest).await
}

/// A descriptor as the `subject` of a referrer: only what names the content.
pub(super) fn plain(descriptor: &Descriptor) -> Descriptor {
    Descriptor {
        artifact_type: None,
        platform: None,
        annotations: BTreeMap::new(),
        ..descriptor.clone()
    }
}

/// A tag under which cosign looks for what is attached to a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignTag {
    /// `sha256-<hex>.sig` or `sha256-<hex>.att`.
    pub name: RefName,
    /// The manifest to tag: one layer for each signature or attestation. It is in the store.
    pub manifest: Descriptor,
}

/// The tags that make the signatures and attestations of these digests visible to every version of cosign: push each
/// manifest with what it names, and tag it. Layers of a manifest that the store already has under such a tag, because
/// an image came with it, are kept.
///
/// # Errors
/// When the store cannot be read or refuses.
pub async fn cosign_tags<'a>(
    store: &Store,
    subjects: impl IntoIterator<Item = &'a Digest>,
) -> Result<Vec<CosignTag>, PackageError> {
    let mut tags = Vec::new();
    for subject in subjects {
        let referrers = store.referrers(subject, None).await?;
        for (suffix, artifact_type) in [
            ("sig", media_type::COSIGN_SIGNATURE),
            ("att", media_type::COSIGN_ATTESTATION),
        ] {
            let mut layers = Vec::new();
            for referrer in &referrers {
                if referrer.artifact_type.as_deref() == Some(artifact_type) {
                    layers.extend(store.manifest(referrer).await?.layers);
                }
            }
            if layers.is_empty() {
                continue;
            }
            let name = RefName::cosign(subject, suffix);
            if let Some(present) = store.resolve(&name).await? {
                layers.extend(store.manifest(&present).await?.layers);
            }
            tags.push(CosignTag {
                manifest: tag_manifest(store, layers, suffix).await?,
                name,
            });
        }
    }
    Ok(tags)
}

/// A manifest in the older form: an image whose layers are the signatures.
async fn tag_manifest(
    store: &Store,
    mut layers: Vec<Descriptor>,
    suffix: &str,
) -> Result<Descriptor, StoreError> {
    if suffix == "att" {
        // The signature is within the envelope; cosign wants the annotation all the same.
        for layer in &mut layers {
            layer
                .annotations
                .entry(annotation::COSIGN_SIGNATURE.to_owned())
                .or_default();
        }
    }
    layers.sort_by(|a, b| (&a.digest, &a.annotations).cmp(&(&b.digest, &b.annotations)));
    layers.dedup();
    let diff_ids: Vec<&Digest> = layers.iter().map(|layer| &layer.digest).collect();
    let config = serde_json::json!({
        "architecture": "",
        "os": "",
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "config": {},
    });
    let config = store.put_json(media_type::CONFIG, &config).await?;
    let mut manifest = Manifest::artefact("", layers);
    manifest.artifact_type = None;
    manifest.config = config;
    store.put_manifest(&manifest).await
}
