//! A repository: asking for and reading what it holds.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use quench_model::{Descriptor, Digest, media_type};
use reqwest::header::{
    ACCEPT, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderValue, LINK, RANGE,
};
use reqwest::{Method, Response, StatusCode, Url};

use super::auth::Scope;
use super::client::{Call, Failure, RegistryClient, RegistryHost};
use super::connection::connection_failure;
use super::reach::Origin;
use crate::{BlobWriter, Store, StoreError};

/// Forms of manifests that are asked for.
const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, \
     application/vnd.docker.distribution.manifest.list.v2+json";

/// Most bytes of one page of tags.
const TAG_PAGE_LIMIT: u64 = 64 << 20;
/// Most pages of tags: with the thousand asked for on each, ten million.
const TAG_PAGES: usize = 10_000;

/// A repository of a registry. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository {
    client: RegistryClient,
    registry: Arc<str>,
    name: Arc<str>,
}

/// Told how many bytes more have come.
pub type OnBytes<'a> = &'a (dyn Fn(u64) + Send + Sync);

impl Repository {
    pub(super) fn new(client: RegistryClient, registry: &str, name: &str) -> Self {
        Self {
            client,
            registry: registry.into(),
            name: name.into(),
        }
    }

    /// Its path within the registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Registry and repository, for messages.
    pub fn place(&self) -> String {
        format!("{}/{}", self.registry, self.name)
    }

    pub(super) fn client(&self) -> &RegistryClient {
        &self.client
    }

    pub(super) async fn host(&self) -> Result<Arc<RegistryHost>, StoreError> {
        self.client.host(&self.registry).await
    }

    pub(super) fn scope(&self, write: bool) -> Scope {
        Scope {
            repository: self.name.to_string(),
            write,
            from: None,
        }
    }

    pub(super) fn subject(&self, what: &str) -> String {
        let separator = if what.contains(':') { '@' } else { ':' };
        format!("{}{separator}{what}", self.name)
    }

    pub(super) async fn url(&self, path: &str) -> Result<Url, StoreError> {
        let base = &self.host().await?.base;
        base.join(&format!("{}/{path}", self.name))
            .map_err(|e| StoreError::Malformed {
                what: format!("repository {:?}", self.place()),
                reason: e.to_string(),
            })
    }

    /// What a tag or digest names: media type, digest and size. None when the repository does not have it.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached, or answers what is no manifest.
    pub async fn resolve(&self, reference: &str) -> Result<Option<Descriptor>, StoreError> {
        let host = self.host().await?;
        let call = self.manifest_call(Method::HEAD, reference).await?;
        let response = self.client.call(&host, &self.scope(false), &call).await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            _ => return Err(host.refused(&call, response, self.client.stall()).await),
        }
        let header = |name: &str| response.headers().get(name)?.to_str().ok();
        let digest = header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        let size = header(CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
        let media_type = header(CONTENT_TYPE.as_str()).map(bare_media_type);
        match (digest, size, media_type) {
            (Some(digest), Some(size), Some(media_type)) if media_type::is_manifest(media_type) => {
                Ok(Some(descriptor(media_type, digest, size)))
            }
            // Registries may leave those headers out of a HEAD.
            _ => Ok(self.manifest(reference).await?.map(|(found, _)| found)),
        }
    }

    /// Reads a manifest or index by tag or digest. None when the repository does not have it.
    ///
    /// # Errors
    /// As [`Repository::resolve`], and when it is larger than registries must accept.
    pub async fn manifest(
        &self,
        reference: &str,
    ) -> Result<Option<(Descriptor, Vec<u8>)>, StoreError> {
        let host = self.host().await?;
        let call = self.manifest_call(Method::GET, reference).await?;
        let scope = self.scope(false);
        let answer = self
            .client
            .document(&host, &scope, &call, crate::MANIFEST_LIMIT)
            .await?;
        let Some((content_type, bytes)) = answer else {
            return Ok(None);
        };
        let digest = Digest::of(&bytes);
        if let Ok(expected) = reference.parse::<Digest>()
            && expected != digest
        {
            return Err(StoreError::WrongDigest {
                expected,
                actual: digest,
                place: self.place(),
            });
        }
        let media_type = manifest_type(content_type.as_deref(), &bytes).map_err(|reason| {
            StoreError::Malformed {
                what: format!("manifest {}", self.subject(reference)),
                reason,
            }
        })?;
        let size = bytes.len() as u64;
        Ok(Some((descriptor(&media_type, digest, size), bytes)))
    }

    async fn manifest_call(
        &self,
        method: Method,
        reference: &str,
    ) -> Result<Call<'static>, StoreError> {
        let url = self.url(&format!("manifests/{reference}")).await?;
        let call = Call::new(method, url, "read", &self.subject(reference));
        Ok(call.header(ACCEPT, HeaderValue::from_static(ACCEPTED)))
    }

    /// Whether the repository has a blob or manifest.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached.
    pub async fn has(&self, descriptor: &Descriptor) -> Result<bool, StoreError> {
        let host = self.host().await?;
        let digest = descriptor.digest.to_string();
        let call = if descriptor.is_manifest() {
            self.manifest_call(Method::HEAD, &digest).await?
        } else {
            let url = self.url(&format!("blobs/{digest}")).await?;
            Call::new(Method::HEAD, url, "look for", &self.subject(&digest))
        };
        let response = self.client.call(&host, &self.scope(false), &call).await?;
        match response.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(host.refused(&call, response, self.client.stall()).await),
        }
    }

    /// Reads a blob or manifest into a staging file of `store` and verifies it on the way. None when the
    /// repository does not have it. A connection that breaks is taken up where it broke, and so is what a killed process
    /// had begun.
    ///
    /// # Errors
    /// When the registry refuses, cannot be reached, or gives other bytes than the descriptor names.
    pub async fn download(
        &self,
        descriptor: &Descriptor,
        store: &Store,
        on_bytes: OnBytes<'_>,
    ) -> Result<Option<BlobWriter>, StoreError> {
        if descriptor.is_manifest() {
            let mut writer = store.writer()?;
            let Some((_, bytes)) = self.manifest(&descriptor.digest.to_string()).await? else {
                return Ok(None);
            };
            writer
                .write_all(&bytes)
                .map_err(StoreError::io("write", PathBuf::from(store.place())))?;
            on_bytes(bytes.len() as u64);
            return Ok(Some(writer));
        }
        let host = self.host().await?;
        let url = self.url(&format!("blobs/{}", descriptor.digest)).await?;
        let mut writer = store.resume(descriptor).await?;
        let mut attempt = 0;
        let mut reached = writer.written();
        let mut resumed = reached > 0;
        on_bytes(reached);
        if resumed && reached == descriptor.size {
            if writer.digest() == descriptor.digest {
                return Ok(Some(writer));
            }
            drop(writer);
            writer = store.writer()?;
            resumed = false;
        }
        loop {
            attempt += 1;
            let subject = self.subject(&descriptor.digest.to_string());
            let mut call = Call::new(Method::GET, url.clone(), "read", &subject);
            if writer.written() > 0 {
                let range = format!("bytes={}-", writer.written());
                if let Ok(range) = HeaderValue::from_str(&range) {
                    call.headers.insert(RANGE, range);
                }
            }
            let failure = match self.client.once(&host, &self.scope(false), &call).await {
                Ok(response) => match response.status() {
                    StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
                        if !continues(&response, writer.written()) {
                            writer = store.writer()?;
                        }
                        match self
                            .stream(response, descriptor, &mut writer, store, on_bytes)
                            .await?
                        {
                            // What was left behind may have been damaged since: that is not the registry's doing.
                            Ok(()) if resumed && writer.digest() != descriptor.digest => {
                                drop(writer);
                                writer = store.writer()?;
                                resumed = false;
                                continue;
                            }
                            Ok(()) => return self.checked(descriptor, writer).map(Some),
                            Err(failure) => failure,
                        }
                    }
                    StatusCode::NOT_FOUND => return Ok(None),
                    StatusCode::RANGE_NOT_SATISFIABLE if writer.written() > 0 => {
                        drop(writer);
                        writer = store.writer()?;
                        resumed = false;
                        continue;
                    }
                    _ => return Err(host.refused(&call, response, self.client.stall()).await),
                },
                Err(failure) => failure,
            };
            // A connection that brought something was worth its try.
            if writer.written() > reached {
                reached = writer.written();
                attempt = attempt.min(1);
            }
            self.client.back_off(&host, &call, failure, attempt).await?;
        }
    }

    async fn stream(
        &self,
        mut response: Response,
        descriptor: &Descriptor,
        writer: &mut BlobWriter,
        store: &Store,
        on_bytes: OnBytes<'_>,
    ) -> Result<Result<(), Failure>, StoreError> {
        loop {
            match tokio::time::timeout(self.client.stall(), response.chunk()).await {
                Ok(Ok(Some(chunk))) => {
                    let after = writer.written() + chunk.len() as u64;
                    if after > descriptor.size {
                        return Err(self.wrong_size(descriptor, after));
                    }
                    writer
                        .write_all(&chunk)
                        .map_err(StoreError::io("write", PathBuf::from(store.place())))?;
                    on_bytes(chunk.len() as u64);
                }
                Ok(Ok(None)) => return Ok(Ok(())),
                Ok(Err(error)) => return Ok(Err(connection_failure(&error))),
                Err(_) => {
                    let seconds = self.client.stall().as_secs_f32();
                    return Ok(Err(Failure::Passing(
                        format!("no byte for {seconds} s"),
                        None,
                    )));
                }
            }
        }
    }

    fn checked(
        &self,
        descriptor: &Descriptor,
        writer: BlobWriter,
    ) -> Result<BlobWriter, StoreError> {
        if writer.written() != descriptor.size {
            return Err(self.wrong_size(descriptor, writer.written()));
        }
        let actual = writer.digest();
        if actual == descriptor.digest {
            Ok(writer)
        } else {
            Err(StoreError::WrongDigest {
                expected: descriptor.digest.clone(),
                actual,
                place: self.place(),
            })
        }
    }

    fn wrong_size(&self, descriptor: &Descriptor, actual: u64) -> StoreError {
        StoreError::WrongSize {
            digest: descriptor.digest.clone(),
            expected: descriptor.size,
            actual,
            place: self.place(),
        }
    }

    /// Reads a small blob whole, and verifies it. None when the repository does not have it.
    ///
    /// # Errors
    /// As [`Repository::download`].
    pub async fn read_blob(
        &self,
        descriptor: &Descriptor,
        on_bytes: OnBytes<'_>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let host = self.host().await?;
        let url = self.url(&format!("blobs/{}", descriptor.digest)).await?;
        let subject = self.subject(&descriptor.digest.to_string());
        let call = Call::new(Method::GET, url, "read", &subject);
        let scope = self.scope(false);
        let answer = self
            .client
            .document(&host, &scope, &call, descriptor.size)
            .await?;
        let Some((_, bytes)) = answer else {
            return Ok(None);
        };
        on_bytes(bytes.len() as u64);
        if bytes.len() as u64 != descriptor.size {
            return Err(self.wrong_size(descriptor, bytes.len() as u64));
        }
        let actual = Digest::of(&bytes);
        if actual == descriptor.digest {
            Ok(Some(bytes))
        } else {
            Err(StoreError::WrongDigest {
                expected: descriptor.digest.clone(),
                actual,
                place: self.place(),
            })
        }
    }

    /// Refuses a registry that lies farther into the network than where it was named; gives what may be named by what
    /// it holds.
    ///
    /// # Errors
    /// It lies there, or its name is none.
    pub async fn reached_from(&self, named_by: Origin) -> Result<Origin, StoreError> {
        let own = self.host().await?.origin();
        if own.and(named_by) == own {
            return Ok(own);
        }
        Err(StoreError::Malformed {
            what: format!("registry {}", self.registry),
            reason: "it lies farther into the network than where it was named, which is refused"
                .to_owned(),
        })
    }

    /// All tags of the repository, in the registry's order. None are an empty list.
    ///
    /// # Errors
    /// When the registry refuses, cannot be reached, or its pages do not end.
    pub async fn tags(&self) -> Result<Vec<String>, StoreError> {
        #[derive(serde::Deserialize)]
        struct Page {
            tags: Option<Vec<String>>,
        }
        let host = self.host().await?;
        let mut url = self.url("tags/list?n=1000").await?;
        let mut tags = Vec::new();
        for _ in 0..TAG_PAGES {
            let call = Call::new(Method::GET, url.clone(), "list the tags of", &self.name);
            let response = self.client.call(&host, &self.scope(false), &call).await?;
            match response.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(tags),
                _ => return Err(host.refused(&call, response, self.client.stall()).await),
            }
            let next = next_page(&response, &url);
            let scope = self.scope(false);
            let bytes = self
                .client
                .body(&host, &scope, &call, response, TAG_PAGE_LIMIT)
                .await?;
            let page: Page = serde_json::from_slice(&bytes).map_err(|e| StoreError::Malformed {
                what: format!("list of tags of {}", self.place()),
                reason: e.to_string(),
            })?;
            tags.extend(page.tags.unwrap_or_default());
            match next {
                Some(next) if next.origin() == url.origin() && next != url => url = next,
                Some(_) => {
                    let reason = "its next page of tags lies on another host".to_owned();
                    return Err(host.error(&call, reason, None));
                }
                None => return Ok(tags),
            }
        }
        Err(StoreError::Malformed {
            what: format!("list of tags of {}", self.place()),
            reason: format!("more than {TAG_PAGES} pages"),
        })
    }
}

fn descriptor(media_type: &str, digest: Digest, size: u64) -> Descriptor {
    Descriptor {
        media_type: media_type.to_owned(),
        digest,
        size,
        artifact_type: None,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
    }
}

fn bare_media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The media type of a manifest, from what the registry says and what the manifest says of itself. They may
/// not contradict each other: bytes that are an index to one reader and a manifest to the next could show
/// each of them another image (CVE-2021-41190).
fn manifest_type(content_type: Option<&str>, bytes: &[u8]) -> Result<String, String> {
    let document: serde_json::Value = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
    let own = document.get("mediaType").and_then(|value| value.as_str());
    let said = content_type.map(bare_media_type);
    let media_type = match (own, said) {
        (Some(own), Some(said)) if media_type::is_manifest(said) && own != said => {
            return Err(format!(
                "it calls itself {own:?}, the registry calls it {said:?}"
            ));
        }
        (Some(own), _) => own,
        (None, Some(said)) => said,
        (None, None) => "",
    };
    let (lists, layers) = (document.get("manifests"), document.get("layers"));
    if lists.is_some() && layers.is_some() {
        return Err("it has both layers and manifests".to_owned());
    }
    if media_type::is_manifest(media_type) {
        return Ok(media_type.to_owned());
    }
    match (own, lists, layers) {
        (None, Some(_), _) => Ok(media_type::INDEX.to_owned()),
        (None, _, Some(_)) if document.get("config").is_some() => {
            Ok(media_type::MANIFEST.to_owned())
        }
        _ => Err(format!(
            "manifests of type {media_type:?} are not supported"
        )),
    }
}

/// Whether an answer goes on after `written` bytes.
fn continues(response: &Response, written: u64) -> bool {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return written == 0;
    }
    response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.strip_prefix("bytes "))
        .and_then(|text| text.split('-').next()?.parse::<u64>().ok())
        == Some(written)
}

/// The next page's address out of a `Link` header (RFC 8288): `<url>; rel="next"`.
pub(super) fn next_page(response: &Response, base: &Url) -> Option<Url> {
    let link = response.headers().get(LINK)?.to_str().ok()?;
    let (target, parameters) = link.strip_prefix('<')?.split_once('>')?;
    parameters
        .contains("next")
        .then(|| base.join(target).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_must_be_one_thing_to_every_reader() {
        let manifest = br#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{},"layers":[]}"#;
        assert_eq!(manifest_type(None, manifest).unwrap(), media_type::MANIFEST);
        let index = manifest_type(Some(media_type::INDEX), manifest).unwrap_err();
        assert!(index.contains("calls itself"), "{index}");
        let both = br#"{"manifests":[],"config":{},"layers":[]}"#;
        assert!(manifest_type(Some(media_type::INDEX), both).is_err());
        let untyped = br#"{"config":{},"layers":[]}"#;
        assert_eq!(
            manifest_type(Some("text/plain"), untyped).unwrap(),
            media_type::MANIFEST
        );
        let schema1 = br#"{"schemaVersion":1,"fsLayers":[]}"#;
        let old = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        assert!(manifest_type(Some(old), schema1).unwrap_err().contains(old));
    }
}
