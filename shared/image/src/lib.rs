//! What an OCI image is: layers, one merged file tree, and the facts that decide hardening.
//!
//! Start with [`Image::open`]: it verifies every layer, uncompresses each once into the store's cache, and gives
//! the [`Tree`] a container would see. [`Tree::resolve`] follows links inside the image, [`Tree::open`] reads
//! files at their place in the cached tar, and [`facts()`] tells user, ports and writable paths. [`LayerWriter`]
//! makes new layers, the same bytes for the same files.
//!
//! Everything in an image is hostile until proved harmless: [`Limits`] bound what it may cost, paths that climb
//! out are refused, and no file of it ever lands in the host's file system.

mod archive;
mod config;
mod error;
mod facts;
mod image;
mod layer;
mod layer_index;
mod limits;
mod merge;
mod name;
mod resolve;
mod tree;
mod writer;

pub use archive::Kind;
pub use config::{History, ImageConfig, RunConfig};
pub use error::ImageError;
pub use facts::{Account, accounts, facts, groups, user_ids};
pub use image::{Contents, Image, is_image, platforms, select};
pub use layer::Layer;
pub use limits::Limits;
pub use resolve::{Resolved, Unresolved, UnresolvedReason};
pub use tree::{Entries, Entry, FileReader, Tree};
pub use writer::{LayerEntry, LayerWriter, WrittenLayer};
