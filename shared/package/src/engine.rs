//! The contract every engine keeps.
//!
//! An engine is a function: a revision in, a revision and findings out. It names its work by a key over everything
//! that decides the result ([`Work`]), and [`Work::replay_or_run`] gives the stored result where the same work
//! was done before. So running twice is harmless, and a bus that delivers at least once has an effect
//! exactly once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use quench_content::artefact::Manifest;
use quench_content::{RefName, Store, StoreError};
use quench_model::{Descriptor, Digest, Finding, Hasher, Level, annotation, media_type};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::attachment::{current_findings, write_findings};
use crate::{Package, PackageError, Request};

/// What an engine works with.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where content is read and written.
    pub store: Store,
    /// Asks the engine to stop at the next safe point.
    pub cancel: CancellationToken,
    /// Where the engine tells how far it is.
    pub progress: Progress,
}

impl Context {
    /// A context that nobody watches or cancels.
    pub fn new(store: Store) -> Self {
        Self {
            store,
            cancel: CancellationToken::new(),
            progress: Progress::default(),
        }
    }

    /// Stops here if cancellation was asked for.
    ///
    /// # Errors
    /// [`EngineError::Cancelled`].
    pub fn check_cancelled(&self) -> Result<(), EngineError> {
        if self.cancel.is_cancelled() {
            Err(EngineError::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// Where an engine tells how far it is. Cheap to clone.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<Listener>>);

type Listener = dyn Fn(ProgressEvent<'_>) + Send + Sync;

/// A step of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressEvent<'a> {
    /// A task begins: what it is, and how many steps or bytes it has (0: not known).
    Start {
        /// What is being done, for people.
        task: &'a str,
        /// Number of steps or bytes.
        total: u64,
    },
    /// That many steps or bytes more are done.
    Advance(u64),
    /// The task is done.
    Finish,
}

impl Progress {
    /// Progress that calls `listener` at every step.
    pub fn new(listener: impl Fn(ProgressEvent<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    /// Tells that a task begins.
    pub fn start(&self, task: &str, total: u64) {
        self.tell(ProgressEvent::Start { task, total });
    }

    /// Tells that `steps` more are done.
    pub fn advance(&self, steps: u64) {
        self.tell(ProgressEvent::Advance(steps));
    }

    /// Tells that the task is done.
    pub fn finish(&self) {
        self.tell(ProgressEvent::Finish);
    }

    fn tell(&self, event: ProgressEvent<'_>) {
        if let Some(listener) = &self.0 {
            listener(event);
        }
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}

/// What an engine made of a package.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The new revision.
    pub package: Package,
    /// All findings of the package as they stand after this level, those of earlier levels included.
    pub findings: Vec<Finding>,
    /// Why a gate refuses the package, if one does. A refused package goes no further.
    pub refusal: Option<String>,
    /// Whether the result was taken from the store instead of made.
    pub replayed: bool,
    /// Idempotency key of the work, once it is stored under one.
    pub key: Option<Digest>,
}

impl Outcome {
    /// An outcome that was just made.
    pub fn new(package: Package, findings: Vec<Finding>) -> Self {
        Self {
            package,
            findings,
            refusal: None,
            replayed: false,
            key: None,
        }
    }
}

/// Why an engine could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The input is wrong: trying again gives the same.
    #[error("{0}")]
    Input(String),
    /// Something outside that is needed is missing or unreachable: a registry, a tool, disk space.
    #[error("{reason}")]
    Unavailable {
        /// What is missing and what to do.
        reason: String,
        /// How long to wait before trying again.
        retry_after: Duration,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The package cannot be read.
    #[error(transparent)]
    Package(PackageError),
    /// Cancellation was asked for.
    #[error("cancelled; run the same again to go on from here")]
    Cancelled,
}

impl From<PackageError> for EngineError {
    fn from(error: PackageError) -> Self {
        match error {
            PackageError::Store(error) => Self::Store(error),
            error @ PackageError::Malformed { .. } => Self::Package(error),
            PackageError::Chart(error) => Self::Input(error.to_string()),
            PackageError::Cancelled => Self::Cancelled,
        }
    }
}

/// What to do with a job that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// Try again, not sooner than this.
    Retry {
        /// Shortest wait.
        after: Duration,
    },
    /// Trying again cannot help.
    Reject {
        /// Why, for people.
        reason: String,
    },
}

impl EngineError {
    /// What to do with the job.
    pub fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { retry_after, .. } => Disposition::Retry {
                after: *retry_after,
            },
            Self::Cancelled => Disposition::Retry {
                after: Duration::ZERO,
            },
            // Content that a registry does not show yet may be a replica that lags behind.
            Self::Store(StoreError::NotFound { .. }) => Disposition::Retry {
                after: Duration::from_secs(2),
            },
            Self::Store(error) => match error.retry_after() {
                Some(after) => Disposition::Retry { after },
                None => Disposition::Reject {
                    reason: self.to_string(),
                },
            },
            Self::Input(_) | Self::Package(_) => Disposition::Reject {
                reason: self.to_string(),
            },
        }
    }
}

/// Names a piece of work by everything that decides its result.
#[derive(Debug, Clone)]
pub struct Work<'a> {
    /// Level that works.
    pub level: Level,
    /// Version of the engine: changes whenever its results do.
    pub engine_version: &'a str,
    /// Digest of the revision (or submission) worked on.
    pub input: &'a Digest,
    /// Digest of the policy in force.
    pub policy: &'a Digest,
    /// Advisory epoch in force, for levels that use one.
    pub epoch: Option<&'a Digest>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredOutcome {
    revision: Descriptor,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refusal: Option<String>,
}

impl Work<'_> {
    /// The idempotency key.
    pub fn key(&self) -> Digest {
        let mut hasher = Hasher::new();
        hasher.field(self.level.name().as_bytes());
        hasher.field(self.engine_version.as_bytes());
        hasher.field(self.input.as_bytes());
        hasher.field(self.policy.as_bytes());
        hasher.field(self.epoch.map_or(&[][..], |epoch| epoch.as_bytes()));
        hasher.finish()
    }

    /// What is noted about the work beside the findings of the revision it makes.
    fn notes(&self) -> BTreeMap<String, String> {
        let mut notes = BTreeMap::from([
            (
                annotation::WORK_ENGINE.to_owned(),
                self.engine_version.to_owned(),
            ),
            (annotation::WORK_INPUT.to_owned(), self.input.to_string()),
            (annotation::WORK_POLICY.to_owned(), self.policy.to_string()),
        ]);
        if let Some(epoch) = self.epoch {
            notes.insert(annotation::WORK_EPOCH.to_owned(), epoch.to_string());
        }
        notes
    }

    /// The stored outcome of this work, if it was done before.
    ///
    /// # Errors
    /// When the store fails; an outcome whose revision is gone counts as not done.
    pub async fn replay(&self, store: &Store) -> Result<Option<Outcome>, EngineError> {
        let name = RefName::outcome(&self.key());
        let Some(descriptor) = store.resolve(&name).await? else {
            return Ok(None);
        };
        let manifest = store.manifest(&descriptor).await?;
        let Some(layer) = manifest.layers.first() else {
            return Ok(None);
        };
        let stored: StoredOutcome = store.read_json(layer, Request::DOCUMENT_LIMIT).await?;
        if !store.contains(&stored.revision).await? {
            return Ok(None);
        }
        let package = Package::load(store, &stored.revision).await?;
        let findings = current_findings(store, &package).await?;
        Ok(Some(Outcome {
            package,
            findings,
            refusal: stored.refusal,
            replayed: true,
            key: Some(self.key()),
        }))
    }

    /// Gives the stored outcome of this work, or does the work and stores its outcome.
    ///
    /// Order matters: blobs, revision and attachments first, the outcome record last. Whatever a crash
    /// leaves behind, a record that can be found names a result that is whole.
    ///
    /// # Errors
    /// What the work or the store fails with.
    pub async fn replay_or_run<F>(&self, context: &Context, work: F) -> Result<Outcome, EngineError>
    where
        F: AsyncFnOnce() -> Result<Outcome, EngineError>,
    {
        let store = &context.store;
        if let Some(outcome) = self.replay(store).await? {
            return Ok(outcome);
        }
        let mut outcome = work().await?;
        outcome.key = Some(self.key());
        write_findings(
            store,
            &outcome.package.revision,
            self.level,
            &mut outcome.findings,
            self.notes(),
        )
        .await?;
        let record = StoredOutcome {
            revision: outcome.package.revision.clone(),
            refusal: outcome.refusal.clone(),
        };
        let layer = store.put_json(media_type::OUTCOME, &record).await?;
        let manifest = Manifest::artefact(media_type::OUTCOME, vec![layer]);
        let descriptor = store.put_manifest(&manifest).await?;
        store
            .tag(&RefName::outcome(&self.key()), &descriptor)
            .await?;
        Ok(outcome)
    }
}
