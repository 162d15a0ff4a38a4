//! Private keys as they lie in files and environment variables.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use crypto_secretbox::XSalsa20Poly1305;
use crypto_secretbox::aead::{Aead as _, KeyInit as _};
use pkcs8::EncryptedPrivateKeyInfoRef;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{KeyError, SigningKey};

/// Largest cost (N·r·p) of a key file's scrypt that is worked off: cosign writes 2^19. More would let a hostile key
/// file take gigabytes.
const SCRYPT_COST: u64 = 1 << 22;

/// Reads a private key in PEM: PKCS#8 plain or encrypted, SEC 1 (`EC PRIVATE KEY`), or what `cosign generate-key-pair`
/// writes. `name` says where it came from, for errors; `passphrase` is asked only where the key is encrypted.
///
/// # Errors
/// When it is no such key, the passphrase is wrong, or asking for it fails.
pub fn read_private_key<E: From<KeyError>>(
    pem: &str,
    name: &str,
    passphrase: impl FnOnce() -> Result<Zeroizing<String>, E>,
) -> Result<SigningKey, E> {
    let malformed = |reason: String| KeyError::Malformed {
        name: name.to_owned(),
        reason,
    };
    let (label, bytes) = decode_pem(pem.trim()).map_err(malformed)?;
    let key = match label {
        "PRIVATE KEY" => SigningKey::from_pkcs8_der(&bytes),
        "EC PRIVATE KEY" => SigningKey::from_sec1_der(&bytes),
        "ENCRYPTED PRIVATE KEY" => {
            let info = EncryptedPrivateKeyInfoRef::try_from(bytes.as_slice())
                .map_err(|e| malformed(e.to_string()))?;
            let passphrase = passphrase()?;
            match info.decrypt(passphrase.as_bytes()) {
                Ok(der) => SigningKey::from_pkcs8_der(der.as_bytes()),
                Err(_) => Err(KeyError::WrongPassphrase(name.to_owned())),
            }
        }
        // The older name is what cosign wrote before version 2.
        "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
            let sealed: Sealed =
                serde_json::from_slice(&bytes).map_err(|e| malformed(e.to_string()))?;
            let sealed = sealed.check().map_err(malformed)?;
            let passphrase = passphrase()?;
            match sealed.open(passphrase.as_bytes()) {
                Some(der) => SigningKey::from_pkcs8_der(&der),
                None => Err(KeyError::WrongPassphrase(name.to_owned())),
            }
        }
        "PUBLIC KEY" => Err(malformed(
            "it holds a public key; signing needs the private one".to_owned(),
        )),
        other => Err(malformed(format!(
            "it holds {other:?}; give an ECDSA P-256 or Ed25519 key as PKCS#8, or one that cosign made"
        ))),
    };
    key.map_err(|error| match error {
        KeyError::Unsupported => malformed(
            "it is neither an ECDSA P-256 nor an Ed25519 key; make one with `quench keys generate`"
                .to_owned(),
        )
        .into(),
        error => error.into(),
    })
}

/// Label and bytes of a PEM document, whatever the length of its lines.
pub(super) fn decode_pem(pem: &str) -> Result<(&str, Zeroizing<Vec<u8>>), String> {
    let no_pem = |e: pem_rfc7468::Error| format!("it is not PEM ({e})");
    let mut decoder = pem_rfc7468::Decoder::new_detect_wrap(pem.as_bytes()).map_err(no_pem)?;
    let mut bytes = Zeroizing::new(Vec::new());
    decoder.decode_to_end(&mut bytes).map_err(no_pem)?;
    Ok((decoder.type_label(), bytes))
}

/// What cosign's PEM wraps: JSON of secretbox over PKCS#8, keyed by scrypt (cosign `SIGNATURE_SPEC.md` and
/// go-securesystemslib `encrypted`).
#[derive(Deserialize)]
struct Sealed {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: ScryptParams,
    salt: String,
}

#[derive(Deserialize)]
struct ScryptParams {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

/// A sealed key whose every part has the form it must have.
struct CheckedSealed {
    params: scrypt::Params,
    salt: Vec<u8>,
    nonce: [u8; 24],
    ciphertext: Vec<u8>,
}

impl Sealed {
    fn check(self) -> Result<CheckedSealed, String> {
        let base64 = |field: &str, text: &str| {
            STANDARD
                .decode(text)
                .map_err(|_| format!("its {field} is not base64"))
        };
        if self.kdf.name != "scrypt" || self.cipher.name != "nacl/secretbox" {
            return Err(format!(
                "it is encrypted with {:?} and {:?}; expected scrypt and nacl/secretbox",
                self.kdf.name, self.cipher.name
            ));
        }
        let ScryptParams { n, r, p } = self.kdf.params;
        let cost = n.saturating_mul(u64::from(r)).saturating_mul(u64::from(p));
        if !n.is_power_of_two() || n < 2 || cost > SCRYPT_COST {
            return Err(format!(
                "its scrypt parameters (N {n}, r {r}, p {p}) are wrong or too costly"
            ));
        }
        let log_n = u8::try_from(n.ilog2()).unwrap_or(u8::MAX);
        let params = scrypt::Params::new(log_n, r, p)
            .map_err(|_| format!("its scrypt parameters (N {n}, r {r}, p {p}) are wrong"))?;
        Ok(CheckedSealed {
            params,
            salt: base64("salt", &self.kdf.salt)?,
            nonce: base64("nonce", &self.cipher.nonce)?
                .try_into()
                .map_err(|_| "its nonce has not 24 bytes".to_owned())?,
            ciphertext: base64("ciphertext", &self.ciphertext)?,
        })
    }
}

impl CheckedSealed {
    fn open(&self, passphrase: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut key = Zeroizing::new([0; 32]);
        scrypt::scrypt(passphrase, &self.salt, &self.params, key.as_mut_slice()).ok()?;
        let cipher = XSalsa20Poly1305::new_from_slice(key.as_slice()).ok()?;
        cipher
            .decrypt(&self.nonce.into(), self.ciphertext.as_slice())
            .ok()
            .map(Zeroizing::new)
    }
}
