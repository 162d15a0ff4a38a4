//! Verbs about who made a package and where it may go: keys, signatures, verification, stages.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use quench_package::signing::Algorithm;

#[derive(Debug, Subcommand)]
pub enum KeysVerb {
    /// Make a key pair: PREFIX.key signs, PREFIX.pub verifies
    #[command(after_help = "\
Examples:
  quench keys generate
  quench keys generate -o release --type ed25519
  QUENCH_KEY_PASSWORD=… quench keys generate -o ci

The private key is encrypted with the passphrase in QUENCH_KEY_PASSWORD, or with one that is asked for
on the terminal. Existing files are never overwritten. Both keys work with cosign and OpenSSL.")]
    Generate(KeysGenerateArgs),
    /// Show scheme and id of a key
    #[command(after_help = "\
Examples:
  quench keys show release.pub
  quench keys show env://SIGNING_KEY")]
    Show {
        /// Public or private key: a file, or env://VARIABLE
        key: String,
    },
}

#[derive(Debug, Clone, Args)]
pub struct KeysGenerateArgs {
    /// Beginning of the two file names
    #[arg(short, long, value_name = "PREFIX", default_value = "quench")]
    pub output: PathBuf,
    /// Signature scheme
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t = KeyType::EcdsaP256)]
    pub key_type: KeyType,
    /// Write the private key without a passphrase
    #[arg(long)]
    pub unencrypted: bool,
}

/// Signature scheme of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyType {
    /// ECDSA over NIST P-256, cosign's default
    EcdsaP256,
    /// Ed25519
    Ed25519,
}

impl From<KeyType> for Algorithm {
    fn from(key_type: KeyType) -> Self {
        match key_type {
            KeyType::EcdsaP256 => Self::EcdsaP256,
            KeyType::Ed25519 => Self::Ed25519,
        }
    }
}

#[derive(Debug, Clone, Args)]
pub struct SignArgs {
    /// Package name, or digest of a revision
    pub package: String,
    /// Private key: a file (PKCS#8, or made by cosign), or env://VARIABLE
    #[arg(long, value_name = "KEY")]
    pub key: String,
    /// Sign the chart and every image, each platform of it, too
    #[arg(short, long)]
    pub recursive: bool,
    /// What stands as docker-reference in the signature of the revision; the package's name when left out
    #[arg(long, value_name = "NAME")]
    pub identity: Option<String>,
}

#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// Package name, digest of a revision, or .quench.tar file
    pub subject: String,
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Refuse what no trusted key has signed; needs --key or --policy
    #[arg(long)]
    pub require_signature: bool,
    /// Render the chart without a network and show that nothing outside the package is needed; the result is attached to
    /// a package of the store
    #[arg(long)]
    pub air_gap: bool,
    /// Private key that signs what --air-gap shows: a file, or env://VARIABLE
    #[arg(long, value_name = "KEY", requires = "air_gap")]
    pub sign_key: Option<String>,
}

/// Whose signatures count.
#[derive(Debug, Clone, Default, Args)]
pub struct TrustArgs {
    /// Trusted public key: a file, or env://VARIABLE; may be given several times, one signature by any of them is enough
    #[arg(long, value_name = "PUB")]
    pub key: Vec<String>,
    /// Policy whose trusted keys count too (YAML)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct PromoteArgs {
    /// Package name, or digest of a revision
    pub package: String,
    /// Stage to enter
    #[arg(long, value_name = "STAGE")]
    pub to: String,
    /// Private key that signs the statement: a file, or env://VARIABLE
    #[arg(long, value_name = "KEY")]
    pub key: String,
    /// Public key whose statements count beside those of --key; may be given several times
    #[arg(long, value_name = "PUB")]
    pub trust: Vec<String>,
    /// Policy with stages, gates and trusted keys (YAML)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Go back to a revision that stood there before
    #[arg(long)]
    pub rollback: bool,
}

#[derive(Debug, Clone, Args)]
pub struct StagesArgs {
    /// Package name; every package that was promoted when left out
    pub package: Option<String>,
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Show every statement, not only those in force
    #[arg(long)]
    pub history: bool,
}
