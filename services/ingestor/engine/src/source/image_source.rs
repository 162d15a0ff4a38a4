//! Names of images on this machine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::SourceError;

/// Where images given beside a chart come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImageSource {
    /// A folder in OCI image layout form (`oci:DIR`).
    Layout(PathBuf),
    /// A file `docker save` wrote, plain or gzip'd (`docker-archive:FILE`).
    DockerArchive(PathBuf),
    /// An OCI image layout in a tar file, plain or gzip'd (`oci-archive:FILE`).
    LayoutArchive(PathBuf),
}

impl ImageSource {
    /// The folder or file.
    pub fn path(&self) -> &Path {
        match self {
            Self::Layout(path) | Self::DockerArchive(path) | Self::LayoutArchive(path) => path,
        }
    }
}

impl FromStr for ImageSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (form, path) = text.split_once(':').unwrap_or_default();
        let path = (!path.is_empty()).then(|| PathBuf::from(path));
        match (form, path) {
            ("oci", Some(path)) => Ok(Self::Layout(path)),
            ("docker-archive", Some(path)) => Ok(Self::DockerArchive(path)),
            ("oci-archive", Some(path)) => Ok(Self::LayoutArchive(path)),
            _ => Err(SourceError::new(
                text,
                "image source",
                "oci:DIR, docker-archive:FILE or oci-archive:FILE",
            )),
        }
    }
}

impl fmt::Display for ImageSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout(path) => write!(f, "oci:{}", path.display()),
            Self::DockerArchive(path) => write!(f, "docker-archive:{}", path.display()),
            Self::LayoutArchive(path) => write!(f, "oci-archive:{}", path.display()),
        }
    }
}
