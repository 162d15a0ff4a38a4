//! Who made a package, whether it was changed since, and where it may go: keys, signatures, tampering, stages.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod keys;
mod made;
mod signatures;
mod staging;
mod tampering;
