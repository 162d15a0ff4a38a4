//! W3C trace context (`traceparent`, `tracestate`) over NATS headers and gRPC metadata.

use async_nats::HeaderMap;
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::{Context, global};
use tonic::metadata::{MetadataKey, MetadataMap};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Writes the context of `span` into the headers of a message.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    let context = span.context();
    global::get_text_map_propagator(|p| p.inject_context(&context, &mut NatsHeaders(headers)));
}

/// Makes `span` part of the trace the message came with. Call it before the span is entered.
pub fn continue_from(span: &Span, headers: Option<&HeaderMap>) {
    let Some(headers) = headers else { return };
    let context = global::get_text_map_propagator(|p| p.extract(&NatsHeadersRead(headers)));
    adopt(span, context);
}

/// Writes the context of `span` into the metadata of a gRPC request.
pub fn inject_metadata(span: &Span, metadata: &mut MetadataMap) {
    let context = span.context();
    global::get_text_map_propagator(|p| p.inject_context(&context, &mut Metadata(metadata)));
}

/// Makes `span` part of the trace an HTTP (gRPC) request came with. Call it before the span is entered.
pub fn continue_from_http(span: &Span, headers: &http::HeaderMap) {
    let context = global::get_text_map_propagator(|p| p.extract(&HttpHeaders(headers)));
    adopt(span, context);
}

fn adopt(span: &Span, context: Context) {
    if let Err(error) = span.set_parent(context) {
        tracing::debug!(%error, "span starts a trace of its own");
    }
}

struct NatsHeaders<'a>(&'a mut HeaderMap);

impl Injector for NatsHeaders<'_> {
    fn set(&mut self, key: &str, value: String) {
        // An empty tracestate says nothing.
        if !value.is_empty() {
            self.0.insert(key, value);
        }
    }
}

struct NatsHeadersRead<'a>(&'a HeaderMap);

impl Extractor for NatsHeadersRead<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(async_nats::HeaderValue::as_str)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_ref()).collect()
    }
}

struct Metadata<'a>(&'a mut MetadataMap);

impl Injector for Metadata<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (MetadataKey::from_bytes(key.as_bytes()), value.parse()) {
            self.0.insert(key, value);
        }
    }
}

struct HttpHeaders<'a>(&'a http::HeaderMap);

impl Extractor for HttpHeaders<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{TraceContextExt, TracerProvider as _};
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_trace_goes_on_over_headers_and_metadata() {
        global::set_text_map_propagator(TraceContextPropagator::new());
        let provider = SdkTracerProvider::builder().build();
        let subscriber = tracing_subscriber::registry()
            .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
        tracing::subscriber::with_default(subscriber, || {
            let first = tracing::info_span!("first");
            let trace = first.context().span().span_context().trace_id();
            let mut headers = HeaderMap::new();
            inject(&first, &mut headers);
            let parent = headers.get("traceparent").unwrap().as_str();
            assert!(parent.starts_with(&format!("00-{trace}-")), "{parent}");

            let second = tracing::info_span!("second");
            continue_from(&second, Some(&headers));
            assert_eq!(second.context().span().span_context().trace_id(), trace);

            let mut metadata = MetadataMap::new();
            inject_metadata(&second, &mut metadata);
            let third = tracing::info_span!("third");
            continue_from_http(&third, &metadata.into_headers());
            assert_eq!(third.context().span().span_context().trace_id(), trace);

            let stranger = tracing::info_span!("stranger");
            let mut bad = HeaderMap::new();
            bad.insert("traceparent", "00-nonsense");
            continue_from(&stranger, Some(&bad));
            assert_ne!(stranger.context().span().span_context().trace_id(), trace);
        });
    }
}
