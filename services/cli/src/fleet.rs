//! Connecting to a fleet.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::args::FleetArgs;
use crate::exit::Failure;

/// Connects to a service of the fleet.
///
/// # Errors
/// When the address or a certificate cannot be used, or nobody answers.
pub async fn connect(args: &FleetArgs) -> Result<Channel> {
    let address = &args.endpoint;
    let mut endpoint = Endpoint::from_shared(address.clone())
        .map_err(|e| Failure::usage(format!("endpoint {address:?} is not an address: {e}")))?
        .connect_timeout(Duration::from_secs(10))
        .http2_keep_alive_interval(Duration::from_secs(20))
        .keep_alive_while_idle(true);
    if address.starts_with("https://") {
        let mut tls = ClientTlsConfig::new();
        if let Some(path) = &args.ca {
            tls = tls.ca_certificate(Certificate::from_pem(read(path)?));
        }
        if let (Some(cert), Some(key)) = (&args.cert, &args.key) {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        endpoint = endpoint
            .tls_config(tls)
            .map_err(|e| Failure::usage(format!("certificates for {address}: {}", chain(&e))))?;
    }
    endpoint.connect().await.map_err(|e| {
        Failure::missing(format!(
            "no fleet answers at {address}: {}; give its address with --endpoint and certificates with --ca, --cert and --key",
            chain(&e)
        ))
    })
}

/// A refusal of the fleet as an error of this command.
pub fn refused(status: &tonic::Status) -> anyhow::Error {
    let text = status.message().to_owned();
    match status.code() {
        tonic::Code::Unavailable
        | tonic::Code::DeadlineExceeded
        | tonic::Code::Unauthenticated
        | tonic::Code::PermissionDenied
        | tonic::Code::ResourceExhausted => {
            Failure::missing(format!("the fleet cannot answer: {text}"))
        }
        code => Failure::usage(format!("the fleet refuses ({code}): {text}")),
    }
}

fn read(path: &std::path::Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// tonic's transport errors say only "transport error" themselves; what happened is in their sources.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
