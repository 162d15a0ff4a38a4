//! Signatures and signed statements, in the forms that cosign reads.
//!
//! A [`SigningKey`] signs a digest ([`sign_digest`]) or a statement about one ([`attest`]); both become referrers of
//! what they speak of, so they travel with a package wherever it goes. [`verify_signatures`] tells which of the trusted
//! [`PublicKey`]s made them. Nothing needs a network: there is no certificate authority and no transparency log.

mod bundle;
mod cosign;
mod envelope;
mod key;
mod key_file;
mod provenance;
mod signed;

pub use cosign::{CosignTag, cosign_tags, sign_digest};
pub use envelope::{Attested, Statement, StatementSubject, attest};
pub use key::{Algorithm, PublicKey, SigningKey};
pub use key_file::read_private_key;
pub use provenance::{SignOptions, Signed, sign_package};
pub(crate) use signed::{SIGNED_COUNT, SIGNED_LIMIT, is_signed};
pub use signed::{Signatures, SignedDocument, SignedKind, verify_signatures};

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not a key, or not in a form that is read.
    #[error("key {name}: {reason}")]
    Malformed {
        /// Where it came from.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The passphrase does not open it.
    #[error("key {0}: the passphrase does not open it")]
    WrongPassphrase(String),
    /// A scheme other than ECDSA P-256 and Ed25519.
    #[error("the key is neither an ECDSA P-256 nor an Ed25519 key")]
    Unsupported,
    /// It cannot be encoded.
    #[error("the key cannot be encoded: {0}")]
    Encoding(String),
    /// The operating system gives no random numbers.
    #[error("no random numbers from the operating system: {0}")]
    Random(String),
}
