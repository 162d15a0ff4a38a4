//! Sending blobs and manifests.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt as _;
use quench_model::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use tokio_util::io::ReaderStream;

use super::auth::Scope;
use super::client::{Call, Failure, describe};
use super::repository::Repository;
use crate::StoreError;

/// Bytes read from a file at a time on its way out.
const CHUNK: usize = 128 << 10;

/// A file as a request's body, with its length. `sent` counts what was handed over, so that a slow registry can
/// be told from a dead one.
pub(super) fn body(path: &Path, sent: Arc<AtomicU64>) -> io::Result<(u64, reqwest::Body)> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let stream = ReaderStream::with_capacity(tokio::fs::File::from_std(file), CHUNK);
    let counted = stream.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            sent.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
    });
    Ok((length, reqwest::Body::wrap_stream(counted)))
}

/// What it took to get a blob into a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Nothing: it was there.
    Known,
    /// The registry took it out of another of its repositories.
    Mounted,
    /// Its bytes.
    Uploaded,
}

impl Repository {
    /// Sends a blob from a file, unless the repository has it. The registry verifies the digest.
    ///
    /// # Errors
    /// When the registry refuses it or cannot be reached.
    pub async fn push_blob(&self, descriptor: &Descriptor, path: &Path) -> Result<(), StoreError> {
        self.send_blob(descriptor, path, None).await.map(|_| ())
    }

    /// As [`Repository::push_blob`], but lets the registry take the blob out of another of its repositories
    /// where `from` names one that has it. Tells what was needed.
    ///
    /// # Errors
    /// As [`Repository::push_blob`]. A registry that does not mount gets the bytes.
    pub async fn send_blob(
        &self,
        descriptor: &Descriptor,
        path: &Path,
        from: Option<&str>,
    ) -> Result<Sent, StoreError> {
        if self.has(descriptor).await? {
            return Ok(Sent::Known);
        }
        let client = self.client();
        let host = self.host().await?;
        let subject = self.subject(&descriptor.digest.to_string());
        if let Some(from) = from.filter(|from| *from != self.name())
            && self.mount(descriptor, from).await?
        {
            return Ok(Sent::Mounted);
        }
        let scope = self.scope(true);
        let mut start = Call::new(
            Method::POST,
            self.url("blobs/uploads/").await?,
            "push",
            &subject,
        )
        .header(CONTENT_LENGTH, HeaderValue::from_static("0"));
        start.bytes = Some(&[]);
        let mut attempt = 0;
        // A failed upload begins anew: its session may be gone with the connection.
        loop {
            attempt += 1;
            let session = client.call(&host, &scope, &start).await?;
            if session.status() != StatusCode::ACCEPTED {
                return Err(host.refused(&start, session, client.stall()).await);
            }
            let url = upload_url(session.headers().get(LOCATION), &start.url, descriptor)
                .ok_or_else(|| {
                    host.error(&start, "it gives no place to upload to".to_owned(), None)
                })?;
            drop(session);
            let mut put = Call::new(Method::PUT, url, "push", &subject).header(
                CONTENT_TYPE,
                HeaderValue::from_static("application/octet-stream"),
            );
            put.file = Some(path);
            match client.once(&host, &scope, &put).await {
                Ok(response) if response.status() == StatusCode::CREATED => {
                    return Ok(Sent::Uploaded);
                }
                // The session ended before the upload did.
                Ok(response) if response.status() == StatusCode::NOT_FOUND => {
                    let failure = Failure::Passing("the upload session is gone".to_owned(), None);
                    client.back_off(&host, &put, failure, attempt).await?;
                }
                Ok(response) => return Err(host.refused(&put, response, client.stall()).await),
                Err(failure) => client.back_off(&host, &put, failure, attempt).await?,
            }
        }
    }

    /// Asks the registry to take a blob out of another of its repositories. False where it would rather have the
    /// bytes: it does not mount, or does not let us read there.
    async fn mount(&self, descriptor: &Descriptor, from: &str) -> Result<bool, StoreError> {
        let host = self.host().await?;
        let mut url = self.url("blobs/uploads/").await?;
        url.query_pairs_mut()
            .append_pair("mount", &descriptor.digest.to_string())
            .append_pair("from", from);
        let subject = self.subject(&descriptor.digest.to_string());
        let mut call = Call::new(Method::POST, url, "mount", &subject)
            .header(CONTENT_LENGTH, HeaderValue::from_static("0"));
        call.bytes = Some(&[]);
        let scope = Scope {
            from: Some(from.to_owned()),
            ..self.scope(true)
        };
        let response = self.client().call(&host, &scope, &call).await?;
        Ok(response.status() == StatusCode::CREATED)
    }

    /// Sends a manifest or index under a tag or its digest. What it lists must be there.
    ///
    /// # Errors
    /// When the registry refuses it or cannot be reached.
    pub async fn push_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let client = self.client();
        let host = self.host().await?;
        let url = self.url(&format!("manifests/{reference}")).await?;
        let mut call = Call::new(Method::PUT, url, "push", &self.subject(reference));
        let content_type =
            HeaderValue::from_str(media_type).map_err(|_| StoreError::Malformed {
                what: format!("media type {media_type:?}"),
                reason: "it is no header value".to_owned(),
            })?;
        call.headers.insert(CONTENT_TYPE, content_type);
        call.bytes = Some(bytes);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let response = client.call(&host, &self.scope(true), &call).await?;
            if response.status().is_success() {
                return Ok(());
            }
            let bad_request = response.status() == StatusCode::BAD_REQUEST
                || response.status() == StatusCode::NOT_FOUND;
            let reason = describe(response, client.stall()).await;
            // A registry over plain files reads what another writer has half written (seen with
            // docker-registry 2.8: 400 DIGEST_INVALID while the same manifest is put twice at once), and a
            // replica may not have the blobs yet that were put a moment ago.
            let passing = bad_request
                && ["DIGEST_INVALID", "BLOB_UNKNOWN", "MANIFEST_UNKNOWN"]
                    .iter()
                    .any(|code| reason.contains(code));
            let failure = if passing {
                Failure::Passing(reason, None)
            } else {
                Failure::Lasting(reason)
            };
            client.back_off(&host, &call, failure, attempt).await?;
        }
    }
}

fn upload_url(location: Option<&HeaderValue>, base: &Url, descriptor: &Descriptor) -> Option<Url> {
    let mut url = base.join(location?.to_str().ok()?).ok()?;
    url.query_pairs_mut()
        .append_pair("digest", &descriptor.digest.to_string());
    Some(url)
}
