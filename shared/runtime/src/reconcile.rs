//! Mending a bus that lost something.
//!
//! Every record of an [`Outbox`] says what must have been told. What the status bucket does not know of, or what is no
//! longer in the stream at the place the bucket remembers, is told again; its message id keeps it one where
//! the stream has it after all.

use std::time::Duration;

use quench_model::Level;
use quench_proto::subject::Tenant;
use quench_proto::v1::{LevelState, LevelStatus, PackageEvent, SubmissionStatus};
use quench_worker::topology::PACKAGES;
use quench_worker::{Bus, Event, PublishError, Publisher, StatusBoard, run_context};
use tokio_util::sync::CancellationToken;

use crate::outbox::{Outbox, OutboxError, Told};

/// Compares one outbox with the bus.
pub struct Reconciler {
    bus: Bus,
    publisher: Publisher,
    board: StatusBoard,
    outbox: Outbox,
    level: Option<Level>,
}

/// What one comparison found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// Records looked at.
    pub records: u64,
    /// Events told again.
    pub told_again: u64,
}

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    /// The outbox cannot be read.
    #[error(transparent)]
    Outbox(#[from] OutboxError),
    /// Something could not be published.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The stream cannot be asked.
    #[error("cannot look into {PACKAGES}: {0}")]
    Stream(String),
}

/// What the bucket remembers of an event.
enum Remembered {
    /// Nothing: it must be told.
    Nothing,
    /// It is in the stream at this sequence.
    At(u64),
    /// Another run is under way, or this one is being worked on: leave it.
    Busy,
}

impl Reconciler {
    /// For the events of `level`; of submissions when there is none.
    pub fn new(
        bus: &Bus,
        publisher: &Publisher,
        board: &StatusBoard,
        outbox: &Outbox,
        level: Option<Level>,
    ) -> Self {
        Self {
            bus: bus.clone(),
            publisher: publisher.clone(),
            board: board.clone(),
            outbox: outbox.clone(),
            level,
        }
    }

    /// Compares once the status is known, and then every `every`, until `stop`.
    pub async fn run(self, every: Duration, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = self.board.ready() => {}
        }
        let mut tick = tokio::time::interval(every);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                result = self.once() => match result {
                    Ok(found) if found.told_again > 0 => {
                        tracing::warn!(?found, "the bus had lost events; they are told again");
                    }
                    Ok(found) => tracing::debug!(?found, "store and bus agree"),
                    Err(error) => tracing::warn!(%error, "store and bus cannot be compared"),
                },
            }
        }
    }

    /// Compares once.
    ///
    /// # Errors
    /// When store or bus cannot be asked.
    pub async fn once(&self) -> Result<Found, ReconcileError> {
        let mut found = Found::default();
        for name in self.outbox.records().await? {
            let Some(told) = self.outbox.record(&name).await? else {
                continue;
            };
            found.records += 1;
            let event = Event::package(&told.event);
            let lost = match self.remembered(&told.event, &event.id) {
                Remembered::Busy => false,
                Remembered::Nothing => true,
                Remembered::At(sequence) => !self.is_there(sequence, &event.id).await?,
            };
            if lost {
                self.tell_again(&told, &event).await?;
                found.told_again += 1;
            }
        }
        Ok(found)
    }

    fn remembered(&self, event: &PackageEvent, id: &str) -> Remembered {
        let package = &event.package;
        let Some(level) = self.level else {
            return match self.board.submission(package) {
                None => Remembered::Nothing,
                // 0: accepted, and then perhaps nothing more.
                Some(status) if status.event_id == id && status.event_sequence == 0 => {
                    Remembered::Nothing
                }
                Some(status) if status.event_id == id => Remembered::At(status.event_sequence),
                Some(_) => Remembered::Busy,
            };
        };
        if self.board.superseded(package, &run_context(event)) {
            return Remembered::Busy;
        }
        match self.board.level(package, level) {
            None => Remembered::Nothing,
            Some(status) if status.run != event.run => Remembered::Busy,
            Some(status) if status.event_id == id => Remembered::At(status.event_sequence),
            Some(status) => match status.state() {
                // The message is not acknowledged: it comes again and is answered from the outbox.
                LevelState::Running | LevelState::Retrying => Remembered::Busy,
                _ => Remembered::Nothing,
            },
        }
    }

    /// Whether the stream has the event at `sequence`. What is older than the stream's first message was there.
    async fn is_there(&self, sequence: u64, id: &str) -> Result<bool, ReconcileError> {
        let failed = |error: String| ReconcileError::Stream(error);
        let stream = self
            .bus
            .jetstream
            .get_stream(PACKAGES)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let state = &stream.cached_info().state;
        if sequence < state.first_sequence {
            return Ok(true);
        }
        if sequence > state.last_sequence {
            return Ok(false);
        }
        match stream.direct_get(sequence).await {
            Ok(message) => Ok(message
                .headers
                .get("Nats-Msg-Id")
                .is_some_and(|found| found.as_str() == id)),
            Err(error)
                if matches!(
                    error.kind(),
                    async_nats::jetstream::stream::DirectGetErrorKind::NotFound
                ) =>
            {
                Ok(false)
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }

    async fn tell_again(&self, told: &Told, event: &Event) -> Result<(), ReconcileError> {
        let run = run_context(&told.event);
        let tenant: Tenant = run.tenant.parse().unwrap_or_default();
        self.publisher
            .publish_findings(&tenant, &told.findings)
            .await?;
        let published = self.publisher.publish(event).await?;
        let Some(level) = self.level else {
            self.board
                .write_submission(SubmissionStatus {
                    package: told.event.package.clone(),
                    version: told.event.version.clone(),
                    run: told.event.run.clone(),
                    event_sequence: published.sequence,
                    event_id: event.id.clone(),
                    updated: None,
                })
                .await?;
            return Ok(());
        };
        let rejection = told.event.rejection.as_ref();
        let known = self
            .board
            .level(&told.event.package, level)
            .unwrap_or_default();
        self.board
            .write_level(
                level,
                LevelStatus {
                    package: told.event.package.clone(),
                    version: told.event.version.clone(),
                    state: rejection
                        .map_or(LevelState::Done, |_| LevelState::Rejected)
                        .into(),
                    run: told.event.run.clone(),
                    input_digest: told.event.input_digest.clone(),
                    revision_digest: told.event.revision_digest.clone(),
                    reason: rejection
                        .map(|rejection| rejection.reason.clone())
                        .unwrap_or_default(),
                    event_sequence: published.sequence,
                    event_id: event.id.clone(),
                    ..known
                },
            )
            .await?;
        Ok(())
    }
}
