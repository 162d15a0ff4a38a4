//! The engine.

use std::collections::{BTreeMap, BTreeSet};

use quench_advisories::Epoch;
use quench_model::{
    Cause, CauseKind, Digest, Finding, FindingId, FindingKind, FindingState, Level, Severity,
    Subject,
};
use quench_package::{
    Context, Disposition, EngineError, Package, current_findings, replace_findings,
};

use crate::change::{
    FindingChange, NOT_LOOKED_AT_AGAIN, Transition, depends_on_epoch, merged, transition,
};
use crate::delta::{Delta, PackagesByPurl};
use crate::index::{Index, Known};
use crate::stored::{Held, current, findings_manifest, found, held};

/// The rescheduler's engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rescheduler;

impl Rescheduler {
    /// An engine.
    pub fn new() -> Self {
        Self
    }

    /// Brings the findings of all stored packages from the epoch `old`, which was in force, to the epoch `new`; gives every
    /// finding whose state changed. What it did before it does not do again.
    ///
    /// With `old` and `new` the same it looks only at revisions it has not seen yet, or whose findings somebody else
    /// wrote since: that is cheap, and what to do after a level has made a new revision.
    ///
    /// # Errors
    /// When the store or an epoch fails. A package whose images cannot be read gets a finding that says so.
    pub async fn apply_epoch(
        &self,
        old: Option<&Epoch>,
        new: &Epoch,
        context: &Context,
    ) -> Result<Vec<FindingChange>, EngineError> {
        let mut all = Vec::new();
        self.apply_epoch_each(old, new, context, async |changes| {
            all.extend_from_slice(changes);
            Ok(())
        })
        .await?;
        Ok(all)
    }

    /// As [`Rescheduler::apply_epoch`], giving the changes of each package to `deliver` before they count as done: should
    /// the process end in between, they are given again.
    ///
    /// # Errors
    /// As [`Rescheduler::apply_epoch`], and what `deliver` fails with.
    pub async fn apply_epoch_each<D>(
        &self,
        old: Option<&Epoch>,
        new: &Epoch,
        context: &Context,
        mut deliver: D,
    ) -> Result<(), EngineError>
    where
        D: AsyncFnMut(&[FindingChange]) -> Result<(), EngineError>,
    {
        let store = &context.store;
        let packages = current(store).await?;
        let index = Index::open(&store.cache_dir().join("rescheduler"))?;
        let lists = index.revisions()?;
        let newest: BTreeSet<&Digest> = packages.iter().map(|p| &p.revision.digest).collect();
        for (revision, numbers) in &lists {
            if !newest.contains(revision) {
                index.remove(revision, numbers)?;
            }
        }
        // What changed says enough only where everything known was looked at under `old`.
        let seen_under = index.epoch()?;
        let same = seen_under.as_ref() == Some(new.digest());
        let trusted = old.is_some_and(|old| seen_under.as_ref() == Some(old.digest()));
        let delta = match old {
            Some(old) => Delta::between(old, new)?,
            None => Delta::default(),
        };
        let touched = match old {
            Some(old) if trusted => delta.touched(&index, old, new)?,
            _ => BTreeSet::new(),
        };
        context.progress.start("look again", packages.len() as u64);
        for package in &packages {
            context.check_cancelled()?;
            let revision = &package.revision.digest;
            let before = Known {
                findings: findings_manifest(store, revision).await?,
            };
            let known = index.known(revision)?.as_ref() == Some(&before);
            if !(known && (same || trusted && !touched.contains(revision))) {
                let numbers = lists.get(revision).map_or(&[][..], Vec::as_slice);
                let indexed = index.known(revision)?.is_some();
                let looked = look(package, new, &delta, context).await?;
                if let Some(held) = &looked.held
                    && !indexed
                {
                    let inventories: Vec<_> =
                        held.iter().map(|held| held.inventory.clone()).collect();
                    index.put(revision, numbers, &inventories)?;
                }
                let Transition {
                    mut findings,
                    changes,
                    differs,
                } = looked.transition;
                if !changes.is_empty() {
                    deliver(&changes).await?;
                }
                if differs {
                    replace_findings(store, &package.revision, package.level, &mut findings)
                        .await?;
                }
                let known = Known {
                    findings: findings_manifest(store, revision).await?,
                };
                // A package that could not be looked at stays unknown, and is tried again every time.
                index.know(revision, looked.held.is_some().then_some(&known))?;
            }
            context.progress.advance(1);
        }
        context.progress.finish();
        index.set_epoch(new.digest())
    }

    /// Looks at everything under an epoch and gives what would change. After [`Rescheduler::apply_epoch`] with that epoch this
    /// is nothing; whatever it is, is a fault in the increments. Stores nothing.
    ///
    /// # Errors
    /// As [`Rescheduler::apply_epoch`].
    pub async fn sweep(
        &self,
        epoch: &Epoch,
        context: &Context,
    ) -> Result<Vec<FindingChange>, EngineError> {
        let mut all = Vec::new();
        let delta = Delta::default();
        for package in current(&context.store).await? {
            context.check_cancelled()?;
            let looked = look(&package, epoch, &delta, context).await?;
            all.extend(looked.transition.changes);
        }
        Ok(all)
    }
}

/// A package seen under an epoch.
struct Looked {
    /// What its images hold; nothing when they could not be read.
    held: Option<Vec<Held>>,
    transition: Transition,
}

async fn look(
    package: &Package,
    epoch: &Epoch,
    delta: &Delta,
    context: &Context,
) -> Result<Looked, EngineError> {
    let revision = &package.revision.digest;
    let stored = current_findings(&context.store, package).await?;
    let looked = async {
        let held = held(package, context).await?;
        let found = found(package, &held, epoch, &context.store).await?;
        Ok((held, found))
    };
    match looked.await {
        Ok((held, found)) => {
            let packages = PackagesByPurl::of(&held);
            let transition = transition(revision, stored, found, |old, new| {
                delta.cause(&packages, old, new, epoch.digest())
            });
            Ok(Looked {
                held: Some(held),
                transition,
            })
        }
        Err(error) => match EngineError::disposition(&error) {
            Disposition::Retry { .. } => Err(error),
            Disposition::Reject { reason } => {
                tracing::error!(package = %package.name, %revision, reason, "package could not be looked at again");
                let found = unreadable(package, &stored, reason);
                let transition = transition(revision, stored, found, |_, _| Cause {
                    kind: CauseKind::Rescan,
                    detail: "its images could not be read".to_owned(),
                    epoch: Some(epoch.digest().clone()),
                });
                Ok(Looked {
                    held: None,
                    transition,
                })
            }
        },
    }
}

/// All that was known stays as it was, and one finding more says that nobody knows better.
fn unreadable(
    package: &Package,
    stored: &[Finding],
    reason: String,
) -> BTreeMap<FindingId, Finding> {
    let subject = Subject {
        package: package.name.clone(),
        image: None,
        purl: None,
        location: None,
    };
    let mut finding = Finding::opened(
        FindingKind::Completeness,
        NOT_LOOKED_AT_AGAIN,
        subject,
        Severity::Medium,
        Level::Secured,
        "not checked against the newest advisories",
    );
    finding.message = reason;
    merged(
        stored
            .iter()
            .filter(|finding| depends_on_epoch(finding) && finding.state != FindingState::Resolved)
            .filter(|finding| finding.canonical_id != NOT_LOOKED_AT_AGAIN)
            .cloned()
            .chain([finding]),
    )
}
