//! Advisories: what is known to be wrong with which versions of which software.
//!
//! Start with [`Epoch`]: [`Epoch::build`] imports OSV records into one, [`Epoch::matches`] asks it about
//! [`Component`]s. An epoch is a fixed state of advisory data, named by the digest of its content, and can be written
//! to one file ([`Epoch::export`]) and opened elsewhere ([`Epoch::open`]). [`Epoch::diff`] says which advisories changed
//! between two epochs, and a [`ReverseIndex`] over stored components says whom that touches.
//!
//! Three answers are kept apart everywhere: a component matches, a component does not match, and the epoch cannot
//! tell ([`Unchecked`]). The third is never reported as the second.
//!
//! Which epoch a content store works with is kept by [`in_force`]. Everything else is synchronous and may read files:
//! call it from a blocking thread.

mod component;
mod cvss;
mod ecosystem;
mod epoch;
mod error;
pub mod in_force;
mod osv;
mod reverse;
mod version;

pub use component::Component;
pub use cvss::{CvssError, Score};
pub use ecosystem::{Distribution, Ecosystem, EcosystemError};
pub use epoch::{
    AdvisoryChange, ChangeKind, Coverage, Epoch, Match, Matches, PackageKey, Unchecked,
    UncheckedReason,
};
pub use error::Error;
pub use osv::{ImportReport, Malformed};
pub use reverse::{Indexed, ReverseIndex};
pub use version::{Order, Version, VersionError};
