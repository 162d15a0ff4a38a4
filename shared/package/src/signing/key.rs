//! Keys that sign, and keys that verify.

use std::fmt;

use ed25519_dalek::ed25519;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::pkcs8::{DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _};
use pkcs8::{LineEnding, SecretDocument};
use quench_model::Digest;
use zeroize::Zeroizing;

use super::KeyError;

/// How signatures are made. Both are schemes that cosign verifies with `--key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA over NIST P-256 with SHA-256, the scheme every cosign implementation must support (cosign
    /// `SIGNATURE_SPEC.md`, "Signature Schemes"). Nonces are derived from key and message (RFC 6979), so signing the
    /// same twice gives the same bytes.
    EcdsaP256,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

impl Algorithm {
    /// Its name on the command line and in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::EcdsaP256 => "ecdsa-p256",
            Self::Ed25519 => "ed25519",
        }
    }
}

/// A private key. It is wiped from memory when dropped, and never printed.
pub struct SigningKey(Private);

enum Private {
    EcdsaP256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl SigningKey {
    /// Makes a new key from the operating system's random numbers.
    ///
    /// # Errors
    /// When the operating system gives none.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        match algorithm {
            // A number above the group's order is no key; the chance of one is 2^-32.
            Algorithm::EcdsaP256 => loop {
                if let Ok(key) = p256::ecdsa::SigningKey::from_slice(random::<32>()?.as_slice()) {
                    return Ok(Self(Private::EcdsaP256(Box::new(key))));
                }
            },
            Algorithm::Ed25519 => {
                let seed = random::<32>()?;
                let key = ed25519_dalek::SigningKey::from_bytes(&seed);
                Ok(Self(Private::Ed25519(Box::new(key))))
            }
        }
    }

    /// A key from PKCS#8 (RFC 5958).
    pub(super) fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        use p256::pkcs8::DecodePrivateKey as _;
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_der(der) {
            return Ok(Self(Private::EcdsaP256(Box::new(key))));
        }
        match ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            Ok(key) => Ok(Self(Private::Ed25519(Box::new(key)))),
            Err(_) => Err(KeyError::Unsupported),
        }
    }

    /// A key from SEC 1 (`EC PRIVATE KEY`, RFC 5915).
    pub(super) fn from_sec1_der(der: &[u8]) -> Result<Self, KeyError> {
        match p256::SecretKey::from_sec1_der(der) {
            Ok(key) => Ok(Self(Private::EcdsaP256(Box::new(key.into())))),
            Err(_) => Err(KeyError::Unsupported),
        }
    }

    fn to_pkcs8_der(&self) -> Result<SecretDocument, KeyError> {
        let der = match &self.0 {
            Private::EcdsaP256(key) => key.to_pkcs8_der(),
            // Without the public half: OpenSSL 3.0 does not read the newer form that holds it.
            Private::Ed25519(key) => ed25519::pkcs8::KeypairBytes {
                secret_key: key.to_bytes(),
                public_key: None,
            }
            .to_pkcs8_der(),
        };
        der.map_err(|e| KeyError::Encoding(e.to_string()))
    }

    /// The key as PKCS#8 in PEM: encrypted (PBES2 with scrypt and AES-256-CBC, which OpenSSL reads) where there is a
    /// passphrase.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_pem(&self, passphrase: Option<&[u8]>) -> Result<Zeroizing<String>, KeyError> {
        let failed = |e: pkcs8::Error| KeyError::Encoding(e.to_string());
        let der = self.to_pkcs8_der()?;
        let Some(passphrase) = passphrase else {
            return der
                .to_pem("PRIVATE KEY", LineEnding::LF)
                .map_err(|e| KeyError::Encoding(e.to_string()));
        };
        let info = pkcs8::PrivateKeyInfoRef::try_from(der.as_bytes())
            .map_err(|e| KeyError::Encoding(e.to_string()))?;
        info.encrypt(passphrase)
            .map_err(failed)?
            .to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF)
            .map_err(|e| KeyError::Encoding(e.to_string()))
    }

    /// The scheme it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match self.0 {
            Private::EcdsaP256(_) => Algorithm::EcdsaP256,
            Private::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// The key that verifies what this one signs.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn public(&self) -> Result<PublicKey, KeyError> {
        PublicKey::new(match &self.0 {
            Private::EcdsaP256(key) => Public::EcdsaP256(*key.verifying_key()),
            Private::Ed25519(key) => Public::Ed25519(key.verifying_key()),
        })
    }

    /// Signs a message: ASN.1 DER for ECDSA, 64 bytes for Ed25519, as cosign expects each.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        match &self.0 {
            Private::EcdsaP256(key) => {
                let signature: p256::ecdsa::DerSignature = key.sign(message);
                signature.as_bytes().to_vec()
            }
            Private::Ed25519(key) => key.sign(message).to_bytes().to_vec(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, …)", self.algorithm().name())
    }
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: Public,
    id: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Public {
    EcdsaP256(p256::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Reads a key in PEM (`PUBLIC KEY`, RFC 5280 `SubjectPublicKeyInfo`), as cosign and OpenSSL write it. `name` says
    /// where it came from, for errors.
    ///
    /// # Errors
    /// When it is no such key, or one for another scheme.
    pub fn from_pem(text: &str, name: &str) -> Result<Self, KeyError> {
        let malformed = |reason: &str| KeyError::Malformed {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        let text = text.trim();
        if text.contains("PRIVATE KEY-----") {
            return Err(malformed(
                "it holds a private key; give the public one (NAME.pub)",
            ));
        }
        let (label, der) = super::key_file::decode_pem(text).map_err(|e| malformed(&e))?;
        if label != "PUBLIC KEY" {
            return Err(malformed(&format!(
                "it holds {label:?}; expected PUBLIC KEY"
            )));
        }
        Self::from_der(&der)
            .map_err(|_| malformed("it is neither an ECDSA P-256 nor an Ed25519 key"))
    }

    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_der(der) {
            return Self::new(Public::EcdsaP256(key));
        }
        match ed25519_dalek::VerifyingKey::from_public_key_der(der) {
            Ok(key) => Self::new(Public::Ed25519(key)),
            Err(_) => Err(KeyError::Unsupported),
        }
    }

    fn new(key: Public) -> Result<Self, KeyError> {
        let der = match &key {
            Public::EcdsaP256(key) => key.to_public_key_der(),
            Public::Ed25519(key) => key.to_public_key_der(),
        };
        let der = der.map_err(|e| KeyError::Encoding(e.to_string()))?;
        Ok(Self {
            key,
            id: Digest::of(der.as_bytes()),
        })
    }

    /// The key in PEM.
    ///
    /// # Errors
    /// When it cannot be encoded.
    pub fn to_pem(&self) -> Result<String, KeyError> {
        let pem = match &self.key {
            Public::EcdsaP256(key) => key.to_public_key_pem(LineEnding::LF),
            Public::Ed25519(key) => key.to_public_key_pem(LineEnding::LF),
        };
        pem.map_err(|e| KeyError::Encoding(e.to_string()))
    }

    /// What names the key: SHA-256 over its `SubjectPublicKeyInfo`, as `openssl pkey -pubin -outform DER | sha256sum`
    /// prints it.
    pub fn id(&self) -> &Digest {
        &self.id
    }

    /// The scheme it verifies.
    pub fn algorithm(&self) -> Algorithm {
        match self.key {
            Public::EcdsaP256(_) => Algorithm::EcdsaP256,
            Public::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Whether this key's private half signed exactly this message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.key {
            Public::EcdsaP256(key) => p256::ecdsa::DerSignature::from_bytes(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Public::Ed25519(key) => ed25519::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
        }
    }
}

pub(super) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, KeyError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice()).map_err(|e| KeyError::Random(e.to_string()))?;
    Ok(bytes)
}
