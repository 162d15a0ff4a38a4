//! Charts against real helm programs, real charts and hostile archives.
//!
//! Helm 4 is taken from `QUENCH_HELM` or `helm` on PATH, Helm 3 from `QUENCH_HELM3` or `helm3` on PATH; tests that find
//! neither say so and pass. `QUENCH_CHARTS` names a folder of charts for the corpus tests.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod acceptance;
mod archive;
mod corpus;
mod equality;
mod folder;
mod pitfalls;
mod programs;
mod rendering;
mod value_space;
mod values;
mod yaml;
