//! Being the only one who makes a statement of a number.
//!
//! On one machine a lock of the store's folder is enough. Writers to a registry from several machines share nothing but
//! its tags, and no registry sets a tag only where there is none. So each writes a tag nobody else has, and then looks who
//! else wrote one: of two, at least the later sees the other. Whoever sees another gives way, says so by one more tag, and
//! tries again after a moment. A claim that nobody gives up and that no statement follows is of somebody who is no more:
//! after a while it is passed over.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use quench_content::{RefName, Store, StoreLock};
use quench_model::{Descriptor, Digest};

use super::{PROMOTIONS, StagingError};

/// How long the statement of another is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// Wait between two looks, at most.
const PAUSE: Duration = Duration::from_millis(400);

/// The right to make the next statements of one package and stage.
#[derive(Debug)]
pub(super) struct Claims<'a> {
    store: &'a Store,
    row: Digest,
    /// Claims that came to nothing.
    passed_over: BTreeSet<RefName>,
    waiting: Option<(u64, Instant)>,
}

impl<'a> Claims<'a> {
    pub(super) fn new(store: &'a Store, package: &str, stage: &str) -> Self {
        Self {
            store,
            // Neither has a line break.
            row: Digest::of(format!("{package}\n{stage}")),
            passed_over: BTreeSet::new(),
            waiting: None,
        }
    }

    /// Tries to become the one who makes statement `number` while the answer is held; none where somebody else may be
    /// at it: look again what stands then, and come back. `revision` is what a claim points to.
    pub(super) async fn take(
        &mut self,
        number: u64,
        revision: &Descriptor,
    ) -> Result<Option<StoreLock>, StagingError> {
        let lock = self.store.lock(PROMOTIONS).await?;
        if !self.store.is_shared() || self.is_alone(number, revision).await? {
            return Ok(Some(lock));
        }
        drop(lock);
        tokio::time::sleep(PAUSE.mul_f64(random_share()?)).await;
        Ok(None)
    }

    async fn is_alone(&mut self, number: u64, revision: &Descriptor) -> Result<bool, StagingError> {
        let others = self.others(number).await?;
        if !others.is_empty() {
            let now = Instant::now();
            let since = match self.waiting {
                Some((waited_for, since)) if waited_for == number => since,
                _ => now,
            };
            self.waiting = Some((number, since));
            if now - since < PATIENCE {
                return Ok(false);
            }
            tracing::warn!(
                number,
                place = self.store.place(),
                "somebody claimed to make this statement and did not"
            );
            self.passed_over.extend(others);
            self.waiting = None;
        }
        let own = RefName::claim(&self.row, number, random()?);
        self.store.tag(&own, revision).await?;
        self.passed_over.insert(own.clone());
        let is_alone = self.others(number).await?.is_empty();
        if !is_alone {
            self.store.tag(&own.given_up(), revision).await?;
        }
        Ok(is_alone)
    }

    async fn others(&self, number: u64) -> Result<BTreeSet<RefName>, StagingError> {
        let names = self
            .store
            .names(&RefName::claims_prefix(&self.row, number))
            .await?;
        let names: BTreeSet<RefName> = names.into_iter().collect();
        let is_open = |name: &&RefName| {
            // Saying that a claim is given up is no claim.
            !name.as_str().ends_with(".x")
                && !names.contains(&name.given_up())
                && !self.passed_over.contains(name)
        };
        Ok(names.iter().filter(is_open).cloned().collect())
    }
}

fn random() -> Result<u64, StagingError> {
    getrandom::u64().map_err(|e| StagingError::Refused(format!("no random numbers: {e}")))
}

/// A random number from 0 to 1.
fn random_share() -> Result<f64, StagingError> {
    let number = u32::try_from(random()? >> 32).unwrap_or_default();
    Ok(f64::from(number) / f64::from(u32::MAX))
}
