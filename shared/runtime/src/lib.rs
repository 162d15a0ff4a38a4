//! The shell around an engine: everything a service is beside its level.
//!
//! A service's `main` reads: [`Config::load`] (a wrong setting ends the process with 64 and the key's name) →
//! [`Config::start_telemetry`] → [`Shell::start`] (store, bus, status) → [`Shell::run`] (worker, gRPC, reconciler, until
//! SIGTERM) → flush; where all there is to do is a level's work on packages, [`serve_packages`] is that. [`level`] turns an engine into a handler of jobs; [`Outbox`] keeps what a service has to tell in the
//! content store until the bus has it, which is what lets [`reconcile`] mend a bus that lost something.

mod change;
mod config;
mod grpc;
pub mod level;
mod outbox;
pub mod reconcile;
mod shell;
mod status_service;

pub use change::changes;
pub use config::{Config, ConfigError, GrpcConfig, StoreConfig, Tls};
pub use grpc::{invalid, missing_resource, unavailable};
pub use level::Level;
pub use outbox::{Outbox, OutboxError, Told};
pub use shell::{Shell, StartError, exit_code, serve_packages};
pub use status_service::StatusApi;
