//! Publishing events and waiting until the stream has them.

use async_nats::jetstream;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use quench_proto::subject::Tenant;
use quench_proto::v1::FindingEvent;

use crate::bus::Bus;
use crate::event::{BodyFormat, Event};

/// Publishes events as one service. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    jetstream: jetstream::Context,
    source: String,
    format: BodyFormat,
}

/// Why an event is not known to be in its stream. It may be there all the same: publish it again, its id keeps it one.
#[derive(Debug, thiserror::Error)]
#[error("cannot publish on {subject}: {reason}")]
pub struct PublishError {
    /// Subject of the event.
    pub subject: String,
    /// What went wrong.
    pub reason: String,
}

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// Sequence in its stream.
    pub sequence: u64,
    /// Whether the stream had it already.
    pub duplicate: bool,
}

/// Findings that are on their way at once. Each awaits the stream's word, so this bounds what is not yet acknowledged.
const IN_FLIGHT: usize = 256;

impl Publisher {
    /// Publishes as `service`.
    pub fn new(bus: &Bus, service: &str, format: BodyFormat) -> Self {
        Self {
            jetstream: bus.jetstream.clone(),
            source: format!("/quench/{service}"),
            format,
        }
    }

    /// Publishes an event and waits until its stream has it.
    ///
    /// # Errors
    /// When the stream does not say so in time.
    pub async fn publish(&self, event: &Event) -> Result<Published, PublishError> {
        let (headers, body) = event.message(&self.source, self.format);
        self.put(event.subject.clone(), Some(headers), body).await
    }

    /// Publishes findings, several at once, and waits until their stream has all of them.
    ///
    /// # Errors
    /// The first that failed.
    pub async fn publish_findings(
        &self,
        tenant: &Tenant,
        findings: &[FindingEvent],
    ) -> Result<(), PublishError> {
        let events: Vec<_> = findings
            .iter()
            .filter_map(|finding| Event::finding(tenant, finding))
            .collect();
        let publisher = self.clone();
        stream::iter(events)
            .map(move |event| {
                let publisher = publisher.clone();
                async move { publisher.publish(&event).await.map(|_| ()) }
            })
            .buffer_unordered(IN_FLIGHT)
            .try_collect::<()>()
            .await
    }

    /// Publishes bytes as they are.
    pub(crate) async fn put(
        &self,
        subject: String,
        headers: Option<async_nats::HeaderMap>,
        body: Bytes,
    ) -> Result<Published, PublishError> {
        let failed = |reason: String| PublishError {
            subject: subject.clone(),
            reason,
        };
        let sent = match headers {
            Some(headers) => {
                self.jetstream
                    .publish_with_headers(subject.clone(), headers, body)
                    .await
            }
            None => self.jetstream.publish(subject.clone(), body).await,
        };
        let ack = sent
            .map_err(|error| failed(error.to_string()))?
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(Published {
            sequence: ack.sequence,
            duplicate: ack.duplicate,
        })
    }
}
