//! Credentials from the Docker configuration and its helpers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde::Deserialize;
use tokio::io::AsyncWriteExt;

use super::access::Credentials;

/// Most bytes of a configuration file or a helper's answer.
const LIMIT: u64 = 4 << 20;
/// A helper may ask an operating system's key store; longer than this it waits for a person.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

/// A secret for a registry. Has no `Debug`, so that no log line can hold it.
#[derive(Clone)]
pub(super) enum Secret {
    /// User and password.
    Basic(String, String),
    /// A token to be exchanged for access tokens.
    Identity(String),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// The secret for a repository, if there is one.
///
/// # Errors
/// When a configuration that is there cannot be read, or a helper that is named fails.
pub(super) async fn find(
    source: &Credentials,
    host: &str,
    repository: &str,
) -> Result<Option<Secret>, String> {
    let path = match source {
        Credentials::Anonymous => return Ok(None),
        Credentials::Basic { user, password } => {
            return Ok(Some(Secret::Basic(user.clone(), password.clone())));
        }
        Credentials::File(path) => path.clone(),
        Credentials::Docker => match docker_config_path() {
            Some(path) => path,
            None => return Ok(None),
        },
    };
    let told = |reason: String| format!("credentials file {}: {reason}", path.display());
    let bytes = match std::fs::metadata(&path) {
        Ok(meta) if meta.len() > LIMIT => return Err(told("larger than 4 MiB".to_owned())),
        Ok(_) => std::fs::read(&path).map_err(|e| told(e.to_string()))?,
        Err(e)
            if e.kind() == std::io::ErrorKind::NotFound
                && matches!(source, Credentials::Docker) =>
        {
            return Ok(None);
        }
        Err(e) => return Err(told(e.to_string())),
    };
    // A parse error would quote the file, and the file holds secrets.
    let config: DockerConfig = serde_json::from_slice(&bytes)
        .map_err(|e| told(format!("not valid JSON at line {}", e.line())))?;

    let server = server_name(host);
    if let Some((_, helper)) = best_match(&config.cred_helpers, host, repository) {
        return ask_helper(helper, server).await;
    }
    if let Some((_, entry)) = best_match(&config.auths, host, repository)
        && let Some(secret) = entry.secret().map_err(told)?
    {
        return Ok(Some(secret));
    }
    match &config.creds_store {
        Some(helper) if !helper.is_empty() => ask_helper(helper, server).await,
        _ => Ok(None),
    }
}

fn docker_config_path() -> Option<PathBuf> {
    let folder = match std::env::var_os("DOCKER_CONFIG") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => PathBuf::from(std::env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// The name Docker files its own registry's credentials under.
fn server_name(host: &str) -> &str {
    match host {
        "docker.io" | "registry-1.docker.io" => "https://index.docker.io/v1/",
        host => host,
    }
}

/// The entry whose key fits best: keys are hosts, URLs, or hosts with the beginning of a path.
fn best_match<'a, T>(
    entries: &'a BTreeMap<String, T>,
    host: &str,
    repository: &str,
) -> Option<(&'a String, &'a T)> {
    let wanted = format!("{host}/{repository}");
    entries
        .iter()
        .filter_map(|(key, entry)| {
            let name = bare_key(key);
            let fits = wanted
                .strip_prefix(name.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
            fits.then_some((name.len(), key, entry))
        })
        .max_by_key(|(length, ..)| *length)
        .map(|(_, key, entry)| (key, entry))
}

fn bare_key(key: &str) -> String {
    let name = key
        .strip_prefix("https://")
        .or_else(|| key.strip_prefix("http://"))
        .unwrap_or(key)
        .trim_end_matches('/');
    let name = name
        .strip_suffix("/v1")
        .or_else(|| name.strip_suffix("/v2"))
        .unwrap_or(name);
    match name {
        "index.docker.io" | "registry-1.docker.io" => "docker.io".to_owned(),
        name => name.to_owned(),
    }
}

impl Entry {
    fn secret(&self) -> Result<Option<Secret>, String> {
        if let Some(token) = self.identitytoken.as_deref().filter(|t| !t.is_empty()) {
            return Ok(Some(Secret::Identity(token.to_owned())));
        }
        if let Some(auth) = self.auth.as_deref().filter(|a| !a.is_empty()) {
            let text = STANDARD
                .decode(auth)
                .or_else(|_| STANDARD_NO_PAD.decode(auth))
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or("an \"auth\" entry is not base64 text")?;
            let (user, password) = text
                .split_once(':')
                .ok_or("an \"auth\" entry holds no user:password")?;
            // Some writers of the file end the password with a zero byte.
            let password = password.trim_end_matches('\0');
            return Ok(Some(Secret::Basic(user.to_owned(), password.to_owned())));
        }
        match (&self.username, &self.password) {
            (Some(user), Some(password)) => Ok(Some(Secret::Basic(user.clone(), password.clone()))),
            _ => Ok(None),
        }
    }
}

/// Asks a credential helper (`docker-credential-NAME get`, server on its input, JSON on its output).
async fn ask_helper(helper: &str, server: &str) -> Result<Option<Secret>, String> {
    let named = helper
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if !named || helper.is_empty() {
        return Err(format!(
            "credential helper {helper:?} is not a helper's name"
        ));
    }
    let program = format!("docker-credential-{helper}");
    let failed = |reason: String| format!("credential helper {program}: {reason}");
    let mut child = tokio::process::Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    if let Some(mut input) = child.stdin.take() {
        // A helper that ends without reading is judged by its answer.
        let _ = input.write_all(server.as_bytes()).await;
    }
    let output = tokio::time::timeout(HELPER_TIMEOUT, child.wait_with_output())
        .await
        .map_err(|_| failed("did not answer within 30 s".to_owned()))?
        .map_err(|e| failed(e.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        return if said.contains("credentials not found") {
            Ok(None)
        } else {
            Err(failed(format!("{}", output.status)))
        };
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
        .map_err(|_| failed("its answer is not what helpers answer".to_owned()))?;
    Ok(Some(if answer.username == "<token>" {
        Secret::Identity(answer.secret)
    } else {
        Secret::Basic(answer.username, answer.secret)
    }))
}

#[cfg(test)]
mod tests {

    use super::*;

    async fn basic(config: &str, host: &str, repository: &str) -> Option<(String, String)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, config).unwrap();
        match find(&Credentials::File(path), host, repository)
            .await
            .unwrap()?
        {
            Secret::Basic(user, password) => Some((user, password)),
            Secret::Identity(token) => Some(("<token>".to_owned(), token)),
        }
    }

    fn pair(user: &str, password: &str) -> Option<(String, String)> {
        Some((user.to_owned(), password.to_owned()))
    }

    #[tokio::test]
    async fn the_entry_that_fits_best_is_taken() {
        // "u:p", "team:t:x" and "hub:h" as docker login writes them.
        let config = r#"{"auths": {
            "registry.example": {"auth": "dTpw"},
            "registry.example/team": {"auth": "dGVhbTp0Ong="},
            "https://index.docker.io/v1/": {"auth": "aHViOmg="},
            "id.example": {"auth": "", "identitytoken": "abc"}
        }}"#;
        assert_eq!(
            basic(config, "registry.example", "other").await,
            pair("u", "p")
        );
        assert_eq!(
            basic(config, "registry.example", "team/app").await,
            pair("team", "t:x")
        );
        assert_eq!(
            basic(config, "registry.example", "teams").await,
            pair("u", "p")
        );
        assert_eq!(
            basic(config, "docker.io", "library/nginx").await,
            pair("hub", "h")
        );
        assert_eq!(
            basic(config, "id.example", "a").await,
            pair("<token>", "abc")
        );
        assert_eq!(basic(config, "registry.example.org", "a").await, None);
        assert_eq!(basic("{}", "registry.example", "a").await, None);
    }

    #[tokio::test]
    async fn helpers_that_cannot_be_asked_are_errors_that_hold_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        for (config, expected) in [
            (
                r#"{"credHelpers": {"r.example": "../../bin/sh"}}"#,
                "not a helper's name",
            ),
            (
                r#"{"credHelpers": {"r.example": "quench-none"}}"#,
                "docker-credential-quench-none",
            ),
            (
                r#"{"auths": {"r.example": {"auth": "c2VjcmV0"}}}"#,
                "no user:password",
            ),
            (
                r#"{"auths": {"r.example": {"password": s3cr3t}}}"#,
                "line 1",
            ),
        ] {
            std::fs::write(&path, config).unwrap();
            let error = find(&Credentials::File(path.clone()), "r.example", "a")
                .await
                .err()
                .unwrap();
            assert!(error.contains(expected), "{error}");
            assert!(
                !error.contains("s3cr3t") && !error.contains("c2VjcmV0"),
                "{error}"
            );
        }
    }
}
