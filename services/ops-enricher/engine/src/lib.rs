//! Level 4, *operable*: ready to run, and every licence known.
//!
//! Start with [`Engine::run`]. It gives the self-hardening chart the rules of level 4 beside those of level 2: the work of
//! `quench_rules::hardening`, which both levels share. Then it draws up the licence inventory of chart and images
//! ([`licences`]) from what the scanner catalogued.

mod engine;
pub mod licences;

pub use engine::{ENGINE_VERSION, Engine};
