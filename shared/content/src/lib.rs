//! The content-addressed store every level works on.
//!
//! Bytes are named by their digest and never change; a [`RefName`] is the only thing that moves. Engines see
//! one type, [`Store`]: either a folder in OCI layout form ([`DirectoryStore`], what `quench harden` uses) or a
//! repository in an OCI registry with such a folder as its cache (what a fleet shares). Start with
//! [`Store::put`], [`Store::read`] and [`Store::file`]; manifests of artefacts and their referrers are in
//! [`artefact`].
//!
//! # Why not a trait?
//! There are two backends and will not be a third: an enum keeps the calls plain, the errors one type, and
//! the match exhaustive.

pub mod artefact;
mod blocking;
mod directory;
mod error;
mod names;
mod ref_name;
pub mod registry;
mod staging;
mod store;
mod writer;

pub use blocking::blocking;
pub use directory::DirectoryStore;
pub use error::StoreError;
pub use ref_name::{RefName, RefNameError};
pub use registry::{
    Attached, COSIGN_SUFFIXES, Credentials, Origin, RegistryAccess, RegistryClient, RegistryConfig,
    RegistryStore, Repository, Sent, WebServer,
};
pub use store::{MANIFEST_LIMIT, Store, StoreLock};
pub use writer::BlobWriter;
