//! Signatures as sigstore bundles, the form that cosign 3 writes and looks for first.
//!
//! Formats: cosign `BUNDLE_SPEC.md` for how a bundle is attached; sigstore protobuf-specs `sigstore_bundle.proto` (v0.3) in its
//! JSON form. What is signed is an in-toto statement about the digest, whose predicate is empty. There is no certificate and no
//! entry of a transparency log; the hint at the key is the one cosign gives: SHA-256 over its `SubjectPublicKeyInfo`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quench_content::artefact::Manifest;
use quench_content::{Store, StoreError};
use quench_model::{Descriptor, Digest, media_type};
use serde::{Deserialize, Serialize};

use super::envelope::{self, Attested, Envelope};
use super::{PublicKey, SigningKey, Statement};

/// Type of the predicate that says no more than that the subject is signed.
pub(super) const SIGNED: &str = "https://sigstore.dev/cosign/sign/v1";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    verification_material: Material,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dsse_envelope: Option<Envelope>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Material {
    #[serde(skip_serializing_if = "Option::is_none")]
    public_key: Option<Hint>,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Hint {
    hint: String,
}

/// Attaches a signature of a digest as a bundle. Gives the digest of the bundle. The same signature is attached once, however
/// often this is called.
pub(super) async fn attach(
    store: &Store,
    subject: &Descriptor,
    name: &str,
    key: &SigningKey,
) -> Result<Digest, StoreError> {
    let malformed = |reason: String| StoreError::Malformed {
        what: format!("signature of {}", subject.digest),
        reason,
    };
    let public = key.public().map_err(|e| malformed(e.to_string()))?;
    let statement = Statement::about(name, &subject.digest, SIGNED, serde_json::json!({}));
    let hint = STANDARD.encode(public.id().as_bytes());
    let bundle = Bundle {
        media_type: media_type::SIGSTORE_BUNDLE.to_owned(),
        verification_material: Material {
            public_key: Some(Hint { hint }),
        },
        dsse_envelope: Some(envelope::seal(&statement, key)?),
    };
    let layer = store.put_json(media_type::SIGSTORE_BUNDLE, &bundle).await?;
    let digest = layer.digest.clone();
    let mut manifest = Manifest::artefact(media_type::SIGSTORE_BUNDLE, vec![layer]);
    manifest.subject = Some(super::cosign::plain(subject));
    manifest.annotations = [
        ("dev.sigstore.bundle.content", "dsse-envelope"),
        ("dev.sigstore.bundle.predicateType", SIGNED),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    store.attach(&manifest).await?;
    Ok(digest)
}

/// Takes the statement out of a bundle, and tells which of `keys` signed it. Certificates and transparency logs of others are
/// not looked at.
///
/// # Errors
/// Says why it is no bundle, or holds no statement.
pub(super) fn open(bytes: &[u8], keys: &[PublicKey]) -> Result<Attested, String> {
    let bundle: Bundle =
        serde_json::from_slice(bytes).map_err(|e| format!("is no sigstore bundle: {e}"))?;
    let envelope = bundle
        .dsse_envelope
        .ok_or("is a sigstore bundle without a statement")?;
    envelope::open_sealed(&envelope, keys)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signing::Algorithm;

    /// What cosign 3.1 writes with a key and no transparency log: members that are empty are left out, the predicate too.
    #[test]
    fn a_bundle_as_cosign_writes_it_is_read() {
        let key = SigningKey::generate(Algorithm::EcdsaP256).unwrap();
        let digest = Digest::of("image");
        let statement = format!(
            r#"{{"_type":"https://in-toto.io/Statement/v1","subject":[{{"digest":{{"sha256":"{}"}},"annotations":{{}}}}],"predicateType":"{SIGNED}"}}"#,
            digest.hex()
        );
        let signed = format!(
            "DSSEv1 28 application/vnd.in-toto+json {} {statement}",
            statement.len()
        );
        let bundle = format!(
            r#"{{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{{"publicKey":{{"hint":"8v4="}}}},"dsseEnvelope":{{"payload":"{}","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"{}"}}]}}}}"#,
            STANDARD.encode(&statement),
            STANDARD.encode(key.sign(signed.as_bytes()))
        );
        let public = key.public().unwrap();
        let attested = open(bundle.as_bytes(), std::slice::from_ref(&public)).unwrap();
        assert!(attested.statement.is_about(&digest));
        assert_eq!(attested.statement.predicate_type, SIGNED);
        assert_eq!(attested.keys, [public.id().clone()]);
        let message = r#"{"mediaType":"m","verificationMaterial":{},"messageSignature":{}}"#;
        let refused = open(message.as_bytes(), &[]).unwrap_err();
        assert!(refused.contains("without a statement"), "{refused}");
    }
}
