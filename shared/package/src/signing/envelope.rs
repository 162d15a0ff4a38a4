//! In-toto statements in DSSE envelopes.
//!
//! Formats: in-toto attestation framework, "Statement" v1; DSSE v1.0.2, "Protocol" and "Envelope"; cosign
//! `ATTESTATION_SPEC.md` for how an envelope is attached.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use quench_content::artefact::Manifest;
use quench_content::{Store, StoreError};
use quench_model::{Descriptor, Digest, media_type};
use serde::{Deserialize, Serialize};

use super::{PublicKey, SigningKey};

/// Type of every statement.
const STATEMENT: &str = "https://in-toto.io/Statement/v1";

/// An in-toto statement: a predicate about subjects.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    statement_type: String,
    /// What it speaks of.
    pub subject: Vec<StatementSubject>,
    /// What kind of predicate follows, a URI.
    #[serde(rename = "predicateType")]
    pub predicate_type: String,
    /// What is said; null where nothing is, as in the signatures of cosign 3.
    #[serde(default)]
    pub predicate: serde_json::Value,
}

/// A subject of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementSubject {
    /// Name, for people.
    #[serde(default)]
    pub name: String,
    /// Digests by algorithm, in hexadecimal.
    pub digest: BTreeMap<String, String>,
}

impl Statement {
    /// A statement about one digest.
    pub fn about(
        name: &str,
        subject: &Digest,
        predicate_type: &str,
        predicate: serde_json::Value,
    ) -> Self {
        Self {
            statement_type: STATEMENT.to_owned(),
            subject: vec![StatementSubject {
                name: name.to_owned(),
                digest: BTreeMap::from([("sha256".to_owned(), subject.hex())]),
            }],
            predicate_type: predicate_type.to_owned(),
            predicate,
        }
    }

    /// Whether one of its subjects is this digest.
    pub fn is_about(&self, digest: &Digest) -> bool {
        let hex = digest.hex();
        self.subject
            .iter()
            .any(|subject| subject.digest.get("sha256") == Some(&hex))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let statement: Self =
            serde_json::from_slice(bytes).map_err(|e| format!("is no in-toto statement: {e}"))?;
        if statement.statement_type == STATEMENT
            || statement.statement_type == "https://in-toto.io/Statement/v0.1"
        {
            Ok(statement)
        } else {
            Err(format!(
                "is no in-toto statement but {:?}",
                statement.statement_type
            ))
        }
    }
}

/// A DSSE envelope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct EnvelopeSignature {
    /// Left empty, as cosign does: the verifier is told which keys to try. Bundles leave it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// What is signed: DSSE's pre-authentication encoding of type and body.
fn pre_authentication_encoding(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A statement taken out of its envelope.
#[derive(Debug, Clone, PartialEq)]
pub struct Attested {
    /// The statement.
    pub statement: Statement,
    /// Ids of the keys, among those asked about, that signed it.
    pub keys: Vec<Digest>,
}

/// Takes a statement out of an envelope, and tells which of `keys` signed it.
///
/// # Errors
/// Says why it is no envelope, or holds no statement.
pub(super) fn open(bytes: &[u8], keys: &[PublicKey]) -> Result<Attested, String> {
    let envelope: Envelope =
        serde_json::from_slice(bytes).map_err(|e| format!("is no DSSE envelope: {e}"))?;
    open_sealed(&envelope, keys)
}

/// As [`open`], for an envelope that was read already.
pub(super) fn open_sealed(envelope: &Envelope, keys: &[PublicKey]) -> Result<Attested, String> {
    if envelope.payload_type != media_type::IN_TOTO {
        return Err(format!("holds {:?}, no statement", envelope.payload_type));
    }
    let body = STANDARD
        .decode(&envelope.payload)
        .map_err(|_| "has a payload that is not base64".to_owned())?;
    let signed = pre_authentication_encoding(&envelope.payload_type, &body);
    let signatures: Vec<Vec<u8>> = envelope
        .signatures
        .iter()
        .filter_map(|signature| STANDARD.decode(&signature.sig).ok())
        .collect();
    let made_by = |key: &&PublicKey| signatures.iter().any(|s| key.verify(&signed, s));
    Ok(Attested {
        statement: Statement::parse(&body)?,
        keys: keys
            .iter()
            .filter(made_by)
            .map(|key| key.id().clone())
            .collect(),
    })
}

/// A statement that nobody signed.
pub(super) fn open_unsigned(bytes: &[u8]) -> Result<Attested, String> {
    Ok(Attested {
        statement: Statement::parse(bytes)?,
        keys: Vec::new(),
    })
}

/// A statement in an envelope, signed.
pub(super) fn seal(statement: &Statement, key: &SigningKey) -> Result<Envelope, StoreError> {
    let body = encode(statement)?;
    let signature = key.sign(&pre_authentication_encoding(media_type::IN_TOTO, &body));
    Ok(Envelope {
        payload_type: media_type::IN_TOTO.to_owned(),
        payload: STANDARD.encode(&body),
        signatures: vec![EnvelopeSignature {
            keyid: None,
            sig: STANDARD.encode(signature),
        }],
    })
}

/// Attaches a statement to what it speaks of: in a DSSE envelope when a key signs it, else as it is. Gives the
/// referrer. The same statement by the same key is attached once, however often this is called.
///
/// # Errors
/// When the store refuses.
pub async fn attest(
    store: &Store,
    subject: &Descriptor,
    statement: &Statement,
    key: Option<&SigningKey>,
) -> Result<Descriptor, StoreError> {
    let (artifact_type, mut layer) = match key {
        Some(key) => {
            let mut envelope = seal(statement, key)?;
            for signature in &mut envelope.signatures {
                signature.keyid = Some(String::new());
            }
            let layer = store.put_json(media_type::DSSE, &envelope).await?;
            (media_type::COSIGN_ATTESTATION, layer)
        }
        None => (
            media_type::IN_TOTO,
            store.put(media_type::IN_TOTO, &encode(statement)?).await?,
        ),
    };
    // Where cosign looks for the type before it opens the envelope.
    layer
        .annotations
        .insert("predicateType".to_owned(), statement.predicate_type.clone());
    let mut manifest = Manifest::artefact(artifact_type, vec![layer]);
    manifest.subject = Some(super::cosign::plain(subject));
    manifest
        .annotations
        .insert("predicateType".to_owned(), statement.predicate_type.clone());
    store.attach(&manifest).await
}

fn encode(statement: &Statement) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(statement).map_err(|e| StoreError::Malformed {
        what: format!("statement of type {}", statement.predicate_type),
        reason: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the DSSE protocol page: type `http://example.com/HelloWorld`, body `hello world`.
    #[test]
    fn the_encoding_is_the_one_of_the_protocol_page() {
        assert_eq!(
            pre_authentication_encoding("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
