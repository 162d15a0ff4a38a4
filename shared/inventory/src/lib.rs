//! What software an image holds: the package catalogue, and the documents that tell it to others.
//!
//! Start with [`catalogue`]: it gives the [`Inventory`] of an image, which is also what is stored as its package
//! index. [`evaluate`] asks an advisory epoch about it, [`cyclonedx`] and [`spdx`] write SBOMs.
//!
//! Read today: dpkg (full systems, and `status.d` of images without package manager) and apk. Everything else
//! that could hold software is told as a [`Problem`]: an inventory never passes for complete when it is not.

mod apk;
mod catalogue;
pub mod cyclonedx;
mod dpkg;
mod evaluation;
mod inventory;
mod licence;
mod listing;
mod os_release;
mod purl;
mod sbom;
pub mod spdx;

pub use catalogue::{CatalogueError, catalogue, catalogue_image};
pub use evaluation::{Evaluation, evaluate};
pub use inventory::{
    CATALOGUER_VERSION, FileCounts, InstalledPackage, Inventory, Licence, OsRelease, PackageKind,
    PrivilegedFile, Problem, ProblemKind, SourcePackage,
};
pub use purl::{PackageUrl, PurlError};
pub use sbom::SbomSubject;
