//! The contract of the fleet: gRPC services and event bodies, compiled from `proto/quench/v1`.
//!
//! The `.proto` files are the contract and carry its documentation; they only ever grow (the test
//! `additive` compares them with `baseline.binpb`). Start with `package.proto` (what travels over the bus), then
//! `status.proto` (what can be asked). [`subject`] builds and names the subjects events travel on, [`json`] writes and
//! reads event bodies as JSON, and the conversions from `quench_model` are in `convert`.

mod convert;
pub mod json;
pub mod subject;

/// Version 1 of the contract.
#[expect(missing_docs, reason = "generated; documented in the .proto files")]
#[allow(
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "generated code"
)]
pub mod v1 {
    include!(concat!(env!("OUT_DIR"), "/quench.v1.rs"));
}

/// The encoded `FileDescriptorSet` of the contract, for reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/quench.binpb"));
