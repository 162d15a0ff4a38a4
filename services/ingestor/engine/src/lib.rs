//! Level 1: everything an installation needs, in one package, by digest.
//!
//! [`pack`] makes a submission of what a user gives: a chart, values, a policy, a target, and images that lie
//! on this machine. [`Engine::run`] makes a submission a package: it renders the chart at the given values, finds
//! the images of every pod specification, gets each of them into the store, and writes down which reference
//! became which digest and why it is in. Start with those two.

pub mod air_gap;
mod discover;
mod engine;
mod fetch;
mod matching;
mod pack;
pub mod source;

pub use engine::{Engine, EngineOptions};
pub use pack::{PackOptions, pack};
