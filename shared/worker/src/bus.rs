//! The connection to the bus, and whether it is well.

use std::path::PathBuf;
use std::time::Duration;

use async_nats::jetstream::{self, context::ContextBuilder};
use async_nats::{Client, ConnectOptions, Event, ServerError};
use bytes::Bytes;
use semver::Version;
use serde_json::Value;
use tokio::sync::watch;

use crate::topology::{Consumer, inbox};

/// How to reach the bus.
#[derive(Debug, Clone)]
pub struct BusSettings {
    /// URL, such as `tls://nats:4222`.
    pub url: String,
    /// Name of the user, which is also the name of the connection and of its inbox.
    pub user: String,
    /// Seed of the user's key (`SU…`); none where the server asks for no credentials.
    pub seed: Option<String>,
    /// File with the certificate authority (PEM) the server's certificate is checked against.
    pub ca: Option<PathBuf>,
    /// Files with this client's certificate and key (PEM), for mutual TLS.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How long to keep trying to connect at start.
    pub connect_within: Duration,
}

/// Why the bus cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// No connection.
    #[error("cannot connect to nats at {url}: {reason}")]
    Connect {
        /// Where.
        url: String,
        /// What went wrong.
        reason: String,
    },
    /// The server is too old to be trusted with work.
    #[error(
        "nats-server at {url} is {found}; {needed} or later is needed: earlier versions drop configuration silently and lose acknowledgements"
    )]
    TooOld {
        /// Where.
        url: String,
        /// Version of the server.
        found: String,
        /// Least version.
        needed: Version,
    },
    /// A request to JetStream failed.
    #[error("jetstream: {request}: {reason}")]
    Request {
        /// Which request.
        request: String,
        /// What the server or client said.
        reason: String,
    },
    /// A stream or consumer is not as described.
    #[error(
        "{what} has {field} {found}, {wanted} was asked for; run `quench-admin provision` with this version"
    )]
    Differs {
        /// Which stream or consumer.
        what: String,
        /// Which field.
        field: String,
        /// What the server says.
        found: Box<Value>,
        /// What was asked for.
        wanted: Box<Value>,
    },
}

/// Least version of nats-server. 2.9 drops fields of a configuration it does not know, loses acknowledgements
/// when killed, and does not answer what a bucket needs; 2.12 does none of that.
pub const LEAST_VERSION: Version = Version::new(2, 12, 0);

/// Longest a single request to JetStream may take.
const REQUEST: Duration = Duration::from_secs(5);

/// A connection to the bus. Cheap to clone.
#[derive(Clone)]
pub struct Bus {
    /// The plain connection.
    pub client: Client,
    /// JetStream over it.
    pub jetstream: jetstream::Context,
    /// Whether it is well.
    pub health: Health,
}

impl Bus {
    /// Connects and checks the server's version.
    ///
    /// # Errors
    /// When no connection comes about in time, or the server is too old.
    pub async fn connect(settings: &BusSettings) -> Result<Self, BusError> {
        let failed = |reason: String| BusError::Connect {
            url: settings.url.clone(),
            reason,
        };
        let health = Health::new();
        let until = tokio::time::Instant::now() + settings.connect_within;
        let client = loop {
            match options(settings, &health).connect(&settings.url).await {
                Ok(client) => break client,
                Err(error) if tokio::time::Instant::now() >= until => {
                    return Err(failed(error.to_string()));
                }
                Err(error) => {
                    tracing::warn!(%error, url = %settings.url, "nats is not there yet");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        };
        let version = client.server_info().version;
        if !new_enough(&version) {
            return Err(BusError::TooOld {
                url: settings.url.clone(),
                found: version,
                needed: LEAST_VERSION,
            });
        }
        let jetstream = ContextBuilder::new()
            .timeout(REQUEST)
            .ack_timeout(REQUEST)
            .build(client.clone());
        Ok(Self {
            client,
            jetstream,
            health,
        })
    }

    /// Asks JetStream something and gives its answer as it came.
    ///
    /// # Errors
    /// When no answer comes or the answer is an error.
    pub async fn ask(&self, request: &str, payload: &Value) -> Result<Value, BusError> {
        let failed = |reason: String| BusError::Request {
            request: request.to_owned(),
            reason,
        };
        // Requests without parameters have no body: a JSON `null` is refused.
        let body = if payload.is_null() {
            Bytes::new()
        } else {
            payload.to_string().into()
        };
        let message = self
            .client
            .request(format!("$JS.API.{request}"), body)
            .await
            .map_err(|error| failed(error.to_string()))?;
        let answer: Value = serde_json::from_slice(&message.payload)
            .map_err(|error| failed(format!("the answer cannot be read: {error}")))?;
        match answer.get("error") {
            None => Ok(answer),
            Some(error) => Err(failed(
                error
                    .get("description")
                    .and_then(Value::as_str)
                    .unwrap_or("unknown error")
                    .to_owned(),
            )),
        }
    }

    /// Checks that a provisioned consumer is what this version was written for, and gives the `ack_wait` it has.
    ///
    /// # Errors
    /// When it is missing or differs in more than its limits.
    pub async fn check(&self, consumer: &Consumer) -> Result<Duration, BusError> {
        let request = format!("CONSUMER.INFO.{}.{}", consumer.stream, consumer.name);
        let answer = self.ask(&request, &Value::Null).await?;
        let found = answer.get("config").cloned().unwrap_or_default();
        for (field, wanted) in &consumer.config {
            // What an installation may tune without changing what the consumer means.
            if matches!(
                field.as_str(),
                "ack_wait" | "max_deliver" | "max_ack_pending" | "max_waiting" | "description"
            ) {
                continue;
            }
            same(&request, field, wanted, &found)?;
        }
        if found.get("backoff").is_some() {
            return Err(BusError::Differs {
                what: request,
                field: "backoff".to_owned(),
                found: Box::new(found.get("backoff").cloned().unwrap_or_default()),
                wanted: Box::new(Value::Null),
            });
        }
        Ok(Duration::from_nanos(
            found
                .get("ack_wait")
                .and_then(Value::as_u64)
                .unwrap_or(30_000_000_000),
        ))
    }

    /// Sends what is still to be sent, and waits until the connection is closed.
    pub async fn close(&self) {
        if self.client.drain().await.is_err() {
            return;
        }
        let mut health = self.health.0.subscribe();
        let closed = health.wait_for(|state| state.closed);
        if tokio::time::timeout(REQUEST, closed).await.is_err() {
            tracing::warn!("the connection to nats did not close in time");
        }
    }
}

/// Compares one field of a configuration with what the server echoes.
pub(crate) fn same(what: &str, field: &str, wanted: &Value, found: &Value) -> Result<(), BusError> {
    let echoed = found.get(field).unwrap_or(&Value::Null);
    let absent_means = matches!((wanted, echoed), (Value::Bool(false), Value::Null))
        || (echoed.is_null() && wanted.as_i64() == Some(0));
    if echoed == wanted || absent_means {
        Ok(())
    } else {
        Err(BusError::Differs {
            what: what.to_owned(),
            field: field.to_owned(),
            found: Box::new(echoed.clone()),
            wanted: Box::new(wanted.clone()),
        })
    }
}

fn new_enough(version: &str) -> bool {
    // A pre-release of a later version is fine, one of the least version is too: compare the numbers alone.
    Version::parse(version)
        .is_ok_and(|found| Version::new(found.major, found.minor, found.patch) >= LEAST_VERSION)
}

fn options(settings: &BusSettings, health: &Health) -> ConnectOptions {
    let health = health.clone();
    let mut options = ConnectOptions::new()
        .name(format!("quench-{}", settings.user))
        .custom_inbox_prefix(inbox(&settings.user))
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(REQUEST))
        .event_callback(move |event| {
            let health = health.clone();
            async move { health.heard(&event) }
        });
    if let Some(seed) = &settings.seed {
        options = options.nkey(seed.clone());
    }
    if let Some(ca) = &settings.ca {
        options = options.add_root_certificates(ca.clone()).require_tls(true);
    }
    if let Some((certificate, key)) = &settings.certificate {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    options
}

/// Whether the bus is well. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Health(watch::Sender<HealthState>);

/// What is known of the connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HealthState {
    /// Whether there is a connection.
    pub connected: bool,
    /// Whether it was closed for good.
    pub closed: bool,
    /// Times it was made: changes whenever it had to be made again.
    pub connects: u64,
    /// What the server does not let this user do.
    pub denied: Option<String>,
    /// Why no work can be pulled.
    pub unbound: Option<String>,
}

impl Health {
    fn new() -> Self {
        Self(watch::Sender::new(HealthState::default()))
    }

    /// Follows the state.
    pub fn watch(&self) -> watch::Receiver<HealthState> {
        self.0.subscribe()
    }

    /// Times the connection was made.
    pub(crate) fn connects(&self) -> u64 {
        self.0.borrow().connects
    }

    /// Waits until the connection was made again, or closed, since it had been made `connects` times.
    pub(crate) async fn reconnected(&self, connects: u64) {
        let mut state = self.0.subscribe();
        // The sender lives as long as `self`.
        let _ = state
            .wait_for(|state| state.connects != connects || state.closed)
            .await
            .map(drop);
    }

    /// What keeps the service from working, if something does.
    pub fn problem(&self) -> Option<String> {
        let state = self.0.borrow();
        if !state.connected {
            return Some("no connection to nats".to_owned());
        }
        state.denied.clone().or_else(|| state.unbound.clone())
    }

    /// Records that work can, or cannot, be pulled.
    pub fn bound(&self, problem: Option<String>) {
        self.0.send_if_modified(|state| {
            let changed = state.unbound != problem;
            state.unbound = problem;
            changed
        });
    }

    fn heard(&self, event: &Event) {
        match event {
            Event::Connected => tracing::info!("connected to nats"),
            Event::Disconnected => tracing::warn!("lost the connection to nats"),
            Event::ServerError(error) => tracing::error!(%error, "nats"),
            event => tracing::debug!(%event, "nats"),
        }
        self.0.send_modify(|state| match event {
            Event::Connected => {
                state.connected = true;
                state.connects += 1;
                state.denied = None;
            }
            Event::Disconnected => state.connected = false,
            Event::Closed => {
                state.connected = false;
                state.closed = true;
            }
            // A denied publish or subscription is told here alone: its caller sees a timeout.
            Event::ServerError(ServerError::Other(text))
                if text.to_ascii_lowercase().contains("permissions violation") =>
            {
                state.denied = Some(text.clone());
            }
            _ => {}
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_12_are_refused() {
        for old in ["2.9.25", "2.11.9", "1.4.0", "", "nonsense"] {
            assert!(!new_enough(old), "{old}");
        }
        for new in ["2.12.0", "2.15.1", "2.12.0-RC.1", "3.0.0"] {
            assert!(new_enough(new), "{new}");
        }
    }

    #[test]
    fn a_permission_violation_makes_unready() {
        let health = Health::new();
        health.heard(&Event::Connected);
        assert_eq!(health.problem(), None);
        let text = "Permissions Violation for Publish to \"quench.v1.package.secured\"";
        health.heard(&Event::ServerError(ServerError::Other(text.into())));
        assert_eq!(health.problem().as_deref(), Some(text));
    }
}
