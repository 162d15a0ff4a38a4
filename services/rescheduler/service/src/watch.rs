//! Looking at stored packages again, and telling what changed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quench_advisories::Epoch;
use quench_advisories::in_force::{folder, in_force};
use quench_content::Store;
use quench_model::{Descriptor, Digest, FindingKind, FindingState, Severity, media_type};
use quench_package::{Context, Disposition, EngineError, Progress};
use quench_proto::subject::Tenant;
use quench_proto::v1::{self, AffectedPackage, FindingEvent, FindingSummaryEvent, Run};
use quench_rescheduler_engine::{FindingChange, Rescheduler};
use quench_runtime::{Shell, level};
use quench_worker::{Answer, Event, Job, JobError, Meter, Publisher};
use tokio::sync::Mutex as Turn;

/// Name that points to the epoch in force.
const IN_FORCE: &str = "epoch-in-force";
/// Runs that are remembered.
const REMEMBERED: usize = 1000;
/// Packages a summary names.
const NAMED: usize = 1000;

/// Looks at stored packages. Cheap to clone; one look at a time.
#[derive(Clone)]
pub struct Watch {
    store: Store,
    publisher: Publisher,
    tenant: Tenant,
    turn: Arc<Turn<()>>,
    history: Arc<Mutex<VecDeque<Run>>>,
}

impl Watch {
    /// Looks at the packages of the shell's store.
    pub fn new(shell: &Shell) -> Self {
        Self {
            store: shell.store.clone(),
            publisher: shell.publisher.clone(),
            tenant: shell.config.tenant.clone(),
            turn: Arc::default(),
            history: Arc::default(),
        }
    }

    /// Looks at what has been finished since, under the epoch in force.
    pub async fn finished(&self, job: Job) -> Result<Answer, JobError> {
        // The event must name a revision; what is then looked at is everything that was not looked at yet.
        job.input()?;
        let meter = job.meter.clone();
        self.look(None, "finished", meter)
            .await
            .map(|_| Answer::default())
            .map_err(|error| match error.disposition() {
                Disposition::Retry { after } => JobError::Retry {
                    after,
                    reason: error.to_string(),
                },
                // Nothing is wrong with the package because it could not be looked at: never reject it here.
                Disposition::Reject { reason } => JobError::Retry {
                    after: Duration::from_secs(30),
                    reason,
                },
            })
    }

    /// What ran, newest first.
    pub fn history(&self, limit: usize) -> Vec<Run> {
        let history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.iter().take(limit).cloned().collect()
    }

    /// Goes to the epoch `next` (or stays at the one in force) and tells every finding that changes.
    pub async fn look(
        &self,
        next: Option<Digest>,
        trigger: &str,
        meter: Meter,
    ) -> Result<Run, EngineError> {
        let _turn = self.turn.lock().await;
        let started = SystemTime::now();
        let (watch, told) = (self.clone(), Arc::new(Mutex::new(Told::default())));
        let counted = Arc::clone(&told);
        let done = level::on_own_thread(async move || watch.go(next, meter, &counted).await)
            .await
            .unwrap_or_else(|error| {
                Err(EngineError::Unavailable {
                    reason: format!("the engine did not come to an end: {error}"),
                    retry_after: Duration::from_secs(5),
                })
            });
        let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        self.summarize(&told).await?;
        let mut run = told.run;
        run.trigger = trigger.to_owned();
        run.started = Some(started.into());
        run.finished = Some(SystemTime::now().into());
        run.packages = told.packages;
        match &done {
            Ok((before, after)) => {
                run.previous_epoch_digest = before.clone();
                run.epoch_digest = after.clone();
            }
            Err(error) => run.error = error.to_string(),
        }
        let mut history = self.history.lock().unwrap_or_else(PoisonError::into_inner);
        history.push_front(run.clone());
        history.truncate(REMEMBERED);
        drop(history);
        done.map(|_| run)
    }

    /// Gives the digests of the epoch before and after.
    async fn go(
        &self,
        next: Option<Digest>,
        meter: Meter,
        told: &Mutex<Told>,
    ) -> Result<(String, String), EngineError> {
        let unavailable = |error: &dyn std::fmt::Display| EngineError::Unavailable {
            reason: format!("the advisory epoch cannot be read: {error}"),
            retry_after: Duration::from_secs(10),
        };
        let old = in_force(&self.store).await.map_err(|e| unavailable(&e))?;
        let (new, manifest) = match &next {
            None => (old.clone(), None),
            Some(digest) => {
                let (epoch, manifest) = self.epoch(digest).await?;
                (Some(Arc::new(epoch)), Some(manifest))
            }
        };
        let Some(new) = new else {
            return Ok((String::new(), String::new()));
        };
        let context = Context {
            progress: Progress::new(move |_| meter.tick()),
            ..Context::new(self.store.clone())
        };
        Rescheduler::new()
            .apply_epoch_each(old.as_deref(), &new, &context, async |changes| {
                self.tell(changes, told).await
            })
            .await?;
        if let Some(manifest) = manifest {
            let name = IN_FORCE
                .parse()
                .map_err(|error| EngineError::Input(format!("{error}")))?;
            self.store.tag(&name, &manifest).await?;
        }
        let digest = |epoch: &Epoch| epoch.digest().to_string();
        Ok((old.as_deref().map(digest).unwrap_or_default(), digest(&new)))
    }

    /// An epoch of the store, by the digest of its manifest.
    async fn epoch(&self, digest: &Digest) -> Result<(Epoch, Descriptor), EngineError> {
        let mut descriptor = Descriptor::of(media_type::MANIFEST, []);
        descriptor.digest = digest.clone();
        let manifest = self.store.manifest(&descriptor).await?;
        let wrong = |reason: &str| EngineError::Input(format!("epoch {digest}: {reason}"));
        if manifest.artifact_type.as_deref() != Some(media_type::EPOCH) {
            return Err(wrong("its artifactType is not that of an epoch"));
        }
        let layer = manifest
            .layers
            .first()
            .ok_or_else(|| wrong("it has no layer"))?;
        let export = self.store.file(layer).await?;
        let folder = folder(&self.store);
        let opened = tokio::task::spawn_blocking(move || Epoch::open(&export, &folder)).await;
        match opened {
            Ok(Ok(epoch)) => Ok((epoch, descriptor)),
            Ok(Err(error)) => Err(wrong(&error.to_string())),
            Err(error) => Err(wrong(&error.to_string())),
        }
    }

    /// Publishes the changes of one package; they count as told only when the stream has all of them.
    async fn tell(&self, changes: &[FindingChange], told: &Mutex<Told>) -> Result<(), EngineError> {
        let events: Vec<FindingEvent> = changes
            .iter()
            .map(|change| {
                FindingEvent::of(&change.finding, change.previous, vec![affected(change)])
            })
            .collect();
        self.publisher
            .publish_findings(&self.tenant, &events)
            .await
            .map_err(|error| EngineError::Unavailable {
                reason: error.to_string(),
                retry_after: Duration::from_secs(2),
            })?;
        told.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count(changes);
        Ok(())
    }

    /// One event for each vulnerability that changed in more than one package.
    async fn summarize(&self, told: &Told) -> Result<(), EngineError> {
        for ((kind, id), summary) in &told.summaries {
            if summary.affected.len() < 2 {
                continue;
            }
            let event = FindingSummaryEvent {
                canonical_id: id.clone(),
                kind: v1::FindingKind::from(*kind).into(),
                severity: v1::Severity::from(summary.severity).into(),
                cause: summary.cause.clone(),
                fixed_version: summary.fixed_version.clone(),
                opened: summary.counts.opened,
                updated: summary.counts.updated,
                resolved: summary.counts.resolved,
                reopened: summary.counts.reopened,
                affected: summary.affected.values().take(NAMED).cloned().collect(),
                affected_total: summary.affected.len() as u64,
            };
            let Some(event) = Event::finding_summary(&self.tenant, &event) else {
                continue;
            };
            self.publisher
                .publish(&event)
                .await
                .map_err(|error| EngineError::Unavailable {
                    reason: error.to_string(),
                    retry_after: Duration::from_secs(2),
                })?;
        }
        Ok(())
    }
}

fn affected(change: &FindingChange) -> AffectedPackage {
    AffectedPackage {
        package: change.finding.subject.package.to_string(),
        version: String::new(),
        revision_digest: change.revision.to_string(),
    }
}

/// What one look told.
#[derive(Default)]
struct Told {
    run: Run,
    packages: u64,
    summaries: BTreeMap<(FindingKind, String), Summary>,
}

#[derive(Default)]
struct Summary {
    severity: Severity,
    cause: Option<v1::Cause>,
    fixed_version: String,
    counts: Run,
    affected: BTreeMap<String, AffectedPackage>,
}

impl Told {
    fn count(&mut self, changes: &[FindingChange]) {
        self.packages += 1;
        for change in changes {
            let finding = &change.finding;
            add(&mut self.run, finding.state);
            let summary = self
                .summaries
                .entry((finding.kind, finding.canonical_id.clone()))
                .or_default();
            add(&mut summary.counts, finding.state);
            summary.severity = summary.severity.max(finding.severity);
            let event = FindingEvent::of(finding, change.previous, Vec::new());
            summary.cause = event.cause;
            summary.fixed_version = event.fixed_version;
            let affected = affected(change);
            summary.affected.insert(affected.package.clone(), affected);
        }
    }
}

fn add(run: &mut Run, state: FindingState) {
    match state {
        FindingState::Opened => run.opened += 1,
        FindingState::Updated => run.updated += 1,
        FindingState::Resolved => run.resolved += 1,
        FindingState::Reopened => run.reopened += 1,
        FindingState::Suppressed => {}
    }
}
