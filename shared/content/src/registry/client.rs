//! One call to a registry: where it goes, how it is tried again, and what counts as an answer.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, Response, StatusCode, Url};
use tokio::sync::Mutex;

use super::access::RegistryAccess;
use super::auth::{Scope, Tokens};
use super::connection::{connection_failure, http_client, tls_config};
use super::reach::{Origin, Reach};
use super::repository::Repository;
use super::web::shown;
use crate::StoreError;

/// Tries per call; with the waits between them a registry has about half a minute to come back.
const ATTEMPTS: u32 = 6;
/// Longest wait between two tries, asked for or computed. A registry that asks for more gets its wait from
/// whoever runs the job, not from a sleeping worker.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
const STALL: Duration = Duration::from_secs(60);
const MOST_REDIRECTS: usize = 5;
/// Most bytes of an error's body that are read for its message.
const ERROR_LIMIT: usize = 16 << 10;

/// Speaks to registries. Cheap to clone; connections and tokens are shared by the clones.
#[derive(Clone)]
pub struct RegistryClient(Arc<Inner>);

struct Inner {
    access: RegistryAccess,
    tls: rustls::ClientConfig,
    http: reqwest::Client,
    hosts: Mutex<HashMap<String, Arc<RegistryHost>>>,
}

impl std::fmt::Debug for RegistryClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("RegistryClient")
            .field(&self.0.access)
            .finish()
    }
}

/// A registry and what is known of it.
pub(super) struct RegistryHost {
    /// As references name it.
    pub(super) name: String,
    /// Where its API is.
    pub(super) base: Url,
    reach: Reach,
    /// For the registry itself.
    home: reqwest::Client,
    /// For addresses the registry sends us to.
    guarded: reqwest::Client,
    /// Whether it may be told who asks.
    pub(super) trusted: bool,
    pub(super) tokens: Tokens,
}

/// A call to a registry.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// A file to send.
    pub(super) file: Option<&'a Path>,
    /// Bytes to send.
    pub(super) bytes: Option<&'a [u8]>,
    /// What is done, for messages.
    pub(super) action: &'static str,
    /// With what, for messages.
    pub(super) subject: String,
}

impl Call<'_> {
    pub(super) fn new(method: Method, url: Url, action: &'static str, subject: &str) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            file: None,
            bytes: None,
            action,
            subject: subject.to_owned(),
        }
    }

    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

/// Why a try failed.
pub(super) enum Failure {
    /// The next try may go better.
    Passing(String, Option<Duration>),
    /// It will not.
    Lasting(String),
}

impl RegistryClient {
    /// A client.
    ///
    /// # Errors
    /// When the file of authorities cannot be read.
    pub fn new(access: RegistryAccess) -> Result<Self, StoreError> {
        let tls = tls_config(access.ca_file.as_deref())?;
        let http = http_client(&tls, None)?;
        Ok(Self(Arc::new(Inner {
            access,
            tls,
            http,
            hosts: Mutex::default(),
        })))
    }

    /// A repository of a registry; nothing is asked yet.
    pub fn repository(&self, registry: &str, repository: &str) -> Repository {
        Repository::new(self.clone(), registry, repository)
    }

    pub(super) fn access(&self) -> &RegistryAccess {
        &self.0.access
    }

    pub(super) fn stall(&self) -> Duration {
        self.0.access.stall.unwrap_or(STALL)
    }

    pub(super) async fn host(&self, name: &str) -> Result<Arc<RegistryHost>, StoreError> {
        let mut hosts = self.0.hosts.lock().await;
        if let Some(host) = hosts.get(name) {
            return Ok(host.clone());
        }
        let base = self.base_url(name)?;
        let reach = Reach::of_registry(&base).await;
        let host = Arc::new(RegistryHost {
            name: name.to_owned(),
            home: self.0.http.clone(),
            guarded: http_client(&self.0.tls, Some(reach))?,
            base,
            reach,
            trusted: true,
            tokens: Tokens::default(),
        });
        hosts.insert(name.to_owned(), host.clone());
        Ok(host)
    }

    /// A server that is no registry, which `named_by` told us of.
    pub(super) async fn server(
        &self,
        base: Url,
        named_by: Origin,
    ) -> Result<RegistryHost, StoreError> {
        let name = match (base.host_str(), base.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let malformed = |reason: String| StoreError::Malformed {
            what: format!("address {}", shown(&base)),
            reason,
        };
        if !matches!(base.scheme(), "http" | "https") {
            return Err(malformed("use http:// or https://".to_owned()));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(malformed(
                "a password in an address ends up in logs; put it into the Docker configuration (docker login) or \
                 helm's repositories (helm repo add)"
                    .to_owned(),
            ));
        }
        if let Some(address) = named_by.0.forbids(&base).await {
            return Err(malformed(format!(
                "it lies at {address}, farther into the network than where it was named, which is refused"
            )));
        }
        let reach = Reach::of_registry(&base).await;
        let guarded = http_client(&self.0.tls, Some(reach))?;
        // What another server named may not come to lie somewhere else between this check and the connection.
        let home = match named_by {
            Origin::USER => self.0.http.clone(),
            Origin(_) => guarded.clone(),
        };
        Ok(RegistryHost {
            trusted: base.scheme() == "https" || self.without_tls(&name, &base),
            name,
            home,
            guarded,
            base,
            reach,
            tokens: Tokens::default(),
        })
    }

    /// Whether a host is spoken to without TLS.
    fn without_tls(&self, name: &str, url: &Url) -> bool {
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        self.0.access.insecure.iter().any(|host| host == name)
            || (loopback && self.0.access.ca_file.is_none())
    }

    fn base_url(&self, name: &str) -> Result<Url, StoreError> {
        // Docker's registry answers under another name than its references have.
        let api = match name {
            "docker.io" => "registry-1.docker.io",
            name => name,
        };
        let parse = |scheme: &str| {
            Url::parse(&format!("{scheme}://{api}/v2/")).map_err(|e| StoreError::Malformed {
                what: format!("registry {name:?}"),
                reason: format!("{e}; use host[:port]"),
            })
        };
        let url = parse("https")?;
        if self.without_tls(name, &url) {
            parse("http")
        } else {
            Ok(url)
        }
    }

    /// Makes a call until there is an answer that trying again would not change. Status codes of 429 and
    /// from 500 on never come back as an answer.
    pub(super) async fn call(
        &self,
        host: &RegistryHost,
        scope: &Scope,
        call: &Call<'_>,
    ) -> Result<Response, StoreError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.once(host, scope, call).await {
                Ok(response) => return Ok(response),
                Err(failure) => self.back_off(host, call, failure, attempt).await?,
            }
        }
    }

    /// Waits before the next try, or gives the error if there is to be none.
    pub(super) async fn back_off(
        &self,
        host: &RegistryHost,
        call: &Call<'_>,
        failure: Failure,
        attempt: u32,
    ) -> Result<(), StoreError> {
        let (reason, asked) = match failure {
            Failure::Passing(reason, asked) => (reason, asked),
            Failure::Lasting(reason) => return Err(host.error(call, reason, None)),
        };
        let wait = asked.unwrap_or_else(|| jittered(attempt));
        if attempt >= ATTEMPTS || wait > LONGEST_WAIT {
            let reason = format!("{reason} (tried {attempt} times)");
            return Err(host.error(call, reason, Some(wait)));
        }
        tracing::debug!(
            registry = host.name,
            action = call.action,
            subject = call.subject,
            attempt,
            ?wait,
            reason,
            "trying a registry again"
        );
        tokio::time::sleep(wait).await;
        Ok(())
    }

    /// Makes a call once: authenticates where asked to, follows redirects, tells passing failures from answers.
    pub(super) async fn once(
        &self,
        host: &RegistryHost,
        scope: &Scope,
        call: &Call<'_>,
    ) -> Result<Response, Failure> {
        let authorization = host.tokens.get(scope);
        let mut response = self.follow(host, call, authorization.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            let fresh = self.authenticate(host, scope, response.headers()).await?;
            if let Some(fresh) = fresh {
                response = self.follow(host, call, Some(&fresh)).await?;
            } else {
                return Err(Failure::Lasting(format!(
                    "401 Unauthorized and there are no credentials for {}; log in to it (docker login) or name \
                     a credentials file",
                    host.name
                )));
            }
        }
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS
            || status == StatusCode::REQUEST_TIMEOUT
            || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED)
        {
            let after = retry_after(response.headers());
            let reason = describe(response, self.stall()).await;
            return Err(Failure::Passing(reason, after));
        }
        Ok(response)
    }

    async fn follow(
        &self,
        host: &RegistryHost,
        call: &Call<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let mut url = call.url.clone();
        for _ in 0..=MOST_REDIRECTS {
            let response = self.send(host, call, &url, authorization).await?;
            let followed = matches!(call.method, Method::GET | Method::HEAD)
                && response.status().is_redirection();
            let Some(location) = response.headers().get(LOCATION).filter(|_| followed) else {
                return Ok(response);
            };
            url = location
                .to_str()
                .ok()
                .and_then(|text| url.join(text).ok())
                .ok_or_else(|| Failure::Lasting("it redirects to what is no URL".to_owned()))?;
        }
        Err(Failure::Lasting(format!(
            "it redirects more than {MOST_REDIRECTS} times"
        )))
    }

    /// Sends one request, to the registry or to where the registry said.
    pub(super) async fn send(
        &self,
        host: &RegistryHost,
        call: &Call<'_>,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failure> {
        let at_home = url.origin() == host.base.origin();
        let client = if at_home {
            &host.home
        } else {
            host.check_reach(url).await?;
            &host.guarded
        };
        let mut request = client
            .request(call.method.clone(), url.clone())
            .headers(call.headers.clone());
        // Another host has its own permissions in the URL; the registry's are none of its business.
        if let Some(authorization) = authorization.filter(|_| at_home) {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let sent = Arc::new(AtomicU64::new(0));
        if let Some(path) = call.file {
            let (length, body) = super::upload::body(path, sent.clone())
                .map_err(|e| Failure::Lasting(format!("cannot read {}: {e}", path.display())))?;
            request = request
                .header(reqwest::header::CONTENT_LENGTH, length)
                .body(body);
        } else if let Some(bytes) = call.bytes {
            request = request.body(bytes.to_vec());
        }
        let mut answer = std::pin::pin!(request.send());
        let mut seen = 0;
        loop {
            match tokio::time::timeout(self.stall(), answer.as_mut()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => return Err(connection_failure(&error)),
                Err(_) => {
                    let now = sent.load(Ordering::Relaxed);
                    if now == seen {
                        return Err(Failure::Passing(
                            format!("no byte for {} s", self.stall().as_secs_f32()),
                            None,
                        ));
                    }
                    seen = now;
                }
            }
        }
    }
}

impl RegistryHost {
    /// What may be named by what this server gives us.
    pub(super) fn origin(&self) -> Origin {
        Origin(self.reach)
    }

    /// Whether the registry may send us to `url`.
    pub(super) async fn check_reach(&self, url: &Url) -> Result<(), Failure> {
        let place = url.host_str().unwrap_or_default();
        let scheme_fits = url.scheme() == "https" || url.scheme() == self.base.scheme();
        if !scheme_fits {
            return Err(Failure::Lasting(format!(
                "it sends us to {place} over {}, which is refused",
                url.scheme()
            )));
        }
        match self.reach.forbids(url).await {
            Some(address) => Err(Failure::Lasting(format!(
                "it sends us to {place} ({address}), farther into the network than it lies itself, which is \
                 refused"
            ))),
            None => Ok(()),
        }
    }

    pub(super) fn error(
        &self,
        call: &Call<'_>,
        reason: String,
        retry_after: Option<Duration>,
    ) -> StoreError {
        StoreError::Registry {
            registry: self.name.clone(),
            action: call.action,
            subject: call.subject.clone(),
            reason,
            retry_after,
        }
    }

    /// The error for an answer that is none we can use.
    pub(super) async fn refused(
        &self,
        call: &Call<'_>,
        response: Response,
        stall: Duration,
    ) -> StoreError {
        let reason = describe(response, stall).await;
        self.error(call, reason, None)
    }
}

fn jittered(attempt: u32) -> Duration {
    let ceiling = Duration::from_millis(250)
        .saturating_mul(1 << attempt.min(6))
        .min(LONGEST_WAIT / 2);
    ceiling.mul_f64(0.5 + fastrand::f64() / 2.0)
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    // Given as a date it depends on two clocks; the computed wait serves as well.
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// What an answer says went wrong: its status and the registry's own words, shortened.
pub(super) async fn describe(mut response: Response, stall: Duration) -> String {
    let status = response.status();
    let mut body = Vec::new();
    while body.len() < ERROR_LIMIT {
        match tokio::time::timeout(stall, response.chunk()).await {
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            _ => break,
        }
    }
    body.truncate(ERROR_LIMIT);
    let said = serde_json::from_slice::<serde_json::Value>(&body)
        .ok()
        .and_then(|value| {
            let first = value.get("errors")?.get(0)?;
            let text = |key: &str| first.get(key).and_then(|v| v.as_str()).unwrap_or_default();
            Some(format!("{} {}", text("code"), text("message")))
        });
    let said: String = said
        .as_deref()
        .map(str::trim)
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(200)
        .collect();
    if said.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {said}")
    }
}
