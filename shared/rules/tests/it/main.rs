//! Rules against real helm programs, real charts and the fixtures of the Pod Security admission controller.
//!
//! Helm 4 is taken from `QUENCH_HELM` or `helm` on PATH, Helm 3 from `QUENCH_HELM3` or `helm3` on PATH; tests that find
//! neither say so and pass. `QUENCH_CHARTS` names a folder of charts, `QUENCH_CONFORMANCE` the folder of fixtures.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod decisions;
mod equality;
mod network;
mod parameters;
mod pitfalls;
mod pod_security;
mod programs;
mod relocation;
mod settings;
