//! Keys given on the command line: files, or `env://VARIABLE` as with cosign.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use quench_content::Store;
use quench_package::Package;
use quench_package::signing::{
    KeyError, PublicKey, SignOptions, Signed, SigningKey, read_private_key, sign_package,
};
use zeroize::Zeroizing;

use crate::args::TrustArgs;
use crate::exit::Failure;
use crate::inputs;

/// Variables a passphrase is taken from: our own, and the one cosign reads.
const PASSPHRASES: [&str; 2] = ["QUENCH_KEY_PASSWORD", "COSIGN_PASSWORD"];

/// Reads a private key. Its passphrase, where it has one, comes from the environment or is asked for.
///
/// # Errors
/// When there is no such key, or the passphrase is wrong or missing.
pub fn signing_key(source: &str) -> Result<SigningKey> {
    let pem = text(source)?;
    read_private_key(&pem, source, || -> Result<_, KeyOrFailure> {
        match passphrase_of_environment() {
            Some(passphrase) => Ok(passphrase),
            None if std::io::stdin().is_terminal() => {
                Ok(ask(&format!("passphrase of {source}: "))?)
            }
            None => Err(KeyOrFailure::Failure(Failure::usage(format!(
                "key {source} is encrypted; give its passphrase in {}",
                PASSPHRASES[0]
            )))),
        }
    })
    .map_err(|error| match error {
        KeyOrFailure::Key(error) => Failure::usage(error.to_string()),
        KeyOrFailure::Failure(error) => error,
    })
}

enum KeyOrFailure {
    Key(KeyError),
    Failure(anyhow::Error),
}

impl From<KeyError> for KeyOrFailure {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl From<anyhow::Error> for KeyOrFailure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failure(error)
    }
}

/// Reads a public key.
///
/// # Errors
/// When there is no such key.
pub fn public_key(source: &str) -> Result<PublicKey> {
    PublicKey::from_pem(&text(source)?, source).map_err(|e| Failure::usage(e.to_string()))
}

/// The keys that are trusted: those given, then those of the policy.
///
/// # Errors
/// When one of them cannot be read.
pub fn trusted(args: &TrustArgs) -> Result<Vec<PublicKey>> {
    let mut keys = args
        .key
        .iter()
        .map(|source| public_key(source))
        .collect::<Result<Vec<_>>>()?;
    if let Some(path) = &args.policy {
        let policy = inputs::policy_file(Some(path))?;
        for (position, pem) in policy.trust.keys.iter().enumerate() {
            let name = format!("{} of trust.keys in {}", position + 1, path.display());
            keys.push(PublicKey::from_pem(pem, &name).map_err(|e| Failure::usage(e.to_string()))?);
        }
    }
    Ok(keys)
}

/// Signs a package as every verb does that ends in a signature.
///
/// # Errors
/// When the package cannot be read or the store refuses.
pub async fn sign(
    store: &Store,
    package: &Package,
    key: &SigningKey,
    options: &SignOptions,
) -> Result<Signed> {
    sign_package(store, package, key, options)
        .await
        .with_context(|| format!("cannot sign {}", package.name))
}

/// The passphrase in the environment, if one is there; it may be empty.
pub fn passphrase_of_environment() -> Option<Zeroizing<String>> {
    PASSPHRASES
        .iter()
        .find_map(|name| std::env::var(name).ok())
        .map(Zeroizing::new)
}

/// Asks for a passphrase on the terminal, without showing it.
///
/// # Errors
/// When the terminal cannot be read.
pub fn ask(prompt: &str) -> Result<Zeroizing<String>> {
    rpassword::prompt_password(prompt)
        .map(Zeroizing::new)
        .context("cannot read a passphrase from the terminal")
}

/// The text of a key.
///
/// # Errors
/// When the file or variable is not there.
pub fn text(source: &str) -> Result<Zeroizing<String>> {
    if let Some(variable) = source.strip_prefix("env://") {
        return std::env::var(variable)
            .map(Zeroizing::new)
            .map_err(|_| Failure::usage(format!("key {source}: the variable is not set")));
    }
    let bytes = inputs::read(Path::new(source), "key")?;
    String::from_utf8(bytes)
        .map(Zeroizing::new)
        .map_err(|_| Failure::usage(format!("key {source}: it is not text")))
}
