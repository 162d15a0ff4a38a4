//! One file per verb.

pub mod advisories;
pub mod chart;
pub mod chart_only;
pub mod completions;
pub mod explain;
pub mod findings;
pub mod harden;
pub mod image;
pub mod ls;
pub mod report;
pub mod rules;
pub mod sbom;
pub mod show;
pub mod status;
pub mod submit;
pub mod verify;
pub mod waive;
pub mod watch;
