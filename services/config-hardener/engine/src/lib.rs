//! Level 2: makes a chart harden itself.
//!
//! Start with [`Engine::run`], which takes a package at level 1 and gives it at level 2, or with
//! [`harden_chart`], the same work on a chart alone. The work itself is in `quench_rules::hardening`, which
//! level 4 uses too.

mod engine;

pub use engine::{ENGINE_VERSION, Engine, harden_chart};
pub use quench_rules::hardening::report::{Change, Numbers, PodVerdict, Remaining, Report, Waived};
pub use quench_rules::hardening::{Demands, HardenError, HardenedChart};
pub use quench_rules::{Rule, rule, rules};
