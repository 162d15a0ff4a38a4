//! Which trusted key signed what.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quench_content::artefact::Manifest;
use quench_content::{Store, StoreError};
use quench_model::{Descriptor, Digest, annotation, media_type};

use super::cosign::{BUNDLE_CLAIM, Payload};
use super::envelope::{self, Attested};
use super::{PublicKey, bundle, provenance};
use crate::verify::{Verified, VerifyError};

/// Most bytes of a payload or envelope.
pub(crate) const SIGNED_LIMIT: u64 = 4 << 20;
/// Most signatures and statements of a package that are looked at.
pub(crate) const SIGNED_COUNT: usize = 10_000;

/// A signature or statement attached to something, as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDocument {
    /// Digest of what it is attached to.
    pub subject: Digest,
    /// Digest of the manifest that attaches it.
    pub referrer: Digest,
    /// What it is.
    pub kind: SignedKind,
    /// Digest of the document.
    pub digest: Digest,
    /// The document: a payload, an envelope, or a statement.
    pub bytes: Vec<u8>,
}

/// What a [`SignedDocument`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignedKind {
    /// A simple signing payload.
    Signature {
        /// Base64 of its signature.
        signature: String,
    },
    /// A statement in a DSSE envelope.
    Envelope,
    /// A statement in a sigstore bundle.
    Bundle,
    /// A statement that nobody signed.
    Statement,
}

impl SignedDocument {
    /// What a layer of a referrer is, if it is a signature or a statement.
    pub(crate) fn kind(layer: &Descriptor) -> Option<SignedKind> {
        match layer.media_type.as_str() {
            media_type::SIMPLE_SIGNING => Some(SignedKind::Signature {
                signature: layer
                    .annotation(annotation::COSIGN_SIGNATURE)
                    .unwrap_or_default()
                    .to_owned(),
            }),
            media_type::DSSE => Some(SignedKind::Envelope),
            media_type::SIGSTORE_BUNDLE => Some(SignedKind::Bundle),
            media_type::IN_TOTO => Some(SignedKind::Statement),
            _ => None,
        }
    }

    /// Reads what one referrer attaches.
    pub(crate) async fn of_referrer(
        store: &Store,
        subject: &Digest,
        referrer: &Descriptor,
    ) -> Result<Vec<Self>, StoreError> {
        let mut documents = Vec::new();
        if !is_signed(referrer) {
            return Ok(documents);
        }
        let manifest: Manifest = store.manifest(referrer).await?;
        for layer in &manifest.layers {
            if let Some(kind) = Self::kind(layer) {
                documents.push(Self {
                    subject: subject.clone(),
                    referrer: referrer.digest.clone(),
                    kind,
                    digest: layer.digest.clone(),
                    bytes: store.read(layer, SIGNED_LIMIT).await?,
                });
            }
        }
        Ok(documents)
    }

    /// The statement, if the document is one, and which of `keys` signed it.
    ///
    /// # Errors
    /// Says why it cannot be read.
    pub(crate) fn statement(&self, keys: &[PublicKey]) -> Result<Option<Attested>, String> {
        match self.kind {
            SignedKind::Signature { .. } => Ok(None),
            SignedKind::Envelope => envelope::open(&self.bytes, keys).map(Some),
            SignedKind::Bundle => bundle::open(&self.bytes, keys).map(Some),
            SignedKind::Statement => envelope::open_unsigned(&self.bytes).map(Some),
        }
    }
}

/// Whether a referrer attaches signatures or statements, by its type.
pub(crate) fn is_signed(referrer: &Descriptor) -> bool {
    matches!(
        referrer.artifact_type.as_deref(),
        Some(
            media_type::COSIGN_SIGNATURE
                | media_type::COSIGN_ATTESTATION
                | media_type::SIGSTORE_BUNDLE
                | media_type::IN_TOTO
        )
    )
}

/// Who signed a package.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Signatures {
    /// Ids of the trusted keys that signed the revision, in the order they were given.
    pub keys: Vec<Digest>,
    /// Number of signatures on the revision, by whomever.
    pub found: usize,
    /// Images and charts that a trusted key signed.
    pub signed_parts: BTreeSet<Digest>,
    /// Statements about revisions, with the trusted keys that signed each.
    pub statements: Vec<(Digest, Attested)>,
}

/// Verifies what is signed in a package that was found whole: each signature and statement attached to a revision must be
/// about that revision; with keys, one of them must have signed the newest revision, and what it said belongs to the
/// revision must be there.
///
/// With no keys nothing is trusted; what is attached is looked at all the same, and [`Signatures::keys`] stays empty.
///
/// # Errors
/// [`VerifyError::Broken`] names what is wrong: no signature, none by a trusted key, one that belongs to something else,
/// an attachment that was taken away.
pub fn verify_signatures(
    verified: &Verified,
    keys: &[PublicKey],
) -> Result<Signatures, VerifyError> {
    let broken = |reason: String| VerifyError::Broken {
        package: format!("revision {}", verified.revision.digest),
        reason,
    };
    let mut found = Signatures::default();
    let revision = &verified.revision.digest;
    for document in &verified.signed {
        let of_revision = verified.lineage.contains(&document.subject);
        let what = || {
            format!(
                "what {} attaches to {}",
                document.referrer, document.subject
            )
        };
        let refuse = |reason: String| broken(format!("{} {reason}", what()));
        let SignedKind::Signature { signature } = &document.kind else {
            match document.statement(keys) {
                Ok(Some(attested)) if attested.statement.is_about(&document.subject) => {
                    if document.kind == SignedKind::Bundle
                        && attested.statement.predicate_type == bundle::SIGNED
                        && !attested.keys.is_empty()
                        && !of_revision
                    {
                        found.signed_parts.insert(document.subject.clone());
                    }
                    found.statements.push((document.subject.clone(), attested));
                }
                Ok(_) if of_revision => {
                    return Err(refuse("is a statement about something else".to_owned()));
                }
                Err(reason) if of_revision => return Err(refuse(reason)),
                // An image may come with statements of its own makers, in forms of their own.
                _ => {}
            }
            continue;
        };
        let payload = match Payload::parse(&document.bytes) {
            Ok(payload) if *payload.digest() == document.subject => payload,
            Ok(payload) if of_revision => {
                return Err(refuse(format!(
                    "is the signature of {}: it was taken from elsewhere",
                    payload.digest()
                )));
            }
            Err(reason) if of_revision => return Err(refuse(reason)),
            _ => continue,
        };
        let signature = STANDARD.decode(signature).unwrap_or_default();
        let signers: Vec<&PublicKey> = keys
            .iter()
            .filter(|key| key.verify(&document.bytes, &signature))
            .collect();
        if document.subject != *revision {
            if !signers.is_empty() && !of_revision {
                found.signed_parts.insert(document.subject.clone());
            }
            continue;
        }
        found.found += 1;
        for signer in &signers {
            if let Some(statement) = payload.claim(provenance::STATEMENT_CLAIM) {
                check_statement(verified, signer, statement).map_err(broken)?;
            }
            if let Some(bundle) = payload.claim(BUNDLE_CLAIM) {
                signed_with_it(verified, signer, "bundle", bundle).map_err(broken)?;
            }
            if !found.keys.contains(signer.id()) {
                found.keys.push(signer.id().clone());
            }
        }
    }
    if !keys.is_empty() && found.keys.is_empty() {
        let trusted: Vec<String> = keys.iter().map(|key| key.id().to_string()).collect();
        return Err(broken(match found.found {
            0 => "it is not signed".to_owned(),
            count => format!(
                "none of its {count} signatures was made by a trusted key ({})",
                trusted.join(", ")
            ),
        }));
    }
    found
        .keys
        .sort_by_key(|id| keys.iter().position(|key| key.id() == id));
    Ok(found)
}

/// What a signature names must be there, attached to the revision, and by the same key.
fn signed_with_it(
    verified: &Verified,
    signer: &PublicKey,
    what: &str,
    named: &str,
) -> Result<Attested, String> {
    let revision = &verified.revision.digest;
    verified
        .signed
        .iter()
        .find(|document| document.digest.to_string() == named && document.subject == *revision)
        .ok_or_else(|| format!("the {what} {named} that was signed with it is missing"))?
        .statement(std::slice::from_ref(signer))?
        .filter(|attested| attested.keys.contains(signer.id()))
        .ok_or_else(|| format!("the {what} {named} is not signed by the key that names it"))
}

/// So must the statement of what the revision was made from, and everything it lists.
fn check_statement(verified: &Verified, signer: &PublicKey, statement: &str) -> Result<(), String> {
    let attested = signed_with_it(verified, signer, "statement", statement)?;
    for listed in provenance::listed_attachments(&attested.statement)? {
        let mut present = verified
            .referrers
            .iter()
            .filter(|(subject, _)| *subject == listed.revision)
            .map(|(_, referrer)| referrer);
        // Findings are replaced whenever advisories change; that there are some must not change.
        let there = if listed.kind == media_type::FINDINGS {
            present.any(|r| r.artifact_type.as_deref() == Some(media_type::FINDINGS))
        } else {
            present.any(|r| r.digest == listed.digest)
        };
        if !there {
            return Err(format!(
                "{} {}, attached to {} when it was signed, is missing",
                listed.kind, listed.digest, listed.revision
            ));
        }
    }
    Ok(())
}
