//! What is attached to a manifest in a registry: the fallback index of the distribution-spec 1.1.

use std::time::Duration;

use quench_model::{Descriptor, Digest, media_type};

use super::repository::Repository;
use crate::artefact::Index;
use crate::{RefName, StoreError};

/// Tries to get an entry into an index of referrers that others write at the same time.
const ATTEMPTS: u32 = 8;

impl Repository {
    /// Sends a referrer under a tag of its own and lists it with its subject, so that it is found with and without the
    /// referrers API, and no registry collects it.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached.
    pub async fn attach(
        &self,
        subject: &Digest,
        referrer: &Descriptor,
        bytes: &[u8],
    ) -> Result<(), StoreError> {
        let own = RefName::referrer(subject, &referrer.digest);
        let there = self.resolve(own.as_str()).await?;
        if there.is_none_or(|there| there.digest != referrer.digest) {
            self.push_manifest(own.as_str(), &referrer.media_type, bytes)
                .await?;
        }
        self.list_referrer(subject, referrer).await
    }

    /// Gets an entry into the fallback index. Registries cannot change a tag only if it is unchanged, so two writers can
    /// take each other's entry out again: each looks whether its own is still there.
    pub(super) async fn list_referrer(
        &self,
        subject: &Digest,
        referrer: &Descriptor,
    ) -> Result<(), StoreError> {
        for attempt in 1..=ATTEMPTS {
            let mut listed = self.listed_by_tag(subject).await?;
            if listed.iter().any(|d| d.digest == referrer.digest) {
                return Ok(());
            }
            listed.push(referrer.clone());
            listed.sort_by(|a, b| a.digest.cmp(&b.digest));
            let bytes =
                serde_json::to_vec(&Index::of(listed)).map_err(|e| StoreError::Malformed {
                    what: "index of referrers".to_owned(),
                    reason: e.to_string(),
                })?;
            let name = RefName::referrers(subject);
            self.push_manifest(name.as_str(), media_type::INDEX, &bytes)
                .await?;
            let wait = Duration::from_millis(5).saturating_mul(attempt * attempt);
            tokio::time::sleep(wait.mul_f64(fastrand::f64())).await;
        }
        let listed = self.listed_by_tag(subject).await?;
        if !listed.iter().any(|d| d.digest == referrer.digest) {
            tracing::warn!(
                %subject, referrer = %referrer.digest, place = self.place(),
                "the index of referrers is being overwritten by others; the referrer is kept under its own tag"
            );
        }
        Ok(())
    }
}
