//! dpkg's package database.
//!
//! `/var/lib/dpkg/status` holds a paragraph for each package; images without a package manager have one file for
//! each in `/var/lib/dpkg/status.d`. Beside them are lists of files, checksums and diversions.
//! Formats: `deb-control(5)`, `dpkg(1)`, Debian policy 5.1 and 7.

mod control;
mod copyright;
mod files;

pub(crate) use control::packages;
pub(crate) use copyright::parse as copyright;
pub(crate) use files::{Diversions, list, sums};

/// The one database of a full system.
pub(crate) const STATUS: &str = "/var/lib/dpkg/status";
/// Folder of paragraphs, one file for each package.
pub(crate) const STATUS_FOLDER: &str = "/var/lib/dpkg/status.d";
/// Folder of file lists.
pub(crate) const INFO: &str = "/var/lib/dpkg/info";
/// Files that packages moved aside.
pub(crate) const DIVERSIONS: &str = "/var/lib/dpkg/diversions";
