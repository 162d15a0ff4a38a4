//! The harness of the integration tests: real servers on free loopback ports, real tools, real containers.
//!
//! The tests themselves are modules of one binary, `tests/it/main.rs`. Start with [`tools`], which finds the
//! pinned tools and builds Quench's own binaries; [`nats`] and [`registry`] start servers that end with their
//! value; [`container`] runs an unpacked image the way a node would run a hardened pod; [`pod`] reads what such a
//! pod asks for out of rendered manifests, and [`volumes`] makes its volumes.
//!
//! A test whose tool or privilege is missing says so with [`skip!`] and returns. Where `QUENCH_REQUIRE_TOOLS` is set,
//! as `make test` does, a missing tool fails instead: a suite that skipped everything must not look green.

mod confinement;
pub mod container;
mod environment;
pub mod fault_proxy;
pub mod nats;
pub mod oci;
pub mod pod;
pub mod pod_security;
pub mod process;
pub mod registry;
pub mod slow_proxy;
pub mod terminal;
pub mod tools;
pub mod volumes;

/// Says loudly why a test does not run, and returns from it.
///
/// Writes to standard error itself: what `eprintln!` prints in a passing test is never seen.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)*) => {{
        $crate::tools::announce_skip(module_path!(), &format!($($reason)*));
        return Ok(());
    }};
}

/// The path of a tool, or the end of the test with a notice (see [`skip!`]).
#[macro_export]
macro_rules! need {
    ($tool:expr) => {
        match $crate::tools::find($tool) {
            Some(path) => path,
            None if $crate::tools::required() => {
                ::anyhow::bail!("{} is missing: run `make tools`", $tool)
            }
            None => $crate::skip!("{} is missing: run `make tools`", $tool),
        }
    };
}
