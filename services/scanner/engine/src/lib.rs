//! Level 3, *secured*: what is in every image, what is known to be wrong with it, and whether that is accepted.
//!
//! Start with [`Engine::run`]: for each image and platform it catalogues the packages ([`quench_inventory::catalogue`]),
//! writes the SBOMs, asks the advisory epoch about every package ([`quench_inventory::evaluate`]), looks at the image's
//! configuration, and lets the policy decide ([`quench_package::verdict`]). Whatever could not be looked at is a
//! finding of the kind completeness, never silence.

mod configuration;
mod engine;
mod report;
mod scan;

pub use engine::{ENGINE_VERSION, Engine};
pub use report::{GateReport, ImageReport, PlatformReport, Report, UncheckedReport};
