//! What can go wrong with advisory data.

use std::path::{Path, PathBuf};

use quench_model::Digest;

/// Why an epoch could not be built, opened, written or asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot access {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A source of advisories is neither a folder, a zip archive nor an OSV record.
    #[error(
        "{} is no source of advisories; expected an OSV record (.json), a folder of them, or a .zip of them",
        path.display()
    )]
    UnknownSource {
        /// The source.
        path: PathBuf,
    },
    /// A zip archive is broken.
    #[error("{} is not a zip archive that can be read: {reason}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Not one usable record came out of the sources.
    #[error(
        "no usable advisory in {sources} ({malformed} malformed records{first}); an epoch that knows nothing would call everything clean"
    )]
    NothingUsable {
        /// The sources.
        sources: String,
        /// How many records could not be read.
        malformed: usize,
        /// The first of them.
        first: String,
    },
    /// An exported epoch is damaged or was written by another version.
    #[error("{} is not an epoch that can be opened: {reason}; import the advisories again", path.display())]
    BadExport {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No such epoch is kept.
    #[error("epoch {digest} is not in {}; import it or fetch its export", folder.display())]
    NoSuchEpoch {
        /// The epoch asked for.
        digest: Digest,
        /// Where epochs are kept.
        folder: PathBuf,
    },
    /// The database of an epoch failed.
    #[error("the database {} failed: {source}; delete it and import again", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What it said.
        source: Box<redb::Error>,
    },
    /// A stored row is not what was written.
    #[error("the database {} holds a damaged row under {key}; delete it and import again", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// Which row.
        key: String,
    },
}

impl Error {
    /// Whether another process has the database open: it can be had when that is done.
    pub fn is_in_use(&self) -> bool {
        matches!(self, Self::Database { source, .. } if matches!(**source, redb::Error::DatabaseAlreadyOpen))
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        |source| Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn database<E: Into<redb::Error>>(path: &Path) -> impl FnOnce(E) -> Self + '_ {
        |source| Self::Database {
            path: path.to_owned(),
            source: Box::new(source.into()),
        }
    }
}
