//! The JetStream loop around a handler, and everything else that touches the bus.
//!
//! Start with [`Worker`]: it pulls events, keeps them alive while a handler works on them, publishes what the handler
//! answers, and acknowledges last. [`topology`] is what `deploy/nats` says must exist, [`mod@provision`] the admin step that
//! makes it, [`Bus`] the connection, [`Event`] the form events travel in, [`StatusBoard`] where packages are, [`DeadLetters`]
//! what becomes of messages nobody could handle.
//!
//! # What the loop rests on
//! Any step may happen twice or be cut off after any instruction. So: results are digests and message ids functions of
//! results; blobs are written before the event that names them, the event is in its stream before the
//! message that caused it is acknowledged. An acknowledgement alone proves nothing (a confirmed one may be answered by
//! "no responders", a publish that timed out may still land): correctness rests on doing it again being harmless.

mod account;
mod bus;
mod dead_letter;
mod event;
mod job;
mod provision;
mod publisher;
mod retry;
mod status;
pub mod topology;
mod worker;

pub use bus::{Bus, BusError, BusSettings, Health, HealthState, LEAST_VERSION};
pub use dead_letter::DeadLetters;
pub use event::{BodyFormat, Event, PACKAGE_EVENT, run_context};
pub use job::{Answer, Job, JobError, Meter};
pub use provision::{Provisioned, provision};
pub use publisher::{PublishError, Published, Publisher};
pub use status::{StatusBoard, Watch};
pub use worker::{Worker, WorkerSettings};
