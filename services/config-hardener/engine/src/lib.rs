//! Level 2: makes a chart harden itself.
//!
//! Start with [`Engine::run`], which takes a package at level 1 and gives it at level 2, or with
//! [`harden_chart`], the same work on a chart alone. Both render the chart as it is, evaluate the rules of
//! `quench-rules` over it, put the same rules as templates into the chart, render it again and compare:
//! a chart whose own hardening differs from what the rules say is refused, never shipped.

mod chart_only;
mod engine;
mod report;

pub use chart_only::{Demands, HardenError, HardenedChart, harden_chart};
pub use engine::Engine;
pub use report::{Change, Numbers, PodVerdict, Remaining, Report, Waived};
pub use quench_rules::{Rule, rule, rules};
