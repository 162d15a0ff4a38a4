//! One file per verb.

pub mod advisories;
pub mod chart;
pub mod chart_only;
pub mod completions;
pub mod diff;
pub mod explain;
pub mod export;
pub mod findings;
pub mod harden;
pub mod history;
pub mod image;
pub mod import;
pub mod install;
pub mod ls;
pub mod push;
pub mod report;
pub mod rules;
pub mod sbom;
pub mod show;
pub mod status;
pub mod submit;
pub mod verify;
pub mod waive;
pub mod watch;
