//! Which revisions changed advisories touch, and why.

use std::collections::{BTreeMap, BTreeSet};

use quench_advisories::{
    AdvisoryChange, ChangeKind, Component, Ecosystem, Epoch, Error, Matches, PackageKey,
};
use quench_model::{Cause, CauseKind, Digest, Finding};
use quench_package::EngineError;

use crate::index::{Index, unavailable};
use crate::stored::{Held, blocking};

/// Most advisories a cause names.
const MAX_NAMED: usize = 5;

/// What changed between two epochs, by the packages it is about.
#[derive(Default)]
pub(crate) struct Delta {
    advisories: BTreeMap<PackageKey, BTreeMap<String, ChangeKind>>,
    /// Ecosystems that are covered by one of the two epochs and not by the other.
    coverage: BTreeSet<Ecosystem>,
}

impl Delta {
    pub(crate) fn between(old: &Epoch, new: &Epoch) -> Result<Self, EngineError> {
        let changes = blocking(|| old.diff(new)).map_err(|error| unavailable(&error))?;
        let mut delta = Self::default();
        for AdvisoryChange { id, kind, packages } in changes {
            for package in packages {
                delta
                    .advisories
                    .entry(package)
                    .or_default()
                    .insert(id.clone(), kind);
            }
        }
        let covered = |epoch: &Epoch| -> BTreeSet<Ecosystem> {
            epoch.coverage().ecosystems().cloned().collect()
        };
        delta.coverage = covered(old)
            .symmetric_difference(&covered(new))
            .cloned()
            .collect();
        Ok(delta)
    }

    /// Revisions that hold a component of which the two epochs say different things, or of whose ecosystem only one
    /// of them speaks.
    pub(crate) fn touched(
        &self,
        index: &Index,
        old: &Epoch,
        new: &Epoch,
    ) -> Result<BTreeSet<Digest>, EngineError> {
        let mut numbers: BTreeSet<u32> = BTreeSet::new();
        for package in self.advisories.keys() {
            let holders = index.holders(package)?;
            if holders.is_empty() {
                continue;
            }
            let components: Vec<Component> =
                holders.iter().map(|held| held.component.clone()).collect();
            let differ = blocking(|| differing(old, new, &components))
                .map_err(|error| unavailable(&error))?;
            for held in holders {
                if differ.contains(&held.component) {
                    numbers.extend(held.lists);
                }
            }
        }
        if numbers.is_empty() && self.coverage.is_empty() {
            return Ok(BTreeSet::new());
        }
        let lists = index.lists()?;
        Ok(lists
            .into_iter()
            .filter(|(number, list)| {
                numbers.contains(number) || !self.coverage.is_disjoint(&list.ecosystems)
            })
            .map(|(_, list)| list.revision)
            .collect())
    }

    /// Why a finding changed: the changed advisories of its package, those that speak of it first.
    pub(crate) fn cause(
        &self,
        packages: &PackagesByPurl,
        old: Option<&Finding>,
        new: Option<&Finding>,
        epoch: &Digest,
    ) -> Cause {
        let mut named: BTreeMap<&String, ChangeKind> = BTreeMap::new();
        if let Some(purl) = new.or(old).and_then(|f| f.subject.purl.as_deref()) {
            let keys = packages.0.get(purl).into_iter().flatten();
            for changes in keys.filter_map(|key| self.advisories.get(key)) {
                named.extend(changes.iter().map(|(id, kind)| (id, *kind)));
            }
        }
        let speaks = |id: &str| {
            [old, new].into_iter().flatten().any(|finding| {
                finding.canonical_id == id
                    || finding.aliases.iter().any(|alias| alias == id)
                    || finding
                        .cause
                        .iter()
                        .any(|cause| cause.detail.split([',', ' ']).any(|word| word == id))
            })
        };
        if named.keys().any(|id| speaks(id)) {
            named.retain(|id, _| speaks(id));
        }
        let detail = if named.is_empty() {
            // No advisory changed that names it: the revision was not looked at under the epoch before.
            new.and_then(|finding| finding.cause.as_ref())
                .map(|cause| cause.detail.clone())
                .filter(|detail| !detail.is_empty())
                .unwrap_or_else(|| "other advisories than before".to_owned())
        } else {
            let told: Vec<String> = named
                .iter()
                .take(MAX_NAMED)
                .map(|(id, kind)| format!("{id} {}", word(*kind)))
                .collect();
            let more = match named.len().saturating_sub(MAX_NAMED) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            format!("{}{more}", told.join(", "))
        };
        Cause {
            kind: CauseKind::Advisory,
            detail,
            epoch: Some(epoch.clone()),
        }
    }
}

/// What a revision's components are looked up by in advisories, by their package URLs.
pub(crate) struct PackagesByPurl(BTreeMap<String, BTreeSet<PackageKey>>);

impl PackagesByPurl {
    pub(crate) fn of(held: &[Held]) -> Self {
        let mut packages: BTreeMap<String, BTreeSet<PackageKey>> = BTreeMap::new();
        for component in held.iter().flat_map(|held| held.inventory.components()) {
            if let Some(key) = PackageKey::of(&component) {
                packages.entry(component.purl).or_default().insert(key);
            }
        }
        Self(packages)
    }
}

fn word(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Added => "added",
        ChangeKind::Changed => "changed",
        ChangeKind::Withdrawn => "withdrawn",
        ChangeKind::Removed => "removed",
        ChangeKind::Rescored => "scored otherwise",
    }
}

/// The components of which two epochs say different things.
fn differing(
    old: &Epoch,
    new: &Epoch,
    components: &[Component],
) -> Result<BTreeSet<Component>, Error> {
    let by_component = |matches: Matches| -> BTreeMap<Component, Vec<String>> {
        let mut said: BTreeMap<Component, Vec<String>> = BTreeMap::new();
        for found in matches.matches {
            // Everything a finding's facts are made of.
            let facts = format!(
                "{} {:?} {:?} {:?}",
                found.id, found.aliases, found.fixed_version, found.severity
            );
            said.entry(found.component).or_default().push(facts);
        }
        for unchecked in matches.unchecked {
            let reason = unchecked.reason.to_string();
            said.entry(unchecked.component).or_default().push(reason);
        }
        said
    };
    let before = by_component(old.matches(components)?);
    let after = by_component(new.matches(components)?);
    Ok(components
        .iter()
        .filter(|component| before.get(component) != after.get(component))
        .cloned()
        .collect())
}
