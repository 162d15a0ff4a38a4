//! Image facts: the evidence that decides hardening.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// What an image says about how it wants to run. Read from the image's configuration and files, or stated by
/// a [`FactsFile`]. `None` means *not known*, never *no*.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ImageFacts {
    /// Numeric user the image runs as, resolved through its own `/etc/passwd`. `None`: the image names a
    /// user that its files do not resolve.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Numeric primary group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The image configuration's `User`, as written; empty when the image names none (that is root).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Paths the image is likely to write to when its root is read-only, sorted. `None`: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writable: Option<Vec<WritablePath>>,
    /// Ports the image says it listens on. `None`: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<Vec<Port>>,
    /// Entrypoint of the image configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Command of the image configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Whether the entrypoint's file is setuid, setgid, or carries file capabilities, so that taking
    /// privilege escalation away changes what it may do. `None`: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint_privileged: Option<bool>,
    /// Whether the entrypoint changes its user itself (gosu, su-exec, setpriv, chown in its script), so that
    /// it needs capabilities to start. `None`: not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entrypoint_switches_user: Option<bool>,
    /// Digest of the image, where it is stated for an image that is not fetched: the chart names it by that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Where these facts come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<FactsSource>,
}

/// Where facts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FactsSource {
    /// Read from the image.
    Image,
    /// Stated by the user.
    File,
}

/// A path that needs to stay writable under a read-only root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum WritablePath {
    /// An empty folder will do.
    Plain(String),
    /// The image ships files there, so a fresh volume must get a copy of them first.
    Filled {
        /// Absolute path.
        path: String,
        /// Whether the image's own files must be copied into the volume before start.
        #[serde(rename = "copyUp")]
        copy_up: bool,
    },
}

impl WritablePath {
    /// Absolute path of the folder.
    pub fn path(&self) -> &str {
        match self {
            Self::Plain(path) | Self::Filled { path, .. } => path,
        }
    }

    /// Whether a volume mounted there must first get the image's own files.
    pub fn copy_up(&self) -> bool {
        matches!(self, Self::Filled { copy_up: true, .. })
    }
}

/// A port an image listens on: a number, or a number with protocol as in `8080/tcp`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Port {
    /// TCP port number.
    Number(u16),
    /// As image configurations write it: `53/udp`.
    Text(String),
}

impl Port {
    /// The port number, if the text holds one.
    pub fn number(&self) -> Option<u16> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.split('/').next().and_then(|n| n.parse().ok()),
        }
    }
}

/// Facts stated by the user for images that are not fetched: image reference, or `"*"` for every
/// image, to facts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FactsFile {
    /// Facts by image reference as the chart renders it; `"*"` stands for any other image.
    pub images: BTreeMap<String, ImageFacts>,
}

impl FactsFile {
    /// Facts for an image as the chart renders its reference, if the file has any.
    pub fn facts_for(&self, rendered: &str) -> Option<&ImageFacts> {
        self.images.get(rendered).or_else(|| self.images.get("*"))
    }
}
