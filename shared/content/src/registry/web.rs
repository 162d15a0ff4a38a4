//! Small documents over HTTP: from registries, and from servers that are none, such as classic chart repositories.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, StatusCode, Url};

use super::auth::{Scope, basic};
use super::client::{Call, Failure, RegistryClient, RegistryHost};
use super::connection::connection_failure;
use super::reach::Origin;
use crate::StoreError;

/// A server of plain files. Credentials for it come from the Docker configuration, by host, once it asks for them;
/// neither they nor requests follow a redirect farther into the network than the server itself lies.
pub struct WebServer {
    client: RegistryClient,
    host: RegistryHost,
    scope: Scope,
}

impl RegistryClient {
    /// The server of an address that `named_by` gave us.
    ///
    /// # Errors
    /// The address is none of a web server, holds a password, or lies where `named_by` may not send us.
    pub async fn web_server(
        &self,
        address: &Url,
        named_by: Origin,
    ) -> Result<WebServer, StoreError> {
        let host = self.server(address.clone(), named_by).await?;
        let path = address.path().trim_matches('/');
        Ok(WebServer {
            client: self.clone(),
            host,
            scope: Scope {
                repository: path.to_owned(),
                write: false,
                from: None,
            },
        })
    }
}

impl WebServer {
    /// Shows this user and password to the server, and to no other.
    ///
    /// # Errors
    /// The server is spoken to without TLS, or the words cannot stand in a header.
    pub fn log_in(&self, user: &str, password: &str) -> Result<(), StoreError> {
        let malformed = |reason: &str| StoreError::Malformed {
            what: format!("credentials for {}", self.host.name),
            reason: reason.to_owned(),
        };
        if !self.host.trusted {
            return Err(malformed("they are not sent without TLS; use https://"));
        }
        let mut value = HeaderValue::try_from(basic(user, password))
            .map_err(|_| malformed("they cannot be sent as a header"))?;
        value.set_sensitive(true);
        self.host.tokens.set(&self.scope, value);
        Ok(())
    }

    /// What may be named by what the server gives us.
    pub fn origin(&self) -> Origin {
        self.host.origin()
    }

    /// Reads a document of at most `limit` bytes, trying again while that may help. None: it is not there.
    ///
    /// # Errors
    /// When the server refuses, cannot be reached, or gives more.
    pub async fn read(&self, address: &Url, limit: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let call = Call::new(Method::GET, address.clone(), "read", &shown(address));
        let found = self
            .client
            .document(&self.host, &self.scope, &call, limit)
            .await?;
        Ok(found.map(|(_, bytes)| bytes))
    }
}

/// An address without what may be a secret: user, password and query.
pub(super) fn shown(address: &Url) -> String {
    let mut address = address.clone();
    // Neither fails for addresses with a host, and those without have no password.
    let _ = address.set_username("");
    let _ = address.set_password(None);
    address.set_query(None);
    address.to_string()
}

impl RegistryClient {
    /// Reads a small document, trying again when its transfer breaks. None: not there.
    pub(super) async fn document(
        &self,
        host: &RegistryHost,
        scope: &Scope,
        call: &Call<'_>,
        limit: u64,
    ) -> Result<Option<(Option<String>, Vec<u8>)>, StoreError> {
        let response = self.call(host, scope, call).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(host.refused(call, response, self.stall()).await),
        }
        let content_type = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned);
        let bytes = self.body(host, scope, call, response, limit).await?;
        Ok(Some((content_type, bytes)))
    }

    /// Reads an answer whole, asking again where its transfer breaks.
    pub(super) async fn body(
        &self,
        host: &RegistryHost,
        scope: &Scope,
        call: &Call<'_>,
        mut response: Response,
        limit: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let mut attempt = 1;
        loop {
            let failure = match self.collect(response, limit).await {
                Ok(bytes) => return Ok(bytes),
                Err(failure) => failure,
            };
            self.back_off(host, call, failure, attempt).await?;
            attempt += 1;
            response = self.call(host, scope, call).await?;
            if !response.status().is_success() {
                return Err(host.refused(call, response, self.stall()).await);
            }
        }
    }

    async fn collect(&self, mut response: Response, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        loop {
            match tokio::time::timeout(self.stall(), response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    if (bytes.len() + chunk.len()) as u64 > limit {
                        return Err(Failure::Lasting(format!(
                            "its answer has more than the {limit} bytes that are accepted"
                        )));
                    }
                    bytes.extend_from_slice(&chunk);
                }
                Ok(Ok(None)) => return Ok(bytes),
                Ok(Err(error)) => return Err(connection_failure(&error)),
                Err(_) => return Err(Failure::Passing("the answer stalls".to_owned(), None)),
            }
        }
    }
}
