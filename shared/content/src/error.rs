//! What can go wrong in a store.

use std::path::PathBuf;
use std::time::Duration;

use quench_model::{Descriptor, Digest};

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `create folder`…
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The store does not hold the bytes.
    #[error("{digest} ({media_type}) is not in the store at {place}")]
    NotFound {
        /// Digest asked for.
        digest: Digest,
        /// Its media type.
        media_type: String,
        /// Folder or registry.
        place: String,
    },
    /// The bytes are not what their name says.
    #[error(
        "{place} holds other bytes under {expected}: they hash to {actual}; remove them and fetch again"
    )]
    WrongDigest {
        /// Digest asked for.
        expected: Digest,
        /// Digest found.
        actual: Digest,
        /// Folder, registry or archive.
        place: String,
    },
    /// The bytes have another length than their descriptor says.
    #[error("{digest} from {place} has {actual} bytes, its descriptor says {expected}")]
    WrongSize {
        /// Digest asked for.
        digest: Digest,
        /// Size in the descriptor.
        expected: u64,
        /// Size found (reading stopped at one byte too many).
        actual: u64,
        /// Folder, registry or archive.
        place: String,
    },
    /// A document is larger than what is accepted for its sort.
    #[error("{digest} ({media_type}) has {size} bytes; at most {limit} are accepted for it")]
    TooLarge {
        /// Digest asked for.
        digest: Digest,
        /// Its media type.
        media_type: String,
        /// Size in bytes.
        size: u64,
        /// Most bytes accepted.
        limit: u64,
    },
    /// A document does not parse.
    #[error("{what} is not valid: {reason}")]
    Malformed {
        /// Which document.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A registry refused or could not be reached.
    #[error("registry {registry}: {action} {subject}: {reason}")]
    Registry {
        /// Host of the registry.
        registry: String,
        /// What was tried.
        action: &'static str,
        /// On which reference or digest.
        subject: String,
        /// What it answered.
        reason: String,
        /// Whether trying again may help, and after how long at least.
        retry_after: Option<Duration>,
    },
    /// Work was given up before it began, since the program is ending.
    #[error("cancelled; run the same again to go on from here")]
    Interrupted,
}

impl StoreError {
    /// How long to wait before the same call may succeed; `None` when trying again cannot help.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Registry { retry_after, .. } => *retry_after,
            Self::Io { source, .. } => match source.kind() {
                // A full disk and an interrupted call pass; a missing permission does not.
                std::io::ErrorKind::StorageFull
                | std::io::ErrorKind::QuotaExceeded
                | std::io::ErrorKind::Interrupted
                | std::io::ErrorKind::TimedOut => Some(Duration::from_secs(5)),
                _ => None,
            },
            Self::Interrupted => Some(Duration::ZERO),
            _ => None,
        }
    }

    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    pub(crate) fn not_found(descriptor: &Descriptor, place: impl Into<String>) -> Self {
        Self::NotFound {
            digest: descriptor.digest.clone(),
            media_type: descriptor.media_type.clone(),
            place: place.into(),
        }
    }
}
