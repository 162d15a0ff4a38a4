//! Level 1: everything an installation needs, in one package, by digest.
//!
//! [`pack`] makes a submission of what a user gives: a chart, values, a policy, a target, and images that lie
//! on this machine. [`Engine::run`] makes a submission a package: it finds the images the chart may use, at the given values
//! and at others, gets each of them into the store, and writes down which reference became which digest and why it is in.
//! [`Engine::survey`] only looks. Start with those.

pub mod air_gap;
mod attached;
mod discover;
mod engine;
mod fetch;
mod matching;
mod pack;
pub mod source;
mod survey;
mod unavailable;

pub use engine::{Engine, EngineOptions};
pub use pack::{PackOptions, pack};
pub use survey::{Available, Survey, SurveyedImage};
