//! How registries are reached.

use std::path::PathBuf;
use std::time::Duration;

/// How registries are reached: which of them without TLS, whom to trust, and whose credentials to use.
#[derive(Debug, Clone, Default)]
pub struct RegistryAccess {
    /// Hosts (`host[:port]`) that are spoken to over plain HTTP. Loopback hosts need not be listed unless
    /// `ca_file` is given.
    pub insecure: Vec<String>,
    /// File with certificates (PEM) of authorities trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Where credentials come from.
    pub credentials: Credentials,
    /// How long a registry may go without taking or giving a byte before the call is given up and
    /// tried again; one minute when not said.
    pub stall: Option<Duration>,
}

/// Where credentials for a registry come from.
#[derive(Clone, Default)]
pub enum Credentials {
    /// The Docker configuration (`$DOCKER_CONFIG/config.json`, `~/.docker/config.json`) and the helpers it
    /// names; none when there is no such file.
    #[default]
    Docker,
    /// The configuration file given.
    File(PathBuf),
    /// This user and password for every registry asked.
    Basic {
        /// User name.
        user: String,
        /// Password or token; never printed.
        password: String,
    },
    /// None at all.
    Anonymous,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Docker => f.write_str("Docker"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Basic { .. } => f.write_str("Basic"),
            Self::Anonymous => f.write_str("Anonymous"),
        }
    }
}

/// A repository of a registry that serves as a store.
#[derive(Debug, Clone)]
pub struct RegistryConfig {
    /// The repository: `host[:port]/path`.
    pub repository: String,
    /// Folder on this machine for the blobs that were read or written, see
    /// [`DirectoryStore`](crate::DirectoryStore).
    pub cache: PathBuf,
    /// How the registry is reached.
    pub access: RegistryAccess,
}
