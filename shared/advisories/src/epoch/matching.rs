//! Asking an epoch about components.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use quench_model::Severity;

use super::names::{best_name, unite, vendor_rank};
use super::record::{Affected, Record};
use super::row::key;
use super::store::Reader;
use super::{Epoch, Match, Matches, PackageKey, Unchecked, UncheckedReason};
use crate::{Component, Error, Score};

/// Most references told with a match.
const MAX_REFERENCES: usize = 10;

/// An advisory that affects a version.
struct Hit {
    record: Rc<Record>,
    fixed: Option<String>,
}

/// What is known about one version of a package.
struct Known {
    hits: Vec<Hit>,
    unchecked: Option<UncheckedReason>,
}

pub(super) fn matches(epoch: &Epoch, components: &[Component]) -> Result<Matches, Error> {
    let reader = epoch.store.reader()?;
    let mut asker = Asker {
        epoch,
        reader,
        records: BTreeMap::new(),
    };
    // Binary packages of one source package share its answer.
    let mut known: BTreeMap<(PackageKey, String), Rc<Known>> = BTreeMap::new();
    let mut found = Matches::default();
    for component in components {
        let mut unchecked = |reason| {
            found.unchecked.push(Unchecked {
                component: component.clone(),
                reason,
            });
        };
        let Some(package) = PackageKey::of(component) else {
            unchecked(UncheckedReason::UnknownEcosystem);
            continue;
        };
        let asked = (package, component.advised().1.to_owned());
        let answer = match known.get(&asked) {
            Some(answer) => answer.clone(),
            None => {
                let answer = Rc::new(asker.ask(&asked.0, &asked.1)?);
                known.insert(asked.clone(), answer.clone());
                answer
            }
        };
        if let Some(reason) = &answer.unchecked {
            unchecked(reason.clone());
        }
        let mut told = tell(&asker.reader, component, &asked.0, &answer.hits)?;
        told.sort_by(|a, b| a.id.cmp(&b.id));
        found.matches.extend(told);
    }
    Ok(found)
}

struct Asker<'a> {
    epoch: &'a Epoch,
    reader: Reader<'a>,
    records: BTreeMap<String, Rc<Record>>,
}

impl Asker<'_> {
    fn ask(&mut self, package: &PackageKey, version: &str) -> Result<Known, Error> {
        let mut known = Known {
            hits: Vec::new(),
            unchecked: None,
        };
        if !self.epoch.coverage.includes(&package.ecosystem) {
            known.unchecked = Some(UncheckedReason::NotCovered(package.ecosystem.clone()));
            return Ok(known);
        }
        let rows = self.reader.rows(package)?;
        if rows.is_empty() {
            return Ok(known);
        }
        let key = match key(&package.ecosystem, version) {
            Ok(key) => key,
            Err(error) => {
                known.unchecked = Some(UncheckedReason::BadVersion(error));
                return Ok(known);
            }
        };
        for (id, row) in rows {
            match row.affects(&key) {
                Some(fixed) => {
                    let fixed = fixed.map(str::to_owned);
                    let record = self.record(&id)?;
                    known.hits.push(Hit { record, fixed });
                }
                None if row.incomplete && known.unchecked.is_none() => {
                    known.unchecked = Some(if package.ecosystem.order().is_some() {
                        UncheckedReason::UnreadableAdvisory(id)
                    } else {
                        UncheckedReason::UnknownOrder(package.ecosystem.clone())
                    });
                }
                None => {}
            }
        }
        Ok(known)
    }

    fn record(&mut self, id: &str) -> Result<Rc<Record>, Error> {
        if let Some(record) = self.records.get(id) {
            return Ok(record.clone());
        }
        let record = self.reader.record(id)?.ok_or_else(|| Error::Damaged {
            path: self.epoch.store.path().to_owned(),
            key: id.to_owned(),
        })?;
        let record = Rc::new(record);
        self.records.insert(id.to_owned(), record.clone());
        Ok(record)
    }
}

/// Makes one match of all advisories that speak of one vulnerability.
fn tell(
    reader: &Reader<'_>,
    component: &Component,
    package: &PackageKey,
    hits: &[Hit],
) -> Result<Vec<Match>, Error> {
    let mut statements = Vec::new();
    for (speaker, hit) in hits.iter().enumerate() {
        match hit.record.vulnerabilities.as_slice() {
            [one] => {
                let mut names: BTreeSet<String> = hit.record.aliases.iter().cloned().collect();
                names.insert(one.clone());
                statements.push((names, speaker));
            }
            several => {
                for one in several {
                    statements.push((BTreeSet::from([one.clone()]), speaker));
                }
            }
        }
    }
    unite(statements)
        .into_iter()
        .map(|vulnerability| {
            let mut speakers: Vec<&Hit> = vulnerability
                .speakers
                .iter()
                .filter_map(|speaker| hits.get(*speaker))
                .collect();
            speakers.sort_by_key(|hit| (vendor_rank(&hit.record.id), hit.record.id.clone()));
            let id = best_name(vulnerability.names.iter()).to_owned();
            let mut names = vulnerability.names;
            names.remove(&id);
            let (severity, score) = severity(reader, &id, &speakers, package)?;
            let mut references: Vec<String> = Vec::new();
            for url in speakers.iter().flat_map(|hit| &hit.record.references) {
                if references.len() < MAX_REFERENCES && !references.contains(url) {
                    references.push(url.clone());
                }
            }
            Ok(Match {
                id,
                aliases: names.into_iter().collect(),
                advisories: speakers.iter().map(|hit| hit.record.id.clone()).collect(),
                component: component.clone(),
                fixed_version: speakers.iter().find_map(|hit| hit.fixed.clone()),
                severity,
                score,
                summary: speakers
                    .iter()
                    .map(|hit| hit.record.summary.clone())
                    .find(|summary| !summary.is_empty())
                    .unwrap_or_default(),
                references,
            })
        })
        .collect()
}

/// The first word of a vendor, and the first score, else the score others give the CVE; where no vendor gave a word, the
/// score's band is the severity.
fn severity(
    reader: &Reader<'_>,
    id: &str,
    speakers: &[&Hit],
    package: &PackageKey,
) -> Result<(Severity, Option<Score>), Error> {
    let affected: Vec<&Affected> = speakers
        .iter()
        .filter_map(|hit| {
            hit.record
                .affected
                .iter()
                .find(|affected| affected.package == *package)
        })
        .collect();
    let own = affected
        .iter()
        .filter_map(|affected| affected.vector.as_deref())
        .find_map(|vector| Score::of(vector).ok());
    let score = match own {
        Some(own) => Some(own),
        None => reader.score(id)?.and_then(|vector| Score::of(&vector).ok()),
    };
    let word = affected.iter().find_map(|affected| affected.severity);
    let severity = word
        .or_else(|| score.as_ref().map(Score::severity))
        .unwrap_or(Severity::Unknown);
    Ok((severity, score))
}
