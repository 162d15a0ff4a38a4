//! The gRPC server: TLS, health, reflection, traces, and errors in the form of google.rpc.

use std::future::Future;
use std::time::Duration;

use quench_worker::{Bus, StatusBoard};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_types::{ErrorDetails, StatusExt};
use tracing::Span;

use crate::config::{GrpcConfig, Tls};
use crate::shell::StartError;

/// `INVALID_ARGUMENT` that names the field.
pub fn invalid(field: &str, reason: &str) -> Status {
    let details = ErrorDetails::with_bad_request_violation(field, reason);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {reason}"), details)
}

/// `NOT_FOUND` that names the thing.
pub fn missing_resource(kind: &str, name: &str, reason: &str) -> Status {
    let details = ErrorDetails::with_resource_info(kind, name, "", reason);
    Status::with_error_details(
        Code::NotFound,
        format!("no {kind} {name}: {reason}"),
        details,
    )
}

/// `UNAVAILABLE`: the same call may succeed a little later.
pub fn unavailable(reason: &str) -> Status {
    let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(1)));
    Status::with_error_details(Code::Unavailable, reason, details)
}

/// Serves `routes` until `stop`. Requests that are running then may finish, but not for long.
pub(crate) async fn serve(
    config: &GrpcConfig,
    routes: Routes,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + Send + 'static + use<>, StartError> {
    let failed = |reason: String| StartError::Grpc {
        listen: config.listen,
        reason,
    };
    let mut server = Server::builder()
        .trace_fn(span)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .max_concurrent_streams(Some(1024));
    if let Some(tls) = &config.tls {
        server = server
            .tls_config(tls_config(tls)?)
            .map_err(|error| failed(format!("the certificate cannot be used: {error}")))?;
    }
    let incoming = TcpIncoming::bind(config.listen).map_err(|error| failed(error.to_string()))?;
    let address = incoming
        .local_addr()
        .map_err(|error| failed(error.to_string()))?;
    tracing::info!(%address, tls = config.tls.is_some(), "serving gRPC");
    let serving = server
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    Ok(async move {
        let linger = async {
            stop.cancelled().await;
            tokio::time::sleep(Duration::from_secs(3)).await;
        };
        tokio::select! {
            result = serving => if let Err(error) = result {
                tracing::error!(%error, "gRPC ended");
            },
            () = linger => tracing::debug!("gRPC calls were cut off"),
        }
    })
}

fn tls_config(tls: &Tls) -> Result<ServerTlsConfig, StartError> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| StartError::File {
            path: path.to_owned(),
            reason: error.to_string(),
        })
    };
    let mut config = ServerTlsConfig::new()
        .identity(Identity::from_pem(read(&tls.certificate)?, read(&tls.key)?));
    if let Some(ca) = &tls.client_ca {
        config = config.client_ca_root(Certificate::from_pem(read(ca)?));
    }
    Ok(config)
}

/// One span per call of ours, in the caller's trace. Health checks and reflection are not worth one.
fn span(request: &http::Request<()>) -> Span {
    let path = request.uri().path();
    if !path.starts_with("/quench.") {
        return Span::none();
    }
    let span = tracing::info_span!(
        "call",
        otel.name = path.trim_start_matches('/'),
        otel.kind = "server",
        rpc.system = "grpc",
    );
    quench_telemetry::trace_context::continue_from_http(&span, request.headers());
    span
}

/// Tells `grpc.health.v1` whether the service can work, until `stop`.
pub(crate) async fn tell_health(
    reporter: HealthReporter,
    names: Vec<String>,
    bus: Bus,
    board: StatusBoard,
    stop: CancellationToken,
) {
    let mut changes = bus.health.watch();
    let mut told: Option<Option<String>> = None;
    loop {
        // Read once: were it read again for the wait below, what became true in between would wake nobody.
        let read = board.is_ready();
        let problem = if stop.is_cancelled() {
            Some("stopping".to_owned())
        } else if read {
            bus.health.problem()
        } else {
            Some("the status bucket has not been read yet".to_owned())
        };
        if told.as_ref() != Some(&problem) {
            let status = match &problem {
                None => {
                    tracing::info!("ready");
                    ServingStatus::Serving
                }
                Some(reason) => {
                    tracing::warn!(%reason, "not ready");
                    ServingStatus::NotServing
                }
            };
            for name in &names {
                reporter.set_service_status(name, status).await;
            }
            told = Some(problem);
        }
        if stop.is_cancelled() {
            return;
        }
        tokio::select! {
            () = stop.cancelled() => {}
            _ = changes.changed() => {}
            () = board.ready(), if !read => {}
        }
    }
}
