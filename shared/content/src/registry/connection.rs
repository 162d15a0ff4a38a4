//! Connections: whom they trust, where they may lead, and why they fail.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::client::Failure;
use super::reach::{Reach, WithinReach};
use crate::StoreError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// A client that follows no redirects by itself; with a reach, one that connects to addresses within it alone.
pub(super) fn http_client(
    tls: &rustls::ClientConfig,
    reach: Option<Reach>,
) -> Result<reqwest::Client, StoreError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("quench/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .tls_backend_preconfigured(tls.clone());
    if let Some(reach) = reach {
        builder = builder.dns_resolver(WithinReach::resolver(reach));
    }
    builder.build().map_err(|e| StoreError::Malformed {
        what: "HTTP client configuration".to_owned(),
        reason: e.to_string(),
    })
}

/// Trust in the system's authorities and those of a file.
pub(super) fn tls_config(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    // A machine without certificates of its own can still use a registry under `ca_file`.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca_file {
        let malformed = |reason: String| StoreError::Malformed {
            what: format!("certificate file {}", path.display()),
            reason,
        };
        let mut count = 0;
        let pem = std::fs::read(path).map_err(StoreError::io("read", PathBuf::from(path)))?;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|e| malformed(e.to_string()))?;
            roots
                .add(certificate)
                .map_err(|e| malformed(e.to_string()))?;
            count += 1;
        }
        if count == 0 {
            return Err(malformed("it holds no PEM certificate".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| StoreError::Malformed {
            what: "TLS configuration".to_owned(),
            reason: e.to_string(),
        })?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

/// A failed connection, without the URL: it may hold a signature that is a secret.
pub(super) fn connection_failure(error: &reqwest::Error) -> Failure {
    let mut reason = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        // The innermost error is the one that says something.
        reason = inner.to_string();
        if is_certificate_error(inner) {
            return Failure::Lasting(format!(
                "{reason}; if the registry is yours, name the certificate of its authority"
            ));
        }
        source = inner.source();
    }
    if reason.is_empty() {
        reason = if error.is_timeout() {
            "timed out".to_owned()
        } else {
            "the connection failed".to_owned()
        };
    }
    Failure::Passing(reason, None)
}

/// Whether TLS ended over a certificate, which the next try will not like better.
fn is_certificate_error(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    // An I/O error does not name what it carries as its source, and may carry another one.
    error
        .downcast_ref::<std::io::Error>()
        .and_then(std::io::Error::get_ref)
        .is_some_and(|carried| is_certificate_error(carried))
}
