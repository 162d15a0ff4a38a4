//! The fleet: the bus with its permissions, the worker's rules, and the six services as processes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod bus;
mod collector;
mod permissions;
mod processes;
mod services;
mod worker;
