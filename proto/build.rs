//! Compiles the contract with protox: a pure Rust compiler, so building needs no protoc.

use std::error::Error;
use std::path::PathBuf;

const FILES: [&str; 5] = [
    "quench/v1/package.proto",
    "quench/v1/finding.proto",
    "quench/v1/status.proto",
    "quench/v1/ingest.proto",
    "quench/v1/rescheduler.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    for file in FILES {
        println!("cargo::rerun-if-changed={file}");
    }
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    std::fs::write(
        out.join("quench.binpb"),
        prost::Message::encode_to_vec(&descriptors),
    )?;
    tonic_prost_build::configure()
        .bytes(".quench.v1")
        .btree_map(".quench.v1")
        .compile_fds(descriptors)?;
    Ok(())
}
