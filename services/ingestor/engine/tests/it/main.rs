//! The ingestor against real helm, real images and a real registry.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod air_gap;
mod attached;
mod charts;
mod discovery;
mod handover;
mod hostile;
mod images_lock;
mod integrate;
mod made;
mod made_charts;
#[path = "../../../../../shared/content/tests/registry/server.rs"]
#[allow(dead_code, reason = "shared with the tests of the registry backend")]
mod server;
mod sources;
