//! Content in an OCI registry (distribution-spec 1.1).
//!
//! [`RegistryClient`] speaks to registries, one [`Repository`] at a time; [`RegistryStore`] makes one repository a
//! store, with a folder on this machine as its cache.
//!
//! # Why not an existing client?
//! Everything a registry answers is hostile until verified, and a layer may have gigabytes: every body has to
//! be streamed, bounded and hashed on its way, every redirect checked against where the registry itself
//! is, and every answer told apart into *try again* and *never*. That leaves of a client little
//! but its list of URLs.

mod access;
mod auth;
mod client;
mod connection;
mod credentials;
mod publisher;
mod reach;
mod referrers;
mod repository;
mod store;
mod upload;
mod web;

pub use access::{Credentials, RegistryAccess, RegistryConfig};
pub use client::RegistryClient;
pub use publisher::{Attached, COSIGN_SUFFIXES};
pub use reach::Origin;
pub use repository::Repository;
pub use store::RegistryStore;
pub use upload::Sent;
pub use web::WebServer;
