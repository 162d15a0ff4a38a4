//! Where packages are: the bucket `quench_status`, written whole per level and followed in memory.
//!
//! Keys are `submitted.<package>` and `<level>.<package>`. Each has one writer, the service of that level, so
//! nothing is read, changed and written back, and no service drops a field that a newer one wrote.
//! [`StatusBoard`] follows the bucket: it reads the bucket's stream from its first message by direct gets, then
//! hears every change from the server's republishing, and fills any gap by reading again. That needs no right to
//! create consumers.

use std::collections::BTreeMap;
use std::sync::{Arc, RwLock, RwLockReadGuard};
use std::time::{Duration, SystemTime};

use async_nats::{HeaderMap, StatusCode};
use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use quench_model::{Level, PackageName};
use quench_proto::v1::{
    self, LevelState, LevelStatus, PackageStatus, RunContext, SubmissionStatus,
};
use serde_json::{Value, json};
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, BusError};
use crate::publisher::{PublishError, Publisher};
use crate::topology::{STATUS, STATUS_CHANGE, STATUS_KEY};

/// Changes a watcher may fall behind before it is told to start again.
const BACKLOG: usize = 4096;
/// Entries asked for at once when reading the bucket.
const BATCH: u64 = 256;

/// The state of all packages. Cheap to clone.
#[derive(Clone)]
pub struct StatusBoard {
    bus: Bus,
    publisher: Publisher,
    mirror: Arc<RwLock<Mirror>>,
    changes: broadcast::Sender<PackageStatus>,
    ready: watch::Sender<bool>,
}

#[derive(Default)]
struct Mirror {
    packages: BTreeMap<String, Entries>,
    sequence: u64,
    created: String,
}

#[derive(Default, Clone)]
struct Entries {
    submission: Option<SubmissionStatus>,
    levels: BTreeMap<Level, LevelStatus>,
    sequence: u64,
}

/// The state as of a sequence, and every change after it.
pub struct Watch {
    /// Sequence of the snapshot.
    pub sequence: u64,
    /// Packages as of that sequence, by name.
    pub snapshot: Vec<PackageStatus>,
    /// What changed since, in order.
    pub changes: broadcast::Receiver<PackageStatus>,
}

impl StatusBoard {
    /// A board that knows nothing until [`StatusBoard::follow`] runs.
    pub fn new(bus: &Bus, publisher: &Publisher) -> Self {
        Self {
            bus: bus.clone(),
            publisher: publisher.clone(),
            mirror: Arc::default(),
            changes: broadcast::Sender::new(BACKLOG),
            ready: watch::Sender::new(false),
        }
    }

    /// Whether the bucket has been read to its end at least once.
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until the bucket has been read to its end.
    pub async fn ready(&self) {
        let mut ready = self.ready.subscribe();
        // The sender lives as long as `self`.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// One package.
    pub fn package(&self, name: &str) -> Option<PackageStatus> {
        self.read().packages.get(name).map(|e| e.assemble(name))
    }

    /// Up to `limit` packages whose names come after `after`, by name.
    pub fn packages(&self, after: &str, limit: usize) -> Vec<PackageStatus> {
        use std::ops::Bound;
        self.read()
            .packages
            .range::<str, _>((Bound::Excluded(after), Bound::Unbounded))
            .take(limit)
            .map(|(name, entries)| entries.assemble(name))
            .collect()
    }

    /// The state of one package (or all, `None`) now, and every later change of any package.
    pub fn watch(&self, name: Option<&str>) -> Watch {
        // Changes are sent while the lock is held for writing, so none falls between snapshot and subscription.
        let mirror = self.read();
        Watch {
            sequence: mirror.sequence,
            snapshot: mirror
                .packages
                .iter()
                .filter(|(package, _)| name.is_none_or(|name| name == package.as_str()))
                .map(|(package, entries)| entries.assemble(package))
                .collect(),
            changes: self.changes.subscribe(),
        }
    }

    /// What was last said of one level of a package.
    pub fn level(&self, name: &str, level: Level) -> Option<LevelStatus> {
        self.read().packages.get(name)?.levels.get(&level).cloned()
    }

    /// What was last accepted for a package.
    pub fn submission(&self, name: &str) -> Option<SubmissionStatus> {
        self.read().packages.get(name)?.submission.clone()
    }

    /// Whether a later submission of the package has taken the place of `run`.
    pub fn superseded(&self, name: &str, run: &RunContext) -> bool {
        self.submission(name)
            .and_then(|submission| RunContext::decode(submission.run).ok())
            .is_some_and(|current| current.tracking_id != run.tracking_id)
    }

    /// Says what was accepted.
    ///
    /// # Errors
    /// When the bucket does not take it.
    pub async fn write_submission(&self, mut status: SubmissionStatus) -> Result<(), PublishError> {
        status.updated = Some(SystemTime::now().into());
        let key = format!("{STATUS_KEY}submitted.{}", status.package);
        self.publisher
            .put(key, None, status.encode_to_vec().into())
            .await
            .map(|_| ())
    }

    /// Says where a level stands. A status without a valid package name is dropped: it could not be a key.
    ///
    /// # Errors
    /// When the bucket does not take it.
    pub async fn write_level(
        &self,
        level: Level,
        mut status: LevelStatus,
    ) -> Result<(), PublishError> {
        if status.package.parse::<PackageName>().is_err() {
            return Ok(());
        }
        status.level = v1::Level::from(level).into();
        status.updated = Some(SystemTime::now().into());
        let key = format!("{STATUS_KEY}{}.{}", level.name(), status.package);
        self.publisher
            .put(key, None, status.encode_to_vec().into())
            .await
            .map(|_| ())
    }

    /// Follows the bucket until `stop`.
    pub async fn follow(&self, stop: CancellationToken) {
        loop {
            let wait = tokio::select! {
                () = stop.cancelled() => return,
                result = self.follow_once() => match result {
                    Ok(()) if self.bus.health.watch().borrow().closed => return,
                    Ok(()) => Duration::ZERO,
                    Err(error) => {
                        tracing::warn!(%error, "cannot follow the status bucket");
                        Duration::from_secs(1)
                    }
                },
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Reads the bucket and then its changes, until the connection was made anew.
    async fn follow_once(&self) -> Result<(), BusError> {
        let failed = |reason: String| BusError::Request {
            request: format!("follow {STATUS}"),
            reason,
        };
        let connects = self.bus.health.connects();
        let mut changes = self
            .bus
            .client
            .subscribe(format!("{STATUS_CHANGE}>"))
            .await
            .map_err(|error| failed(error.to_string()))?;
        self.reset_if_another_stream().await?;
        self.catch_up().await?;
        self.ready.send_replace(true);
        loop {
            tokio::select! {
                () = self.bus.health.reconnected(connects) => return Ok(()),
                change = changes.next() => {
                    let Some(change) = change else {
                        return Err(failed("the subscription ended".to_owned()));
                    };
                    let headers = change.headers.unwrap_or_default();
                    let Some(sequence) = number(&headers, "Nats-Sequence") else { continue };
                    let last = self.read().sequence;
                    if sequence == last + 1 {
                        let key = change.subject.strip_prefix(STATUS_CHANGE).unwrap_or_default();
                        self.apply(key, sequence, &change.payload);
                    } else if sequence > last {
                        self.catch_up().await?;
                    }
                }
            }
        }
    }

    /// Forgets everything when the bucket was made anew: its sequences start again.
    async fn reset_if_another_stream(&self) -> Result<(), BusError> {
        let info = self
            .bus
            .ask(&format!("STREAM.INFO.{STATUS}"), &Value::Null)
            .await?;
        let created = info
            .get("created")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let last = info
            .pointer("/state/last_seq")
            .and_then(Value::as_u64)
            .unwrap_or_default();
        let mut mirror = self.mirror.write().unwrap_or_else(|e| e.into_inner());
        if mirror.created != created || mirror.sequence > last {
            *mirror = Mirror {
                created: created.to_owned(),
                ..Mirror::default()
            };
        }
        Ok(())
    }

    /// Reads everything after the last sequence known.
    async fn catch_up(&self) -> Result<(), BusError> {
        let request = format!("$JS.API.DIRECT.GET.{STATUS}");
        let failed = |reason: String| BusError::Request {
            request: request.clone(),
            reason,
        };
        loop {
            let from = self.read().sequence + 1;
            let inbox = self.bus.client.new_inbox();
            let mut answers = self
                .bus
                .client
                .subscribe(inbox.clone())
                .await
                .map_err(|error| failed(error.to_string()))?;
            let ask = json!({
                "seq": from,
                "batch": BATCH,
                "next_by_subj": format!("{STATUS_KEY}>"),
            });
            self.bus
                .client
                .publish_with_reply(request.clone(), inbox, ask.to_string().into())
                .await
                .map_err(|error| failed(error.to_string()))?;
            let mut pending = 0;
            loop {
                let answer = tokio::time::timeout(Duration::from_secs(5), answers.next())
                    .await
                    .map_err(|_| failed("no answer in time".to_owned()))?
                    .ok_or_else(|| failed("the subscription ended".to_owned()))?;
                let headers = answer.headers.unwrap_or_default();
                match answer.status {
                    None | Some(StatusCode::OK) => {
                        let (Some(sequence), Some(subject)) = (
                            number(&headers, "Nats-Sequence"),
                            headers.get("Nats-Subject"),
                        ) else {
                            return Err(failed("an answer without a sequence".to_owned()));
                        };
                        pending = number(&headers, "Nats-Num-Pending").unwrap_or_default();
                        let key = subject
                            .as_str()
                            .strip_prefix(STATUS_KEY)
                            .unwrap_or_default();
                        self.apply(key, sequence, &answer.payload);
                    }
                    // The end of the batch, or nothing there: both are the end of this request.
                    Some(status) if matches!(status.as_u16(), 204 | 404) => break,
                    Some(status) => return Err(failed(format!("answer {status}"))),
                }
            }
            if pending == 0 {
                return Ok(());
            }
        }
    }

    /// Takes one entry in and tells watchers.
    fn apply(&self, key: &str, sequence: u64, value: &Bytes) {
        let mut mirror = self.mirror.write().unwrap_or_else(|e| e.into_inner());
        mirror.sequence = mirror.sequence.max(sequence);
        let Some((prefix, package)) = key.split_once('.') else {
            return;
        };
        let entries = mirror.packages.entry(package.to_owned()).or_default();
        let read = match prefix.parse::<Level>() {
            Ok(level) => LevelStatus::decode(value.clone()).map(|status| {
                entries.levels.insert(level, status);
            }),
            Err(_) => SubmissionStatus::decode(value.clone())
                .map(|status| entries.submission = Some(status)),
        };
        if let Err(error) = read {
            tracing::warn!(%error, key, "an entry of the status bucket cannot be read");
            return;
        }
        entries.sequence = sequence;
        // Nobody watching is no error.
        let _ = self.changes.send(entries.assemble(package));
    }

    fn read(&self) -> RwLockReadGuard<'_, Mirror> {
        self.mirror.read().unwrap_or_else(|e| e.into_inner())
    }
}

impl Entries {
    /// The state of the run that was accepted last, out of what each level said.
    fn assemble(&self, name: &str) -> PackageStatus {
        let run_bytes = self.submission.as_ref().map_or_else(
            || {
                // The submission's entry may be lost or not here yet: take the newest run any level knows.
                self.levels
                    .values()
                    .max_by_key(|status| status.updated.map(|t| (t.seconds, t.nanos)))
                    .map(|status| status.run.clone())
                    .unwrap_or_default()
            },
            |submission| submission.run.clone(),
        );
        let run = RunContext::decode(run_bytes).unwrap_or_default();
        let mut package = PackageStatus {
            package: name.to_owned(),
            version: self
                .submission
                .as_ref()
                .map(|submission| submission.version.clone())
                .unwrap_or_default(),
            tenant: run.tenant.clone(),
            tracking_id: run.tracking_id.clone(),
            submission_digest: run.submission_digest.clone(),
            state: LevelState::Running.into(),
            sequence: self.sequence,
            updated: self
                .submission
                .as_ref()
                .and_then(|submission| submission.updated),
            ..PackageStatus::default()
        };
        for level in Level::ALL {
            let current = self.levels.get(&level).filter(|status| {
                RunContext::decode(status.run.clone())
                    .is_ok_and(|of| of.tracking_id == run.tracking_id)
            });
            let Some(status) = current else {
                package.levels.push(LevelStatus {
                    package: name.to_owned(),
                    level: v1::Level::from(level).into(),
                    state: LevelState::Pending.into(),
                    ..LevelStatus::default()
                });
                continue;
            };
            package.levels.push(status.clone());
            package.updated = status.updated.or(package.updated);
            if package.version.is_empty() {
                package.version.clone_from(&status.version);
            }
            match status.state() {
                LevelState::Done => {
                    package.level = v1::Level::from(level).into();
                    package.revision_digest.clone_from(&status.revision_digest);
                    package.state = if level.next().is_none() {
                        LevelState::Done.into()
                    } else {
                        LevelState::Running.into()
                    };
                    package.reason.clear();
                }
                LevelState::Unspecified | LevelState::Pending => {}
                state => {
                    package.state = state.into();
                    package.reason.clone_from(&status.reason);
                }
            }
        }
        package
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.as_str().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(tracking: &str) -> Bytes {
        RunContext {
            tracking_id: tracking.into(),
            ..RunContext::default()
        }
        .encode_to_vec()
        .into()
    }

    fn done(tracking: &str, revision: &str) -> LevelStatus {
        LevelStatus {
            state: LevelState::Done.into(),
            run: run(tracking),
            revision_digest: revision.into(),
            ..LevelStatus::default()
        }
    }

    #[test]
    fn levels_of_an_earlier_run_count_as_pending() {
        let mut entries = Entries {
            submission: Some(SubmissionStatus {
                run: run("second"),
                ..SubmissionStatus::default()
            }),
            ..Entries::default()
        };
        for level in Level::ALL {
            entries.levels.insert(level, done("first", "old"));
        }
        entries
            .levels
            .insert(Level::Integrated, done("second", "new"));
        let package = entries.assemble("demo");
        assert_eq!(package.state(), LevelState::Running);
        assert_eq!(package.level(), v1::Level::Integrated);
        assert_eq!(package.revision_digest, "new");
        assert_eq!(package.levels[1].state(), LevelState::Pending);
    }

    #[test]
    fn a_rejected_level_ends_the_run() {
        let mut entries = Entries::default();
        entries.levels.insert(Level::Integrated, done("r", "one"));
        entries.levels.insert(
            Level::Configured,
            LevelStatus {
                state: LevelState::Rejected.into(),
                reason: "no chart".into(),
                run: run("r"),
                ..LevelStatus::default()
            },
        );
        let package = entries.assemble("demo");
        assert_eq!(package.state(), LevelState::Rejected);
        assert_eq!(package.reason, "no chart");
        assert_eq!(package.level(), v1::Level::Integrated);
    }
}
