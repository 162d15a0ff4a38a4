//! Logs, traces, and the trace context that travels with every message.
//!
//! [`start`] sets up logging (text or JSON, on standard error) and, where an endpoint is configured, export of
//! spans over OTLP/gRPC. [`trace_context`] carries the W3C trace context over NATS headers and gRPC metadata, so
//! that one trace spans a package's way from submission to its last level.

pub mod trace_context;

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{WithExportConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

/// What telemetry a process gives.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Name of the service, as traces call it.
    pub service: String,
    /// Which instance of it, when there are several.
    pub instance: Option<String>,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`: `info`, `quench_worker=debug,info`.
    pub filter: String,
    /// How it is written.
    pub format: LogFormat,
    /// Where spans go, if anywhere.
    pub otlp: Option<Otlp>,
}

/// Where spans go.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// URL of an OTLP/gRPC receiver, such as `http://127.0.0.1:4317`.
    pub endpoint: String,
    /// File with the certificate authority (PEM) to trust, for `https`.
    pub ca: Option<PathBuf>,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(TelemetryError::Format(text.to_owned())),
        }
    }
}

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log format is unknown.
    #[error("{0:?} is not a log format; expected text or json")]
    Format(String),
    /// The log filter cannot be read.
    #[error("{filter:?} is not a log filter: {reason}")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate authority cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The exporter cannot be built.
    #[error("cannot export spans to {endpoint}: {reason}")]
    Exporter {
        /// Where to.
        endpoint: String,
        /// What is wrong.
        reason: String,
    },
    /// Telemetry was set up before.
    #[error("telemetry is set up already in this process")]
    Twice,
}

/// Telemetry that runs. Give it back with [`Telemetry::shutdown`], or the last spans are lost.
#[derive(Debug)]
#[must_use = "spans that were not flushed are lost"]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// How long the last spans may take to leave. An unreachable receiver must not hold up a shutdown.
const FLUSH: Duration = Duration::from_secs(5);

/// Sets up logging and span export. Must be called within a tokio runtime when spans are exported.
///
/// # Errors
/// When a setting cannot be used, or telemetry was set up before.
pub fn start(settings: &Settings) -> Result<Telemetry, TelemetryError> {
    let filter = parse_filter(&settings.filter)?;
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.format {
        LogFormat::Text => lines.with_ansi(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = settings
        .otlp
        .as_ref()
        .map(|otlp| provider(settings, otlp))
        .transpose()?;
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let spans = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("quench"))
            // Only our own spans: those of the exporter's client would feed the exporter.
            .with_filter(filter_fn(|span| {
                span.target().starts_with("quench") && *span.level() <= Level::INFO
            }))
    });
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(spans)
        .try_init()
        .map_err(|_| TelemetryError::Twice)?;
    Ok(Telemetry { provider })
}

/// Checks a log filter without using it.
///
/// # Errors
/// When it cannot be read.
pub fn check_filter(filter: &str) -> Result<(), TelemetryError> {
    parse_filter(filter).map(|_| ())
}

fn parse_filter(filter: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(filter).map_err(|error| TelemetryError::Filter {
        filter: filter.to_owned(),
        reason: error.to_string(),
    })
}

fn provider(settings: &Settings, otlp: &Otlp) -> Result<SdkTracerProvider, TelemetryError> {
    let mut exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&otlp.endpoint)
        .with_timeout(FLUSH);
    if let Some(path) = &otlp.ca {
        let pem = std::fs::read(path).map_err(|source| TelemetryError::Ca {
            path: path.clone(),
            source,
        })?;
        exporter = exporter
            .with_tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)));
    }
    let exporter = exporter.build().map_err(|error| TelemetryError::Exporter {
        endpoint: otlp.endpoint.clone(),
        reason: error.to_string(),
    })?;
    let mut resource = Resource::builder()
        .with_service_name(settings.service.clone())
        .with_attribute(KeyValue::new("service.namespace", "quench"))
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if let Some(instance) = &settings.instance {
        resource = resource.with_attribute(KeyValue::new("service.instance.id", instance.clone()));
    }
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

impl Telemetry {
    /// Sends what was not sent yet and ends the export. Takes at most a few seconds, also when the receiver cannot be
    /// reached.
    pub async fn shutdown(self) {
        let Some(provider) = self.provider else {
            return;
        };
        // The provider blocks its caller; the exporter needs this runtime to go on meanwhile.
        let flushed =
            tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(FLUSH)).await;
        match flushed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last spans were not exported"),
            Err(error) => tracing::warn!(%error, "the span exporter did not end"),
        }
    }
}
