//! Where charts and images come from.

mod docker_archive;
pub(crate) mod given;
mod layout;
mod tar_file;

pub(crate) use tar_file::io_error;

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Where a chart comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChartSource {
    /// A chart folder.
    Folder(PathBuf),
    /// A chart archive (`.tgz`).
    Archive(PathBuf),
    /// A chart in an OCI registry: `host[:port]/path:tag` or `…@digest`.
    Registry(String),
}

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

/// A text that names no source.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {sort}; expected {expected}")]
pub struct SourceError {
    text: String,
    sort: &'static str,
    expected: &'static str,
}

impl FromStr for ChartSource {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || SourceError {
            text: text.chars().take(200).collect(),
            sort: "chart source",
            expected: "a chart folder, a .tgz file, or oci://host/path:version",
        };
        if let Some(reference) = text.strip_prefix("oci://") {
            return if reference.is_empty() {
                Err(error())
            } else {
                Ok(Self::Registry(reference.to_owned()))
            };
        }
        if text.is_empty() || text.contains("://") {
            return Err(error());
        }
        let path = PathBuf::from(text);
        Ok(if path.is_file() {
            Self::Archive(path)
        } else {
            Self::Folder(path)
        })
    }
}

impl fmt::Display for ChartSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) | Self::Archive(path) => path.display().fmt(f),
            Self::Registry(reference) => write!(f, "oci://{reference}"),
        }
    }
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
            _ => Err(SourceError {
                text: text.chars().take(200).collect(),
                sort: "image source",
                expected: "oci:DIR, docker-archive:FILE or oci-archive:FILE",
            }),
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
