//! What can be wrong with an image.

use std::path::PathBuf;

use quench_content::StoreError;
use quench_model::Digest;

/// Why an image cannot be read. Each names the manifest, configuration or layer concerned.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The content store could not deliver a part of the image.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The manifest does not describe an image Quench can read.
    #[error("image manifest {digest}: {reason}")]
    Manifest {
        /// Digest of the manifest or index.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// The configuration does not describe an image Quench can read.
    #[error("image configuration {digest}: {reason}")]
    Config {
        /// Digest of the configuration.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer is damaged, hostile, or beyond a limit.
    #[error("layer {digest}: {reason}")]
    Layer {
        /// Digest of the layer as the manifest names it.
        digest: Digest,
        /// What is wrong with it.
        reason: String,
    },
    /// A layer's bytes are not what the manifest or configuration says.
    #[error("layer {digest}: {what} hashes to {actual}, expected {expected}")]
    WrongDigest {
        /// Digest of the layer as the manifest names it.
        digest: Digest,
        /// `blob` or `uncompressed tar`.
        what: &'static str,
        /// Digest found.
        actual: Digest,
        /// Digest expected.
        expected: Digest,
    },
    /// A file of the cache could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Cache {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file of the image could not be read.
    #[error("cannot read {path} of the image: {reason}")]
    File {
        /// Path inside the image.
        path: String,
        /// Why not.
        reason: String,
    },
}

impl ImageError {
    pub(crate) fn cache(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Cache {
            action,
            path,
            source,
        }
    }

    pub(crate) fn layer(digest: &Digest, reason: impl Into<String>) -> Self {
        Self::Layer {
            digest: digest.clone(),
            reason: reason.into(),
        }
    }
}
