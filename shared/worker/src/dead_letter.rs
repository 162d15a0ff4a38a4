//! What becomes of messages nobody could handle.
//!
//! The server says when it gives a message up: all deliveries failed (MAX_DELIVERIES) or a worker refused it for good
//! (MSG_TERMINATED). A stream keeps those words; each service copies its own messages, as they came, to `QUENCH_DEAD`, and
//! tells of those that ended without a rejection.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{AckKind, Message};
use futures::StreamExt;
use prost::Message as _;
use quench_model::Level;
use quench_proto::subject;
use quench_proto::v1::{self, LevelState, LevelStatus, PackageEvent, RejectionCode};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::account::rejection;
use crate::bus::{Bus, BusError};
use crate::event::{self, Event, PACKAGE_EVENT};
use crate::publisher::{PublishError, Publisher};
use crate::status::StatusBoard;
use crate::topology::{ADVISORIES, PACKAGES, Topology, dead_consumer};
use crate::worker::acknowledge;

/// Copies the messages one service gave up.
pub struct DeadLetters {
    bus: Bus,
    publisher: Publisher,
    board: StatusBoard,
    service: String,
    level: Option<Level>,
}

/// The server's word that it gave a message up.
#[derive(Debug, Deserialize)]
struct Advisory {
    #[serde(rename = "type")]
    kind: String,
    stream: String,
    consumer: String,
    stream_seq: u64,
    #[serde(default)]
    deliveries: u64,
}

const PULL: Duration = Duration::from_secs(30);
const BACK_OFF: Duration = Duration::from_secs(1);

impl DeadLetters {
    /// Dead letters of `service`.
    ///
    /// # Errors
    /// When their consumer is missing or not what this version was written for.
    pub async fn bind(
        bus: &Bus,
        publisher: &Publisher,
        board: &StatusBoard,
        topology: &Topology,
        service: &str,
        level: Option<Level>,
    ) -> Result<Self, BusError> {
        let name = dead_consumer(service);
        let consumer = topology
            .consumer(ADVISORIES, &name)
            .ok_or_else(|| BusError::Request {
                request: format!("bind {ADVISORIES}/{name}"),
                reason: "deploy/nats/consumers.toml has no such consumer".to_owned(),
            })?;
        bus.check(consumer).await?;
        Ok(Self {
            bus: bus.clone(),
            publisher: publisher.clone(),
            board: board.clone(),
            service: service.to_owned(),
            level,
        })
    }

    /// Copies until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                result = self.pull() => {
                    if let Err(error) = result {
                        tracing::warn!(%error, "cannot follow what was given up");
                        tokio::time::sleep(BACK_OFF).await;
                    }
                }
            }
        }
    }

    async fn pull(&self) -> Result<(), async_nats::Error> {
        let consumer: PullConsumer = self
            .bus
            .jetstream
            .get_consumer_from_stream(dead_consumer(&self.service), ADVISORIES)
            .await?;
        loop {
            let connects = self.bus.health.connects();
            let mut batch = consumer
                .batch()
                .max_messages(16)
                .expires(PULL)
                .messages()
                .await?;
            loop {
                let next = tokio::select! {
                    next = batch.next() => next,
                    () = self.bus.health.reconnected(connects) => None,
                };
                let Some(message) = next else { break };
                let message = message?;
                match self.bury(&message).await {
                    Ok(()) => acknowledge(&message, AckKind::Ack).await,
                    Err(error) => {
                        tracing::warn!(%error, "a given-up message is not copied yet");
                        acknowledge(&message, AckKind::Nak(Some(Duration::from_secs(5)))).await;
                    }
                }
            }
        }
    }

    async fn bury(&self, message: &Message) -> Result<(), PublishError> {
        let advisory: Advisory = match serde_json::from_slice(&message.payload) {
            Ok(advisory) => advisory,
            Err(error) => {
                tracing::warn!(%error, "an advisory of the server cannot be read");
                return Ok(());
            }
        };
        if advisory.stream != PACKAGES || advisory.consumer != self.service {
            return Ok(());
        }
        let stream = self
            .bus
            .jetstream
            .get_stream_no_info(PACKAGES)
            .await
            .map_err(|error| self.failed(&error))?;
        let original = match stream.direct_get(advisory.stream_seq).await {
            Ok(original) => original,
            Err(error)
                if matches!(
                    error.kind(),
                    async_nats::jetstream::stream::DirectGetErrorKind::NotFound
                ) =>
            {
                tracing::warn!(
                    sequence = advisory.stream_seq,
                    "a given-up message is no longer in the stream"
                );
                return Ok(());
            }
            Err(error) => return Err(self.failed(&error)),
        };
        let exhausted = advisory.kind.contains("max_deliver");
        self.copy(
            &advisory,
            &original.headers,
            original.payload.clone(),
            exhausted,
        )
        .await?;
        if exhausted {
            self.tell(&advisory, &original.headers, &original.payload)
                .await?;
        }
        Ok(())
    }

    /// Copies the message as it came; what is known of its end goes into headers.
    async fn copy(
        &self,
        advisory: &Advisory,
        original: &HeaderMap,
        payload: bytes::Bytes,
        exhausted: bool,
    ) -> Result<(), PublishError> {
        let mut headers = HeaderMap::new();
        for (name, values) in original.iter() {
            // Headers of the server's answer and the id in the old stream are not the message's own.
            if !name.to_string().starts_with("Nats-") {
                for value in values {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        let place = format!("{PACKAGES}/{}/{}", self.service, advisory.stream_seq);
        headers.insert("Nats-Msg-Id", format!("dead/{place}"));
        headers.insert("Quench-Dead-From", place);
        headers.insert(
            "Quench-Dead-Reason",
            if exhausted {
                "every delivery failed"
            } else {
                "refused"
            },
        );
        self.publisher
            .put(subject::dead(&self.service), Some(headers), payload)
            .await
            .map(|_| ())
    }

    /// Ends the run of a message whose deliveries all failed: without this its package would never come to an end.
    async fn tell(
        &self,
        advisory: &Advisory,
        headers: &HeaderMap,
        payload: &bytes::Bytes,
    ) -> Result<(), PublishError> {
        let (Some(level), Ok(body)) = (
            self.level,
            event::body(PACKAGE_EVENT, Some(headers), payload),
        ) else {
            return Ok(());
        };
        let Ok(event) = PackageEvent::decode(body) else {
            return Ok(());
        };
        let run = event::run_context(&event);
        let known = self.board.level(&event.package, level);
        let same_run = |status: &LevelStatus| status.run == event.run;
        // The last delivery may have published and died before its acknowledgement.
        if known
            .as_ref()
            .is_some_and(|s| same_run(s) && s.state() == LevelState::Done)
        {
            return Ok(());
        }
        let last = known
            .filter(same_run)
            .map(|status| status.reason)
            .filter(|reason| !reason.is_empty())
            .unwrap_or_else(|| "the service did not survive the job".to_owned());
        let reason = format!("given up after {} deliveries: {last}", advisory.deliveries);
        let id = headers
            .get("ce-id")
            .map(ToString::to_string)
            .unwrap_or_default();
        let rejected = rejection(
            &event,
            v1::Level::from(level).into(),
            RejectionCode::Exhausted,
            reason.clone(),
            &id,
        );
        let told = Event::package(&rejected);
        let published = self.publisher.publish(&told).await?;
        if self.board.superseded(&event.package, &run) {
            return Ok(());
        }
        self.board
            .write_level(
                level,
                LevelStatus {
                    package: event.package.clone(),
                    version: event.version.clone(),
                    state: LevelState::Dead.into(),
                    run: event.run.clone(),
                    input_digest: rejected.input_digest,
                    reason,
                    delivery: u32::try_from(advisory.deliveries).unwrap_or(u32::MAX),
                    event_sequence: published.sequence,
                    event_id: told.id,
                    ..LevelStatus::default()
                },
            )
            .await
    }

    fn failed(&self, error: &impl std::fmt::Display) -> PublishError {
        PublishError {
            subject: subject::dead(&self.service),
            reason: error.to_string(),
        }
    }
}
