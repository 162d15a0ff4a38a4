//! What a handler gets and what it answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use quench_model::Digest;
use quench_proto::v1::{FindingEvent, PackageEvent, RejectionCode, RunContext};
use tokio_util::sync::CancellationToken;

use crate::event::Event;

/// A piece of work: one event.
#[derive(Debug, Clone)]
pub struct Job {
    /// The event.
    pub event: PackageEvent,
    /// What the events of its run have in common. Forward `event.run` as it is, never this encoded again.
    pub run: RunContext,
    /// Message id of the event.
    pub event_id: String,
    /// Number of times it was delivered, this one included.
    pub delivery: u32,
    /// Asks the handler to stop at the next safe point.
    pub cancel: CancellationToken,
    /// Where the handler shows that it gets on.
    pub meter: Meter,
}

impl Job {
    /// Digest and size of what the job starts from: the submission, or the revision of the level before.
    ///
    /// # Errors
    /// When the event names none that is valid: such an event can never be handled.
    pub fn input(&self) -> Result<(Digest, u64), JobError> {
        let (text, size) = if self.event.revision_digest.is_empty() {
            (&self.event.input_digest, self.event.input_size)
        } else {
            (&self.event.revision_digest, self.event.revision_size)
        };
        text.parse()
            .map(|digest| (digest, size))
            .map_err(|error| JobError::Reject {
                code: RejectionCode::MalformedEvent,
                reason: format!("event {}: {error}", self.event_id),
            })
    }
}

/// Counts steps, so that a job that gets on is told from one that hangs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// A step more is done.
    pub fn tick(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn steps(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What came of a job. It is published as it is, so a handler that gives the same answer to the same job makes
/// deliveries harmless.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// What to tell: a level reached, or a rejection. `None` where a job ends in nothing to tell.
    pub event: Option<PackageEvent>,
    /// Findings that changed.
    pub findings: Vec<FindingEvent>,
    /// Open findings by severity name, for the status.
    pub open: BTreeMap<String, u64>,
}

impl Answer {
    pub(crate) fn told(&self) -> Option<Event> {
        self.event.as_ref().map(Event::package)
    }
}

/// Why a job could not be done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobError {
    /// Trying again may help.
    #[error("{reason}")]
    Retry {
        /// Shortest wait.
        after: Duration,
        /// What failed.
        reason: String,
    },
    /// Trying again cannot help.
    #[error("{reason}")]
    Reject {
        /// Sort of reason.
        code: RejectionCode,
        /// What is wrong and what to do.
        reason: String,
    },
}
