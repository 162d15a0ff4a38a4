//! Rules: what a chart should be like, and how it becomes so.
//!
//! Every rule is declared once, as a constant of the language in [`mod@rule`]; [`rules`] lists them. From the declaration
//! come three things that must agree: [`evaluate::harden`] interprets it over rendered objects, [`template::definitions`]
//! compiles it to the template code with which a chart hardens itself, and [`documentation`] prints it for people.
//!
//! [`Evidence`] is what is known about images, [`Settings`] what policy, target and values say, [`Siblings`] what
//! other objects of the chart show. [`hardening`] puts it all together for a chart: levels 2 and 4 are that with other rules.
//! [`parameters`] knows what values of charts matter to security.
//! [`pod_security`] judges pods by the Pod Security Standards, independently of the rules.
//!
//! # Why not write each rule twice?
//! Because the second copy would be wrong. What a chart does at render time, for values nobody has tried, must be
//! what was tested; so both come from one text, and tests hold the two backends equal.

mod catalogue;
pub mod documentation;
pub mod evaluate;
mod evidence;
pub mod hardening;
pub mod parameters;
pub mod pod_security;
mod release;
mod relocation;
pub mod rule;
mod settings;
mod siblings;
pub mod template;
mod workload;

pub use catalogue::{rule, rules, version};
pub use evidence::{Evidence, Pin};
pub use release::Release;
pub use rule::Rule;
pub use settings::{Settings, SettingsError};
pub use siblings::{Siblings, scan, scan_bindings};
