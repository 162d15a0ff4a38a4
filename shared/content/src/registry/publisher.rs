//! What an image's publisher attached to it: signatures, attestations, SBOMs.
//!
//! There are three ways to attach, and all are in use: the referrers API of the distribution-spec 1.1 ("Listing
//! Referrers"), the fallback index under the tag `sha256-<subject>` for registries without that API, and the tags
//! `sha256-<subject>.sig`, `.att` and `.sbom` of cosign.

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use quench_model::{Descriptor, Digest};
use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, StatusCode};

use super::client::Call;
use super::repository::{Repository, next_page};
use crate::artefact::Index;
use crate::{MANIFEST_LIMIT, RefName, StoreError};

/// Suffixes of cosign's tags.
pub const COSIGN_SUFFIXES: [&str; 3] = ["att", "sbom", "sig"];
/// Most pages of referrers, and most referrers of one manifest.
const PAGES: usize = 100;
const REFERRERS: usize = 1_000;

/// Something attached to a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// What it is attached to.
    pub subject: Digest,
    /// Its manifest. What lists it may state its artefact type and annotations.
    pub descriptor: Descriptor,
    /// The tag it is found by, where it is not listed as a referrer.
    pub tag: Option<RefName>,
}

impl Repository {
    /// What is attached to a manifest, referrers first.
    ///
    /// # Errors
    /// When the registry cannot be asked, or lists more than anybody attaches.
    pub async fn attached(&self, subject: &Digest) -> Result<Vec<Attached>, StoreError> {
        let listed = match self.listed_by_api(subject).await? {
            Some(listed) => listed,
            None => self.listed_by_tag(subject).await?,
        };
        if listed.len() > REFERRERS {
            return Err(StoreError::Malformed {
                what: format!("list of referrers of {}@{subject}", self.place()),
                reason: format!(
                    "it lists {}; at most {REFERRERS} are accepted",
                    listed.len()
                ),
            });
        }
        let mut attached: Vec<Attached> = listed
            .into_iter()
            .filter(Descriptor::is_manifest)
            .map(|descriptor| Attached {
                subject: subject.clone(),
                descriptor,
                tag: None,
            })
            .collect();
        let tags = COSIGN_SUFFIXES.map(|suffix| self.tagged(subject, suffix));
        let tagged: Vec<Option<Attached>> = stream::iter(tags)
            .buffered(COSIGN_SUFFIXES.len())
            .try_collect()
            .await?;
        attached.extend(tagged.into_iter().flatten());
        Ok(attached)
    }

    async fn tagged(&self, subject: &Digest, suffix: &str) -> Result<Option<Attached>, StoreError> {
        let Ok(tag) = format!("{}.{suffix}", RefName::referrers(subject)).parse::<RefName>() else {
            return Ok(None);
        };
        let found = self.resolve(tag.as_str()).await?;
        Ok(found.map(|descriptor| Attached {
            subject: subject.clone(),
            descriptor,
            tag: Some(tag),
        }))
    }

    /// What the referrers API lists; none where the registry has no such API.
    async fn listed_by_api(&self, subject: &Digest) -> Result<Option<Vec<Descriptor>>, StoreError> {
        let host = self.host().await?;
        let scope = self.scope(false);
        let mut url = self.url(&format!("referrers/{subject}")).await?;
        let mut listed = Vec::new();
        for _ in 0..PAGES {
            let what = self.subject(&subject.to_string());
            let call = Call::new(Method::GET, url.clone(), "list the referrers of", &what).header(
                ACCEPT,
                HeaderValue::from_static(quench_model::media_type::INDEX),
            );
            let client = self.client();
            let response = client.call(&host, &scope, &call).await?;
            match response.status() {
                StatusCode::OK => {}
                // Registries from before this API answer all sorts of refusals to an unknown path.
                status if status.is_client_error() || status == StatusCode::NOT_IMPLEMENTED => {
                    return Ok(None);
                }
                _ => return Err(host.refused(&call, response, client.stall()).await),
            }
            let next = next_page(&response, &url);
            let bytes = client
                .body(&host, &scope, &call, response, MANIFEST_LIMIT)
                .await?;
            // A page of a web interface is no list either.
            let Ok(index) = serde_json::from_slice::<Index>(&bytes) else {
                return Ok(None);
            };
            listed.extend(index.manifests);
            match next {
                Some(next) if next.origin() == url.origin() && next != url => url = next,
                _ => return Ok(Some(listed)),
            }
            if listed.len() > REFERRERS {
                break;
            }
        }
        Ok(Some(listed))
    }

    /// What the fallback index lists.
    pub(super) async fn listed_by_tag(
        &self,
        subject: &Digest,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let tag = RefName::referrers(subject);
        let Some((descriptor, bytes)) = self.manifest(tag.as_str()).await? else {
            return Ok(Vec::new());
        };
        if !descriptor.is_index() {
            return Ok(Vec::new());
        }
        let index: Index = serde_json::from_slice(&bytes).map_err(|e| StoreError::Malformed {
            what: format!("index of referrers {}", descriptor.digest),
            reason: e.to_string(),
        })?;
        Ok(index.manifests)
    }
}
