//! The registry backend against a real registry, and against registries that misbehave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod faults;
mod publisher;
mod resumed;
mod server;
mod store;
mod tls;
