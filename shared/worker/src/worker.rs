//! The loop: pull, keep alive, handle, publish, acknowledge.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt;
use prost::Message as _;
use quench_model::Level;
use quench_proto::subject::Tenant;
use quench_proto::v1::{
    self, LevelState, LevelStatus, PackageEvent, Rejection, RejectionCode, RunContext,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::account::{level_status, rejection};
use crate::bus::{Bus, BusError};
use crate::event::{self, PACKAGE_EVENT};
use crate::job::{Answer, Job, JobError, Meter};
use crate::publisher::Publisher;
use crate::retry;
use crate::status::StatusBoard;
use crate::topology::{PACKAGES, Topology};

/// How a worker works.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Name of the service and of its consumer.
    pub service: String,
    /// Level it brings packages to; `None` for a service that is no level.
    pub level: Option<Level>,
    /// Jobs at once.
    pub concurrency: usize,
    /// Longest a job may take in all.
    pub deadline: Duration,
    /// Longest a job may show no step. Its message is kept alive that long and no longer.
    pub stall: Duration,
    /// Longest running jobs may go on after the worker was asked to stop.
    pub grace: Duration,
}

/// Pulls events and gives them to a handler. One slot per job at once, each pulling one message when it is free: a message
/// is never fetched before it can be worked on, so its `ack_wait` does not run in a buffer.
pub struct Worker<H> {
    shared: Arc<Shared<H>>,
}

struct Shared<H> {
    bus: Bus,
    publisher: Publisher,
    board: StatusBoard,
    settings: WorkerSettings,
    ack_wait: Duration,
    handler: H,
    /// Ends jobs that are still running when the grace is over.
    abandon: CancellationToken,
}

/// Longest a pull waits for a message. A pull that the server forgot (it was restarted) is made again after
/// this at the latest; a new connection makes it again at once.
const PULL: Duration = Duration::from_secs(20);
/// Wait after something about the consumer failed.
const BACK_OFF: Duration = Duration::from_secs(1);
/// How long a cancelled handler may take to come to a safe point.
const WIND_DOWN: Duration = Duration::from_secs(2);

impl<H, F> Worker<H>
where
    H: Fn(Job) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Answer, JobError>> + Send + 'static,
{
    /// A worker bound to the consumer that is called like its service.
    ///
    /// # Errors
    /// When the consumer is missing or not what this version was written for.
    pub async fn bind(
        bus: &Bus,
        publisher: &Publisher,
        board: &StatusBoard,
        topology: &Topology,
        settings: WorkerSettings,
        handler: H,
    ) -> Result<Self, BusError> {
        let consumer = topology
            .consumer(PACKAGES, &settings.service)
            .ok_or_else(|| BusError::Request {
                request: format!("bind {PACKAGES}/{}", settings.service),
                reason: "deploy/nats/consumers.toml has no such consumer".to_owned(),
            })?;
        let ack_wait = bus.check(consumer).await?;
        Ok(Self {
            shared: Arc::new(Shared {
                bus: bus.clone(),
                publisher: publisher.clone(),
                board: board.clone(),
                settings,
                ack_wait,
                handler,
                abandon: CancellationToken::new(),
            }),
        })
    }

    /// Works until `stop`; then stops pulling, lets running jobs finish within the grace, and gives the rest back.
    pub async fn run(self, stop: CancellationToken) {
        let mut slots = JoinSet::new();
        for _ in 0..self.shared.settings.concurrency.max(1) {
            let (shared, stop) = (Arc::clone(&self.shared), stop.clone());
            slots.spawn(async move { shared.slot(stop).await });
        }
        stop.cancelled().await;
        let finish = async { while slots.join_next().await.is_some() {} };
        if tokio::time::timeout(self.shared.settings.grace, finish)
            .await
            .is_err()
        {
            tracing::warn!("jobs are given back unfinished; another worker takes them");
            self.shared.abandon.cancel();
            while slots.join_next().await.is_some() {}
        }
    }
}

/// How a job ended.
enum Ending {
    Answered(Box<Answer>),
    Failed(JobError),
    Abandoned,
}

impl<H, F> Shared<H>
where
    H: Fn(Job) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Answer, JobError>> + Send + 'static,
{
    /// Works on one message after the other until `stop`.
    async fn slot(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let consumer: PullConsumer = match self
                .bus
                .jetstream
                .get_consumer_from_stream(&self.settings.service, PACKAGES)
                .await
            {
                Ok(consumer) => consumer,
                Err(error) => {
                    self.unbound(&stop, error.to_string()).await;
                    continue;
                }
            };
            self.bus.health.bound(None);
            if let Err(error) = self.pull_from(&consumer, &stop).await {
                self.unbound(&stop, error.to_string()).await;
            }
        }
    }

    async fn unbound(&self, stop: &CancellationToken, error: String) {
        let problem = format!("consumer {PACKAGES}/{}: {error}", self.settings.service);
        tracing::warn!("{problem}");
        self.bus.health.bound(Some(problem));
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(BACK_OFF) => {}
        }
    }

    /// Pulls and handles until `stop` or until pulling fails.
    async fn pull_from(
        self: &Arc<Self>,
        consumer: &PullConsumer,
        stop: &CancellationToken,
    ) -> Result<(), async_nats::Error> {
        loop {
            let connects = self.bus.health.connects();
            let mut batch: pull::Batch = consumer
                .batch()
                .max_messages(1)
                .expires(PULL)
                .messages()
                .await?;
            let message = tokio::select! {
                message = batch.next() => message,
                // The server forgets pulls when it restarts.
                () = self.bus.health.reconnected(connects) => continue,
                () = stop.cancelled() => {
                    // A message may be on its way for this pull: give it back instead of letting its ack_wait run.
                    if let Ok(Some(Ok(message))) =
                        tokio::time::timeout(Duration::from_millis(50), batch.next()).await
                    {
                        acknowledge(&message, AckKind::Nak(None)).await;
                    }
                    return Ok(());
                }
            };
            match message {
                Some(Ok(message)) => self.process(message).await,
                Some(Err(error)) => return Err(error),
                None => {}
            }
            if stop.is_cancelled() {
                return Ok(());
            }
        }
    }

    /// Handles one message to its acknowledgement.
    async fn process(self: &Arc<Self>, message: Message) {
        let delivery = message
            .info()
            .ok()
            .and_then(|info| u32::try_from(info.delivered).ok())
            .unwrap_or(1);
        let id = message_id(&message);
        let read = event::body(PACKAGE_EVENT, message.headers.as_ref(), &message.payload)
            .and_then(|body| PackageEvent::decode(body).map_err(|error| error.to_string()));
        let span = tracing::info_span!(
            "job",
            otel.name = format!("{} {}", self.settings.service, message.subject),
            otel.kind = "consumer",
            messaging.system = "nats",
            messaging.destination.name = %message.subject,
            messaging.message.id = %id,
            package = tracing::field::Empty,
            delivery,
        );
        quench_telemetry::trace_context::continue_from(&span, message.headers.as_ref());
        match read {
            Ok(event) => {
                span.record("package", event.package.as_str());
                self.handle(message, event, id, delivery)
                    .instrument(span)
                    .await;
            }
            Err(reason) => {
                let rejection = PackageEvent {
                    level: self.level(),
                    rejection: Some(Rejection {
                        code: RejectionCode::MalformedEvent.into(),
                        reason: format!("the body of message {id} cannot be read: {reason}"),
                        event_id: id.clone(),
                    }),
                    ..PackageEvent::default()
                };
                let answer = Answer {
                    event: Some(rejection),
                    ..Answer::default()
                };
                let run = RunContext::default();
                self.conclude(
                    &message,
                    &PackageEvent::default(),
                    &run,
                    answer,
                    delivery,
                    Instant::now(),
                )
                .instrument(span)
                .await;
            }
        }
    }

    async fn handle(
        self: &Arc<Self>,
        message: Message,
        event: PackageEvent,
        id: String,
        delivery: u32,
    ) {
        let begun = Instant::now();
        let run = event::run_context(&event);
        let job = Job {
            event: event.clone(),
            run: run.clone(),
            event_id: id.clone(),
            delivery,
            cancel: CancellationToken::new(),
            meter: Meter::default(),
        };
        self.tell(&event, &run, delivery, LevelState::Running, "")
            .await;
        match self.attend(&message, job).await {
            Ending::Answered(answer) => {
                self.conclude(&message, &event, &run, *answer, delivery, begun)
                    .await;
            }
            Ending::Failed(JobError::Reject { code, reason }) => {
                let answer = Answer {
                    event: Some(rejection(&event, self.level(), code, reason, &id)),
                    ..Answer::default()
                };
                self.conclude(&message, &event, &run, answer, delivery, begun)
                    .await;
            }
            Ending::Failed(JobError::Retry { after, reason }) => {
                let delay = retry::delay(after, delivery, &id);
                tracing::warn!(%reason, ?delay, "the job failed and is tried again");
                self.tell(&event, &run, delivery, LevelState::Retrying, &reason)
                    .await;
                acknowledge(&message, AckKind::Nak(Some(delay))).await;
            }
            Ending::Abandoned => {
                self.tell(
                    &event,
                    &run,
                    delivery,
                    LevelState::Retrying,
                    "the service is stopping",
                )
                .await;
                acknowledge(&message, AckKind::Nak(None)).await;
            }
        }
    }

    /// Runs the handler and tells the server that the message is worked on, for as long as that is true.
    async fn attend(&self, message: &Message, job: Job) -> Ending {
        let (meter, cancel) = (job.meter.clone(), job.cancel.clone());
        let mut work = tokio::spawn((self.handler)(job).instrument(tracing::Span::current()));
        let begun = Instant::now();
        let mut steps = (meter.steps(), begun);
        let mut beat = tokio::time::interval(self.ack_wait / 3);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        beat.tick().await;
        let why = loop {
            tokio::select! {
                done = &mut work => return match done {
                    Ok(Ok(answer)) => Ending::Answered(Box::new(answer)),
                    Ok(Err(error)) => Ending::Failed(error),
                    Err(error) => Ending::Failed(JobError::Retry {
                        after: Duration::ZERO,
                        reason: format!("the handler did not come to an end: {error}"),
                    }),
                },
                () = self.abandon.cancelled() => break None,
                _ = beat.tick() => {
                    let now = Instant::now();
                    if meter.steps() != steps.0 {
                        steps = (meter.steps(), now);
                    }
                    if now - begun >= self.settings.deadline {
                        break Some(format!("not done within {:?}", self.settings.deadline));
                    }
                    if now - steps.1 >= self.settings.stall {
                        break Some(format!("no step within {:?}", self.settings.stall));
                    }
                    // One that is lost is made up for by the next: three fit into ack_wait.
                    if let Err(error) = message.ack_with(AckKind::Progress).await {
                        tracing::warn!(%error, "cannot tell the server of progress");
                    }
                }
            }
        };
        cancel.cancel();
        if tokio::time::timeout(WIND_DOWN, &mut work).await.is_err() {
            work.abort();
        }
        match why {
            None => Ending::Abandoned,
            Some(reason) => Ending::Failed(JobError::Retry {
                after: Duration::ZERO,
                reason,
            }),
        }
    }

    /// Publishes the answer, and only when the streams have all of it acknowledges the message.
    async fn conclude(
        &self,
        message: &Message,
        event: &PackageEvent,
        run: &RunContext,
        answer: Answer,
        delivery: u32,
        begun: Instant,
    ) {
        match self.publish(message, run, &answer).await {
            Ok(told) => {
                let rejected = answer
                    .event
                    .as_ref()
                    .and_then(|event| event.rejection.as_ref());
                self.record(event, run, &answer, told, delivery, begun)
                    .await;
                let kind = if rejected.is_some() {
                    AckKind::Term
                } else {
                    AckKind::Ack
                };
                if let Some(rejection) = rejected {
                    tracing::warn!(reason = %rejection.reason, "rejected");
                }
                acknowledge(message, kind).await;
            }
            Err(error) => {
                let delay = retry::delay(Duration::ZERO, delivery, &message_id(message));
                tracing::warn!(%error, ?delay, "the answer is not known to be published");
                acknowledge(message, AckKind::Nak(Some(delay))).await;
            }
        }
    }

    /// Publishes findings, then the event that says the level is done. Keeps the message alive meanwhile.
    async fn publish(
        &self,
        message: &Message,
        run: &RunContext,
        answer: &Answer,
    ) -> Result<Option<(u64, String)>, crate::PublishError> {
        let publish = async {
            let tenant: Tenant = run.tenant.parse().unwrap_or_default();
            self.publisher
                .publish_findings(&tenant, &answer.findings)
                .await?;
            match answer.told() {
                Some(event) => {
                    let published = self.publisher.publish(&event).await?;
                    Ok(Some((published.sequence, event.id)))
                }
                None => Ok(None),
            }
        };
        tokio::pin!(publish);
        let mut beat = tokio::time::interval(self.ack_wait / 3);
        loop {
            tokio::select! {
                biased;
                done = &mut publish => return done,
                _ = beat.tick() => {
                    if let Err(error) = message.ack_with(AckKind::Progress).await {
                        tracing::warn!(%error, "cannot tell the server of progress");
                    }
                }
            }
        }
    }

    async fn record(
        &self,
        event: &PackageEvent,
        run: &RunContext,
        answer: &Answer,
        told: Option<(u64, String)>,
        delivery: u32,
        begun: Instant,
    ) {
        let Some(level) = self.settings.level else {
            return;
        };
        let Some(result) = &answer.event else { return };
        let (event_sequence, event_id) = told.unwrap_or_default();
        let mut status = level_status(event, delivery);
        status.version.clone_from(&result.version);
        status.event_sequence = event_sequence;
        status.event_id = event_id;
        status.duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        status.findings.clone_from(&answer.open);
        match &result.rejection {
            None => {
                status.state = LevelState::Done.into();
                status.revision_digest.clone_from(&result.revision_digest);
            }
            Some(rejection) => {
                status.state = LevelState::Rejected.into();
                status.reason.clone_from(&rejection.reason);
            }
        }
        self.write(level, run, status).await;
    }

    async fn tell(
        &self,
        event: &PackageEvent,
        run: &RunContext,
        delivery: u32,
        state: LevelState,
        reason: &str,
    ) {
        let Some(level) = self.settings.level else {
            return;
        };
        let mut status = level_status(event, delivery);
        status.state = state.into();
        status.reason = reason.to_owned();
        self.write(level, run, status).await;
    }

    /// Status is for people and for the reconciler, which sets it right: that it could not be written fails no job.
    async fn write(&self, level: Level, run: &RunContext, status: LevelStatus) {
        if self.board.superseded(&status.package, run) {
            return;
        }
        if let Err(error) = self.board.write_level(level, status).await {
            tracing::warn!(%error, "cannot tell the state of the package");
        }
    }

    fn level(&self) -> i32 {
        self.settings
            .level
            .map_or(v1::Level::Unspecified, v1::Level::from)
            .into()
    }
}

/// The message's id, or its place in the stream where it came without one.
pub(crate) fn message_id(message: &Message) -> String {
    message
        .headers
        .as_ref()
        .and_then(|headers| headers.get("ce-id").or_else(|| headers.get("Nats-Msg-Id")))
        .map(ToString::to_string)
        .or_else(|| {
            let info = message.info().ok()?;
            Some(format!("{}/{}", info.stream, info.stream_sequence))
        })
        .unwrap_or_default()
}

/// Acknowledges and waits for the server's word. Without it the message comes again, which is harmless.
pub(crate) async fn acknowledge(message: &Message, kind: AckKind) {
    if let Err(error) = message.double_ack_with(kind).await {
        tracing::warn!(%error, ?kind, "the server did not confirm; the message may come again");
    }
}
