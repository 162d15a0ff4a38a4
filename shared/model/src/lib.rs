//! Validated types every Quench crate speaks in. No I/O happens here.
//!
//! A value that exists is valid: [`Digest`], [`PackageName`] and [`ImageReference`] check their text when
//! they are made, so nothing behind them has to check again. Start with [`Digest`] and [`Descriptor`]
//! (what names bytes), then [`Level`] and [`Finding`] (what the levels say), then [`Policy`] and
//! [`Target`] (what a team demands and what an environment offers).

mod descriptor;
mod digest;
mod facts;
mod finding;
mod level;
mod package_name;
mod policy;
mod reference;
mod severity;
mod stage;
mod target;

pub use descriptor::{Descriptor, Platform, PlatformError, annotation, media_type};
pub use digest::{Digest, DigestError, Hasher};
pub use facts::{FactsFile, FactsSource, ImageFacts, Port, WritablePath};
pub use finding::{
    Cause, CauseKind, Evidence, Finding, FindingId, FindingKind, FindingState, Subject, Suppression,
};
pub use level::{Level, LevelError};
pub use package_name::{PackageName, PackageNameError};
pub use policy::{Gate, ImageSelection, ParameterPolicy, Policy, PolicyError, RuleSetting, Waiver};
pub use reference::{ImageReference, ReferenceError};
pub use severity::{Severity, SeverityError};
pub use stage::{Stage, StageError, Trust};
pub use target::{ContainerResources, Egress, PodSecurityLevel, PullPolicy, ServiceType, Target};
