//! Authentication: basic, and tokens from the service a registry names (distribution project, "Token
//! Authentication Specification").

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, Url};
use serde::Deserialize;

use super::client::{Call, Failure, RegistryClient, RegistryHost};
use super::connection::connection_failure;
use super::credentials::{self, Secret};

/// Most bytes of a token service's answer.
const TOKEN_LIMIT: usize = 1 << 20;

/// What a call needs permission for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    pub(super) repository: String,
    pub(super) write: bool,
    /// Another repository of the registry that is read from: a blob is mounted out of it.
    pub(super) from: Option<String>,
}

/// Authorization headers in use, by scope.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<Scope, HeaderValue>>);

impl Tokens {
    pub(super) fn get(&self, scope: &Scope) -> Option<HeaderValue> {
        let tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(scope).cloned()
    }

    pub(super) fn set(&self, scope: &Scope, value: HeaderValue) {
        let mut tokens = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.insert(scope.clone(), value);
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
}

enum Challenge {
    Basic,
    Bearer { realm: Url, service: Option<String> },
}

impl RegistryClient {
    /// Gets the permission a registry's answer of 401 asks for. None when there are no credentials to get it
    /// with.
    pub(super) async fn authenticate(
        &self,
        host: &RegistryHost,
        scope: &Scope,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, Failure> {
        let challenge = challenge(headers).ok_or_else(|| {
            Failure::Lasting(
                "401 Unauthorized without a way to authenticate that is known".to_owned(),
            )
        })?;
        if !host.trusted {
            return Err(Failure::Lasting(
                "401 Unauthorized, and credentials are not sent without TLS; use https://, or list the host as \
                 insecure"
                    .to_owned(),
            ));
        }
        let secret = credentials::find(&self.access().credentials, &host.name, &scope.repository)
            .await
            .map_err(Failure::Lasting)?;
        let value = match (challenge, secret) {
            (Challenge::Basic, Some(Secret::Basic(user, password))) => {
                Some(basic(&user, &password))
            }
            (Challenge::Basic, Some(Secret::Identity(_)) | None) => None,
            (Challenge::Bearer { realm, service }, secret) => {
                let token = self
                    .token(host, scope, realm, service.as_deref(), secret.as_ref())
                    .await?;
                Some(format!("Bearer {token}"))
            }
        };
        let Some(value) = value else {
            return Ok(None);
        };
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| Failure::Lasting("the token is no header value".to_owned()))?;
        value.set_sensitive(true);
        host.tokens.set(scope, value.clone());
        Ok(Some(value))
    }

    async fn token(
        &self,
        host: &RegistryHost,
        scope: &Scope,
        mut realm: Url,
        service: Option<&str>,
        secret: Option<&Secret>,
    ) -> Result<String, Failure> {
        let actions = if scope.write { "pull,push" } else { "pull" };
        let from = scope
            .from
            .as_ref()
            .map(|from| format!("repository:{from}:pull"));
        let scope = format!("repository:{}:{actions}", scope.repository);
        let mut fields = vec![("scope", scope.as_str())];
        fields.extend(from.as_deref().map(|from| ("scope", from)));
        fields.extend(service.map(|service| ("service", service)));
        let mut call = Call::new(Method::GET, realm.clone(), "authenticate", &scope)
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        let form;
        let mut authorization = None;
        if let Some(Secret::Identity(token)) = secret {
            fields.extend([
                ("grant_type", "refresh_token"),
                ("client_id", "quench"),
                ("refresh_token", token),
            ]);
            form = url::form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish();
            call.method = Method::POST;
            call.bytes = Some(form.as_bytes());
            let urlencoded = HeaderValue::from_static("application/x-www-form-urlencoded");
            call.headers.insert(CONTENT_TYPE, urlencoded);
        } else {
            realm.query_pairs_mut().extend_pairs(fields);
            if let Some(Secret::Basic(user, password)) = secret {
                let mut value = HeaderValue::try_from(basic(user, password)).map_err(|_| {
                    Failure::Lasting("the credentials are no header value".to_owned())
                })?;
                value.set_sensitive(true);
                authorization = Some(value);
            }
        }
        // The token service is a host of its own: credentials go there as the specification says, but only
        // where the registry may send us at all.
        if realm.origin() != host.base.origin() {
            host.check_reach(&realm).await?;
            if let Some(authorization) = authorization.take() {
                call.headers
                    .insert(reqwest::header::AUTHORIZATION, authorization);
            }
        }
        let mut response = self
            .send(host, &call, &realm, authorization.as_ref())
            .await?;
        let status = response.status();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(Failure::Passing(
                format!("its token service says {status}"),
                None,
            ));
        }
        if !status.is_success() {
            return Err(Failure::Lasting(format!(
                "its token service says {status}; check the credentials for {}",
                host.name
            )));
        }
        let mut body = Vec::new();
        loop {
            match tokio::time::timeout(self.stall(), response.chunk()).await {
                Ok(Ok(Some(chunk))) if body.len() + chunk.len() <= TOKEN_LIMIT => {
                    body.extend_from_slice(&chunk);
                }
                Ok(Ok(Some(_))) => {
                    return Err(Failure::Lasting(
                        "its token service answers without end".to_owned(),
                    ));
                }
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(connection_failure(&error)),
                Err(_) => {
                    return Err(Failure::Passing(
                        "its token service stalls".to_owned(),
                        None,
                    ));
                }
            }
        }
        serde_json::from_slice::<TokenAnswer>(&body)
            .ok()
            .and_then(|answer| answer.token.or(answer.access_token))
            .filter(|token| !token.is_empty())
            .ok_or_else(|| Failure::Lasting("its token service gives no token".to_owned()))
    }
}

pub(super) fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The challenge that can be met, tokens before passwords.
fn challenge(headers: &HeaderMap) -> Option<Challenge> {
    let mut found = None;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let challenges = http_auth::parse_challenges(value.to_str().ok()?).ok()?;
        for challenge in challenges {
            let parameter = |name: &str| {
                let (_, value) = challenge
                    .params
                    .iter()
                    .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
                Some(value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                let realm = parameter("realm").and_then(|text| Url::parse(&text).ok());
                if let Some(realm) = realm {
                    return Some(Challenge::Bearer {
                        realm,
                        service: parameter("service"),
                    });
                }
            } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                found = Some(Challenge::Basic);
            }
        }
    }
    found
}
