//! Hardening never ends: what a new advisory epoch changes for packages that are stored already.
//!
//! Start with [`Rescheduler::apply_epoch`]. It asks which advisories changed, who holds a package they name, and looks again at
//! those images alone; their findings are opened, updated or resolved, each with its cause. [`Rescheduler::sweep`] looks at
//! everything and must find nothing more: the proof that the increments are right.

mod change;
mod delta;
mod index;
mod rescheduler;
mod stored;

pub use change::FindingChange;
pub use rescheduler::Rescheduler;
