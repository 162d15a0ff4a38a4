//! An engine as a handler of jobs.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use futures::future::BoxFuture;
use quench_content::{Store, StoreError};
use quench_model::{Descriptor, Digest, Finding, media_type};
use quench_package::{
    Context, Disposition, EngineError, Outcome, Package, Progress, Submission, current_findings,
    publish,
};
use quench_proto::v1::{self, AffectedPackage, PackageEvent, Rejection, RejectionCode};
use quench_worker::{Answer, Job, JobError, StatusBoard};

use crate::changes;
use crate::outbox::{Outbox, OutboxError, Told};

/// A level of the pipeline: where it reads and writes.
#[derive(Clone)]
pub struct Level {
    level: quench_model::Level,
    store: Store,
    board: StatusBoard,
    outbox: Outbox,
}

/// What handlers are.
type Handled = BoxFuture<'static, Result<Answer, JobError>>;

/// Wait after the store failed in a way that passes.
const STORE_AGAIN: Duration = Duration::from_secs(2);

impl Level {
    /// The level `level` on `store`.
    pub fn new(level: quench_model::Level, store: &Store, board: &StatusBoard) -> Self {
        Self {
            level,
            store: store.clone(),
            board: board.clone(),
            outbox: Outbox::new(store, level.name()),
        }
    }

    /// What the level has to tell.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Which level it is.
    pub fn level(&self) -> quench_model::Level {
        self.level
    }

    /// The handler of a level that takes the revision of the level before.
    pub fn of_packages<W, F>(self, work: W) -> impl Fn(Job) -> Handled + Send + Sync + 'static
    where
        W: Fn(Package, Context) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Outcome, EngineError>>,
    {
        move |job| {
            let (level, work) = (self.clone(), work.clone());
            Box::pin(async move {
                let (digest, _) = job.input()?;
                let input = level.clone();
                level
                    .handle(job, async move |context| {
                        let package = Package::load_digest(&input.store, &digest).await?;
                        let before = current_findings(&input.store, &package).await?;
                        let outcome = work(package, context).await?;
                        Ok((outcome, before))
                    })
                    .await
            })
        }
    }

    /// The handler of the first level, which takes a submission.
    pub fn of_submissions<W, F>(self, work: W) -> impl Fn(Job) -> Handled + Send + Sync + 'static
    where
        W: Fn(Submission, Context) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Outcome, EngineError>>,
    {
        move |job| {
            let (level, work) = (self.clone(), work.clone());
            Box::pin(async move {
                let (digest, size) = job.input()?;
                let input = level.clone();
                level
                    .handle(job, async move |context| {
                        let descriptor = submission_descriptor(&digest, size);
                        let submission = Submission::load(&input.store, &descriptor).await?;
                        Ok((work(submission, context).await?, Vec::new()))
                    })
                    .await
            })
        }
    }

    /// Gives what was told of this very job before, or does the work and writes down what is to be told of it.
    async fn handle<W>(self, job: Job, work: W) -> Result<Answer, JobError>
    where
        W: AsyncFnOnce(Context) -> Result<(Outcome, Vec<Finding>), EngineError> + Send + 'static,
    {
        let input = input_digest(&job.event);
        let told_before = self.outbox.read(&job.event.package).await.map_err(again)?;
        if let Some(told) = &told_before
            && told.event.input_digest == input
            && told.event.run == job.event.run
        {
            return Ok(self.answer(told.clone(), None));
        }
        match self.work(&job, work).await {
            Ok((outcome, before)) => self.conclude(&job, told_before, outcome, &before).await,
            Err(error) => match error.disposition() {
                Disposition::Retry { after } => Err(JobError::Retry {
                    after,
                    reason: error.to_string(),
                }),
                Disposition::Reject { reason } => {
                    let event = self.rejection(&job, RejectionCode::Input, reason);
                    self.tell(Told {
                        event,
                        findings: Vec::new(),
                    })
                    .await
                }
            },
        }
    }

    async fn work<W>(&self, job: &Job, work: W) -> Result<(Outcome, Vec<Finding>), EngineError>
    where
        W: AsyncFnOnce(Context) -> Result<(Outcome, Vec<Finding>), EngineError> + Send + 'static,
    {
        let meter = job.meter.clone();
        let context = Context {
            store: self.store.clone(),
            cancel: job.cancel.clone(),
            progress: Progress::new(move |_| meter.tick()),
        };
        let done = on_own_thread(async move || work(context).await).await;
        done.unwrap_or_else(|error| {
            Err(EngineError::Unavailable {
                reason: format!("the engine did not come to an end: {error}"),
                retry_after: Duration::from_secs(1),
            })
        })
    }

    async fn conclude(
        &self,
        job: &Job,
        told_before: Option<Told>,
        outcome: Outcome,
        before: &[Finding],
    ) -> Result<Answer, JobError> {
        let package = &outcome.package;
        let affected = AffectedPackage {
            package: package.name.to_string(),
            version: package.version.clone(),
            revision_digest: package.revision.digest.to_string(),
        };
        let last_time = self.last_time(told_before).await.map_err(again)?;
        let findings = changes(self.level, before, &last_time, &outcome.findings, &affected);
        let mut event = PackageEvent {
            package: affected.package,
            version: affected.version,
            level: v1::Level::from(self.level).into(),
            revision_digest: affected.revision_digest,
            revision_size: package.revision.size,
            input_digest: input_digest(&job.event),
            input_size: input_size(&job.event),
            idempotency_key: outcome
                .key
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
            rejection: None,
            run: job.event.run.clone(),
        };
        if !self.board.superseded(&event.package, &job.run) {
            publish(&self.store, package)
                .await
                .map_err(|error| JobError::Retry {
                    after: STORE_AGAIN,
                    reason: error.to_string(),
                })?;
        }
        if let Some(refusal) = &outcome.refusal {
            event = PackageEvent {
                package: event.package,
                version: event.version,
                ..self.rejection(job, RejectionCode::Gate, refusal.clone())
            };
        }
        let told = Told { event, findings };
        self.outbox.write(&told).await.map_err(again)?;
        Ok(self.answer(told, Some(&outcome.findings)))
    }

    async fn tell(&self, told: Told) -> Result<Answer, JobError> {
        self.outbox.write(&told).await.map_err(again)?;
        Ok(self.answer(told, None))
    }

    /// The findings the level gave in the package's run before.
    async fn last_time(&self, told: Option<Told>) -> Result<Vec<Finding>, StoreError> {
        let Some(digest) = told.and_then(|told| told.event.revision_digest.parse::<Digest>().ok())
        else {
            return Ok(Vec::new());
        };
        match Package::load_digest(&self.store, &digest).await {
            Ok(package) => current_findings(&self.store, &package).await,
            // A revision that was cleaned away has nothing to compare with.
            Err(error) => {
                tracing::info!(%error, "the revision of the last run is gone");
                Ok(Vec::new())
            }
        }
    }

    fn rejection(&self, job: &Job, code: RejectionCode, reason: String) -> PackageEvent {
        PackageEvent {
            package: job.event.package.clone(),
            version: job.event.version.clone(),
            level: v1::Level::from(self.level).into(),
            input_digest: input_digest(&job.event),
            input_size: input_size(&job.event),
            rejection: Some(Rejection {
                code: code.into(),
                reason,
                event_id: job.event_id.clone(),
            }),
            run: job.event.run.clone(),
            ..PackageEvent::default()
        }
    }

    fn answer(&self, told: Told, findings: Option<&[Finding]>) -> Answer {
        let mut open = BTreeMap::new();
        for finding in findings.unwrap_or_default() {
            if finding.state.is_open() {
                *open.entry(finding.severity.name().to_owned()).or_insert(0) += 1;
            }
        }
        Answer {
            event: Some(told.event),
            findings: told.findings,
            open,
        }
    }
}

/// Runs an engine on a thread of its own: hashing and inflating must not keep a heartbeat from being sent. What the engine
/// awaits may stay on that thread.
///
/// # Errors
/// When the engine panicked.
pub async fn on_own_thread<T: Send + 'static>(
    work: impl AsyncFnOnce() -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let (runtime, span) = (tokio::runtime::Handle::current(), tracing::Span::current());
    tokio::task::spawn_blocking(move || {
        let _entered = span.enter();
        runtime.block_on(work())
    })
    .await
}

/// Descriptor of a submission's manifest.
pub fn submission_descriptor(digest: &Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type::MANIFEST.to_owned(),
        digest: digest.clone(),
        size,
        artifact_type: Some(media_type::SUBMISSION.to_owned()),
        platform: None,
        annotations: BTreeMap::new(),
    }
}

/// What the next event calls its input: the revision this event tells of, or the submission.
fn input_digest(event: &PackageEvent) -> String {
    if event.revision_digest.is_empty() {
        event.input_digest.clone()
    } else {
        event.revision_digest.clone()
    }
}

fn input_size(event: &PackageEvent) -> u64 {
    if event.revision_digest.is_empty() {
        event.input_size
    } else {
        event.revision_size
    }
}

fn again(error: impl Into<OutboxError>) -> JobError {
    let error = error.into();
    JobError::Retry {
        after: STORE_AGAIN,
        reason: error.to_string(),
    }
}
