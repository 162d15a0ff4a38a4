//! Events as they travel: CloudEvents 1.0 in the binary mode of its NATS binding.
//!
//! The message id (`ce-id` and `Nats-Msg-Id`) is a function of what the event says, never of when or by whom it is said:
//! whoever says it again says nothing new, and the stream drops it.

use async_nats::HeaderMap;
use bytes::Bytes;
use prost::Message;
use quench_model::{FindingKind, FindingState, Hasher, Level, Severity};
use quench_proto::subject::{self, Tenant};
use quench_proto::v1::{FindingEvent, FindingSummaryEvent, PackageEvent, RunContext};
use quench_proto::{json, v1};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::Span;

/// How event bodies are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BodyFormat {
    /// Protobuf.
    #[default]
    Protobuf,
    /// JSON, in protobuf's JSON mapping.
    Json,
}

const PROTOBUF: &str = "application/protobuf";
const JSON: &str = "application/json";

/// An event that is ready to be published.
#[derive(Debug, Clone)]
pub struct Event {
    /// Subject it travels on.
    pub subject: String,
    /// Message id.
    pub id: String,
    /// `ce-type`.
    pub kind: String,
    /// `ce-subject`: the package.
    pub about: String,
    /// Full name of the body's message type.
    pub schema: &'static str,
    /// The body, as protobuf.
    pub body: Bytes,
}

/// Full name of the body of package events.
pub const PACKAGE_EVENT: &str = "quench.v1.PackageEvent";
const FINDING_EVENT: &str = "quench.v1.FindingEvent";
const FINDING_SUMMARY_EVENT: &str = "quench.v1.FindingSummaryEvent";

impl Event {
    /// What happened to a package. The subject follows from the event: rejected when there is a rejection, submitted
    /// when there is no level.
    pub fn package(event: &PackageEvent) -> Self {
        let level = event.level().model();
        let (subject, kind) = match (&event.rejection, level) {
            (Some(_), _) => (subject::REJECTED, "rejected"),
            (None, None) => (subject::SUBMITTED, "submitted"),
            (None, Some(level)) => (subject::package(level), level.name()),
        };
        let attempt = run_context(event).attempt;
        let mut id = Hasher::new();
        id.field(subject.as_bytes());
        id.field(event.package.as_bytes());
        id.field(&attempt.to_be_bytes());
        match &event.rejection {
            Some(rejection) if event.package.is_empty() => id.field(rejection.event_id.as_bytes()),
            Some(_) => {
                id.field(level.map_or("", Level::name).as_bytes());
                id.field(event.input_digest.as_bytes());
            }
            None if level.is_none() => id.field(event.input_digest.as_bytes()),
            None => id.field(event.revision_digest.as_bytes()),
        }
        Self {
            subject: subject.to_owned(),
            id: id.finish().hex(),
            kind: format!("quench.package.{kind}.v1"),
            about: event.package.clone(),
            schema: PACKAGE_EVENT,
            body: event.encode_to_vec().into(),
        }
    }

    /// How a finding changed. `None` when the event lacks kind, state or severity.
    pub fn finding(tenant: &Tenant, event: &FindingEvent) -> Option<Self> {
        let kind = finding_kind(event.kind())?;
        let state = finding_state(event.state())?;
        let severity = severity(event.severity())?;
        let mut id = Hasher::new();
        id.field(event.finding_id.as_bytes());
        for affected in &event.affected {
            id.field(affected.package.as_bytes());
            id.field(affected.revision_digest.as_bytes());
        }
        // One revision can see a finding opened under one epoch and resolved under the next.
        id.field(state.name().as_bytes());
        id.field(severity.name().as_bytes());
        let cause = event.cause.as_ref();
        id.field(cause.map_or("", |cause| cause.epoch.as_str()).as_bytes());
        Some(Self {
            subject: subject::finding(tenant, kind, state, severity),
            id: id.finish().hex(),
            kind: format!("quench.finding.{}.v1", state.name()),
            about: event
                .affected
                .first()
                .map(|affected| affected.package.clone())
                .unwrap_or_default(),
            schema: FINDING_EVENT,
            body: event.encode_to_vec().into(),
        })
    }

    /// What one advisory changed in many packages. `None` when the event lacks kind or severity.
    pub fn finding_summary(tenant: &Tenant, event: &FindingSummaryEvent) -> Option<Self> {
        let kind = finding_kind(event.kind())?;
        let severity = severity(event.severity())?;
        let body: Bytes = event.encode_to_vec().into();
        let mut id = Hasher::new();
        id.field(b"summary");
        id.field(&body);
        Some(Self {
            subject: subject::finding_summary(tenant, kind, severity),
            id: id.finish().hex(),
            kind: "quench.finding.summary.v1".to_owned(),
            about: event.canonical_id.clone(),
            schema: FINDING_SUMMARY_EVENT,
            body,
        })
    }

    /// The headers and body of the message, as part of the trace of the current span.
    pub(crate) fn message(&self, source: &str, format: BodyFormat) -> (HeaderMap, Bytes) {
        let (content_type, body) = match format {
            BodyFormat::Protobuf => (PROTOBUF, self.body.clone()),
            BodyFormat::Json => match json::from_encoded(self.schema, &self.body) {
                Ok(text) => (JSON, text.into()),
                // The body was encoded from the very type that is named, so this does not happen.
                Err(_) => (PROTOBUF, self.body.clone()),
            },
        };
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", self.id.as_str());
        headers.insert("ce-specversion", "1.0");
        headers.insert("ce-id", self.id.as_str());
        headers.insert("ce-type", self.kind.as_str());
        headers.insert("ce-source", source);
        if !self.about.is_empty() {
            headers.insert("ce-subject", self.about.as_str());
        }
        if let Ok(now) = OffsetDateTime::now_utc().format(&Rfc3339) {
            headers.insert("ce-time", now);
        }
        headers.insert("ce-dataschema", format!("urn:quench:proto:{}", self.schema));
        headers.insert("content-type", content_type);
        quench_telemetry::trace_context::inject(&Span::current(), &mut headers);
        (headers, body)
    }
}

/// Reads the body of a message as the protobuf encoding of `schema`. Bytes that are protobuf already come back untouched, so
/// that nothing unknown to this version is lost.
pub(crate) fn body(
    schema: &str,
    headers: Option<&HeaderMap>,
    payload: &Bytes,
) -> Result<Bytes, String> {
    let content_type = headers
        .and_then(|headers| headers.get("content-type"))
        .map_or(PROTOBUF, async_nats::HeaderValue::as_str);
    match content_type {
        PROTOBUF => Ok(payload.clone()),
        JSON => json::to_encoded(schema, payload)
            .map(Bytes::from)
            .map_err(|error| error.to_string()),
        other => Err(format!("content-type {other:?} is not known")),
    }
}

/// What the events of a run have in common. A context that cannot be read counts as empty.
pub fn run_context(event: &PackageEvent) -> RunContext {
    RunContext::decode(event.run.clone()).unwrap_or_default()
}

fn finding_kind(kind: v1::FindingKind) -> Option<FindingKind> {
    FindingKind::ALL
        .into_iter()
        .find(|model| v1::FindingKind::from(*model) == kind)
}

fn finding_state(state: v1::FindingState) -> Option<FindingState> {
    [
        FindingState::Opened,
        FindingState::Updated,
        FindingState::Resolved,
        FindingState::Suppressed,
        FindingState::Reopened,
    ]
    .into_iter()
    .find(|model| v1::FindingState::from(*model) == state)
}

fn severity(severity: v1::Severity) -> Option<Severity> {
    Severity::ALL
        .into_iter()
        .find(|model| v1::Severity::from(*model) == severity)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn integrated(revision: &str, attempt: u64) -> PackageEvent {
        PackageEvent {
            package: "demo".into(),
            level: v1::Level::Integrated.into(),
            revision_digest: revision.into(),
            run: RunContext {
                attempt,
                ..RunContext::default()
            }
            .encode_to_vec()
            .into(),
            ..PackageEvent::default()
        }
    }

    #[test]
    fn saying_the_same_again_has_the_same_id() {
        let first = Event::package(&integrated("a", 0));
        assert_eq!(first.subject, "quench.v1.package.integrated");
        assert_eq!(first.id, Event::package(&integrated("a", 0)).id);
        assert_ne!(first.id, Event::package(&integrated("b", 0)).id);
        assert_ne!(first.id, Event::package(&integrated("a", 4)).id);
    }

    #[test]
    fn a_finding_may_change_twice_in_one_revision() {
        let tenant = Tenant::default();
        let mut finding = FindingEvent {
            finding_id: "f".into(),
            kind: v1::FindingKind::EndOfLife.into(),
            state: v1::FindingState::Opened.into(),
            severity: v1::Severity::High.into(),
            ..FindingEvent::default()
        };
        let opened = Event::finding(&tenant, &finding).unwrap();
        assert_eq!(
            opened.subject,
            "quench.v1.finding.default.end-of-life.opened.high"
        );
        finding.state = v1::FindingState::Resolved.into();
        assert_ne!(opened.id, Event::finding(&tenant, &finding).unwrap().id);
        finding.state = v1::FindingState::Unspecified.into();
        assert!(Event::finding(&tenant, &finding).is_none());
    }

    #[test]
    fn bodies_travel_as_protobuf_or_json() {
        let event = Event::package(&integrated("a", 3));
        for format in [BodyFormat::Protobuf, BodyFormat::Json] {
            let (headers, payload) = event.message("/quench/ingestor", format);
            assert_eq!(headers.get("ce-id"), headers.get("Nats-Msg-Id"));
            let bytes = body(PACKAGE_EVENT, Some(&headers), &payload).unwrap();
            assert_eq!(bytes, event.body);
        }
        let mut headers = HeaderMap::new();
        headers.insert("content-type", "text/xml");
        assert!(body(PACKAGE_EVENT, Some(&headers), &event.body).is_err());
    }
}
