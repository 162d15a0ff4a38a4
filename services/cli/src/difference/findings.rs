//! Findings that came and went.

use anyhow::Result;
use quench_content::Store;
use quench_model::Finding;
use quench_package::{Package, current_findings};
use serde::Serialize;

/// Findings that are open in one of two packages alone.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingsDifference {
    /// Open after, and not before.
    pub opened: Vec<Finding>,
    /// Open before, and not after.
    pub resolved: Vec<Finding>,
    /// Open in both.
    pub unchanged: usize,
}

impl FindingsDifference {
    pub fn is_empty(&self) -> bool {
        self.opened.is_empty() && self.resolved.is_empty()
    }
}

pub(super) async fn compare(
    store: &Store,
    before: &Package,
    after: &Package,
) -> Result<FindingsDifference> {
    let open = |mut all: Vec<Finding>| {
        all.retain(|finding| finding.state.is_open());
        all
    };
    let old = open(current_findings(store, before).await?);
    let new = open(current_findings(store, after).await?);
    let only = |these: &[Finding], those: &[Finding]| {
        let known: std::collections::BTreeSet<_> = those.iter().map(|f| &f.id).collect();
        these
            .iter()
            .filter(|finding| !known.contains(&finding.id))
            .cloned()
            .collect::<Vec<_>>()
    };
    let opened = only(&new, &old);
    Ok(FindingsDifference {
        resolved: only(&old, &new),
        unchanged: new.len() - opened.len(),
        opened,
    })
}
