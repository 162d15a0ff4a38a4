//! From a published OSV record to the form an epoch keeps.

use std::collections::{BTreeMap, BTreeSet};

use quench_model::Severity;

use super::schema::{OsvAffected, OsvEvent, OsvRating, OsvRecord, OsvReference, OsvSeverity};
use crate::epoch::{Affected, Event, PackageKey, Record};
use crate::{Ecosystem, Score};

/// Longest summary kept, in characters: one line for people.
const MAX_SUMMARY: usize = 200;
/// References kept of each record: kernels' advisories list hundreds of commits.
const MAX_REFERENCES: usize = 10;
/// Longest text accepted as an id, name, version or URL.
const MAX_TEXT: usize = 1024;

/// What became of a record.
pub(super) struct Normalised {
    pub(super) record: Record,
    /// When it was last modified (RFC 3339): decides between two records of one id.
    pub(super) modified: String,
    /// What was left out of it.
    pub(super) notes: BTreeSet<&'static str>,
}

/// Why nothing became of it.
pub(super) enum Unusable {
    /// It is broken.
    Malformed(String),
    /// It is fine and says nothing about vulnerable versions of packages.
    Irrelevant(&'static str),
}

/// Reads one record.
pub(super) fn normalise(json: &[u8]) -> Result<Normalised, Unusable> {
    let osv: OsvRecord =
        serde_json::from_slice(json).map_err(|error| Unusable::Malformed(error.to_string()))?;
    if !is_text(&osv.id) || osv.id.contains(char::is_whitespace) {
        return Err(Unusable::Malformed("its id is no name".to_owned()));
    }
    if osv.modified.is_empty() {
        return Err(Unusable::Malformed(
            "it has no date of modification".to_owned(),
        ));
    }
    let names = Names::of(&osv);
    if osv
        .withdrawn
        .as_deref()
        .is_some_and(|date| !date.is_empty())
    {
        return Ok(Normalised {
            record: Record {
                id: osv.id,
                withdrawn: true,
                vulnerabilities: names.vulnerabilities,
                aliases: names.aliases,
                summary: String::new(),
                references: Vec::new(),
                vector: None,
                affected: Vec::new(),
            },
            modified: osv.modified,
            notes: BTreeSet::new(),
        });
    }
    if is_maintenance(&osv.id) && !names.vulnerabilities.iter().any(|name| is_cve(name)) {
        return Err(Unusable::Irrelevant(
            "update that fixes no vulnerability, left out",
        ));
    }
    let mut notes = BTreeSet::new();
    let affected = affected(&osv, &mut notes);
    let mut vector = None;
    if affected.is_empty() {
        // Records of a CVE itself name commits, not packages; distributions' records name packages and no score.
        vector = newest_vector(&osv.severity);
        let scores = matches!(names.vulnerabilities.as_slice(), [one] if is_cve(one));
        if vector.is_none() || !scores {
            return Err(Unusable::Irrelevant(
                "record without affected versions of a package, left out",
            ));
        }
        notes.insert("record without affected versions of a package, kept for its score");
    }
    Ok(Normalised {
        record: Record {
            summary: summary(&osv),
            references: references(osv.references),
            id: osv.id,
            withdrawn: false,
            vulnerabilities: names.vulnerabilities,
            aliases: names.aliases,
            vector,
            affected,
        },
        modified: osv.modified,
        notes,
    })
}

/// What a record calls the vulnerabilities it speaks of.
struct Names {
    vulnerabilities: Vec<String>,
    aliases: Vec<String>,
}

impl Names {
    fn of(osv: &OsvRecord) -> Self {
        let own = cve_of(&osv.id).into_iter();
        let aliased = osv.aliases.iter().filter_map(|id| cve_of(id));
        let aliased: BTreeSet<String> = own.chain(aliased).collect();
        let upstream: BTreeSet<String> = osv.upstream.iter().filter_map(|id| cve_of(id)).collect();
        if is_update(&osv.id) || (aliased.is_empty() && upstream.len() > 1) {
            // An update fixes any number of vulnerabilities; which list it puts them into differs between vendors.
            let related = osv.related.iter().filter_map(|id| cve_of(id));
            let mut all: BTreeSet<String> = aliased.into_iter().chain(upstream).collect();
            all.extend(related);
            if all.is_empty() {
                all.insert(osv.id.clone());
            }
            let aliases = if all.len() == 1 {
                BTreeSet::from([osv.id.clone()])
            } else {
                BTreeSet::new()
            };
            return Self::with(all, aliases);
        }
        let mut names: BTreeSet<String> = osv
            .aliases
            .iter()
            .filter(|id| is_text(id))
            .cloned()
            .chain([osv.id.clone()])
            .chain(aliased)
            .chain(upstream)
            .collect();
        let first = crate::epoch::best_name(names.iter()).to_owned();
        names.remove(&first);
        Self::with(BTreeSet::from([first]), names)
    }

    fn with(vulnerabilities: BTreeSet<String>, mut aliases: BTreeSet<String>) -> Self {
        aliases.retain(|alias| !vulnerabilities.contains(alias));
        Self {
            vulnerabilities: vulnerabilities.into_iter().collect(),
            aliases: aliases.into_iter().collect(),
        }
    }
}

/// The CVE an id names, also with a vendor's prefix (`DEBIAN-CVE-2024-1`, `UBUNTU-CVE-2024-1`).
fn cve_of(id: &str) -> Option<String> {
    let at = id.find("CVE-")?;
    let (prefix, cve) = id.split_at(at);
    let prefix_ok = prefix.is_empty()
        || prefix.strip_suffix('-').is_some_and(|vendor| {
            !vendor.is_empty() && vendor.bytes().all(|b| b.is_ascii_uppercase())
        });
    (prefix_ok && is_cve(cve)).then(|| cve.to_owned())
}

/// Whether a text is a CVE id: CVE, a year, a number.
pub(crate) fn is_cve(text: &str) -> bool {
    text.strip_prefix("CVE-")
        .and_then(|rest| rest.split_once('-'))
        .is_some_and(|(year, number)| {
            let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
            year.len() == 4 && (4..=19).contains(&number.len()) && digits(year) && digits(number)
        })
}

/// Whether an id names an update of a distribution, which may fix several vulnerabilities.
fn is_update(id: &str) -> bool {
    [
        "DSA-",
        "DLA-",
        "DTSA-",
        "USN-",
        "LSN-",
        "ALSA-",
        "ALBA-",
        "ALEA-",
        "RLSA-",
        "RLBA-",
        "RLEA-",
        "RXSA-",
        "RHSA-",
        "RHBA-",
        "RHEA-",
        "SUSE-",
        "openSUSE-",
        "MGASA-",
        "OESA-",
        "PHSA-",
    ]
    .iter()
    .any(|prefix| id.starts_with(prefix))
}

/// Whether an id names an update for bugs or features: it matters only where it names vulnerabilities all the same.
fn is_maintenance(id: &str) -> bool {
    ["ALBA-", "ALEA-", "RLBA-", "RLEA-", "RHBA-", "RHEA-"]
        .iter()
        .any(|prefix| id.starts_with(prefix))
}

fn is_text(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}

fn summary(osv: &OsvRecord) -> String {
    let line = |text: &str| {
        text.lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .map(str::to_owned)
    };
    let line = line(&osv.summary)
        .or_else(|| line(&osv.details))
        .unwrap_or_default();
    let words: String = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match words.char_indices().nth(MAX_SUMMARY) {
        Some((at, _)) => format!("{}…", words.split_at(at).0.trim_end()),
        None => words,
    }
}

fn references(references: Vec<OsvReference>) -> Vec<String> {
    let rank = |kind: &str| match kind {
        "ADVISORY" => 0,
        "FIX" => 1,
        "REPORT" => 2,
        _ => 3,
    };
    let ranked: BTreeSet<(u8, String)> = references
        .into_iter()
        .filter(|reference| is_text(&reference.url))
        .map(|reference| (rank(&reference.kind), reference.url))
        .collect();
    let mut seen = BTreeSet::new();
    ranked
        .into_iter()
        .map(|(_, url)| url)
        .filter(|url| seen.insert(url.clone()))
        .take(MAX_REFERENCES)
        .collect()
}

/// Merges what a record says about each package.
fn affected(osv: &OsvRecord, notes: &mut BTreeSet<&'static str>) -> Vec<Affected> {
    let mut merged: BTreeMap<PackageKey, Affected> = BTreeMap::new();
    for entry in &osv.affected {
        let Some(package) = package(entry) else {
            notes.insert("affected entry without a package, left out");
            continue;
        };
        let mut ranges = Vec::new();
        for range in &entry.ranges {
            if range.kind == "GIT" {
                notes.insert("GIT range, left out");
                continue;
            }
            let events: Vec<Event> = range.events.iter().flat_map(events).collect();
            if events
                .iter()
                .any(|event| matches!(event, Event::Introduced(_)))
            {
                ranges.push(events);
            } else {
                notes.insert("range without a start, left out");
            }
        }
        let versions: Vec<String> = entry
            .versions
            .iter()
            .filter(|version| is_text(version))
            .cloned()
            .collect();
        if ranges.is_empty() && versions.is_empty() {
            notes.insert("affected entry without versions, left out");
            continue;
        }
        let (severity, vector) = severity(osv, entry, &package.ecosystem);
        let merged = merged.entry(package.clone()).or_insert_with(|| Affected {
            package,
            ranges: Vec::new(),
            versions: Vec::new(),
            severity: None,
            vector: None,
        });
        merged.ranges.extend(ranges);
        merged.versions.extend(versions);
        merged.severity = merged.severity.max(severity);
        let score = |vector: &Option<String>| {
            vector
                .as_deref()
                .and_then(|vector| Score::of(vector).ok())
                .map_or(-1.0, |score| score.score)
        };
        if score(&vector) > score(&merged.vector) {
            merged.vector = vector;
        }
    }
    let mut affected: Vec<Affected> = merged.into_values().collect();
    for entry in &mut affected {
        entry.ranges.sort();
        entry.ranges.dedup();
        entry.versions.sort();
        entry.versions.dedup();
    }
    affected
}

fn package(entry: &OsvAffected) -> Option<PackageKey> {
    let package = entry.package.as_ref()?;
    let ecosystem: Ecosystem = package.ecosystem.parse().ok()?;
    if !is_text(&package.name) {
        return None;
    }
    let name = ecosystem.normalised_name(&package.name);
    Some(PackageKey { ecosystem, name })
}

/// The schema wants one field in each event object; where there are more, each counts.
fn events(event: &OsvEvent) -> Vec<Event> {
    let text = |text: &Option<String>| text.clone().filter(|text| is_text(text));
    [
        text(&event.introduced).map(Event::Introduced),
        text(&event.fixed).map(Event::Fixed),
        text(&event.last_affected).map(Event::LastAffected),
        text(&event.limit)
            .filter(|limit| limit != "*")
            .map(Event::Limit),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The vendor's own word, and the newest CVSS vector that can be scored: those of the affected entry, else the record's.
fn severity(
    osv: &OsvRecord,
    entry: &OsvAffected,
    ecosystem: &Ecosystem,
) -> (Option<Severity>, Option<String>) {
    let worded = |severity: &[OsvSeverity]| {
        severity
            .iter()
            .filter(|severity| !severity.kind.starts_with("CVSS_"))
            .find_map(|severity| rating(&severity.score))
    };
    let rated = |ratings: &OsvRating| {
        let severity = ratings.severity.as_deref().and_then(rating);
        severity.or_else(|| ratings.urgency.as_deref().and_then(rating))
    };
    let word = worded(&entry.severity)
        .or_else(|| rated(&entry.ecosystem_specific))
        .or_else(|| rated(&entry.database_specific))
        .or_else(|| worded(&osv.severity))
        .or_else(|| rated(&osv.database_specific))
        .or_else(|| summary_rating(&osv.summary, ecosystem));
    let vector = newest_vector(&entry.severity).or_else(|| newest_vector(&osv.severity));
    (word, vector)
}

/// The vector of the newest CVSS version that can be scored.
fn newest_vector(severity: &[OsvSeverity]) -> Option<String> {
    severity
        .iter()
        .filter(|severity| Score::of(&severity.score).is_ok())
        .map(|severity| (severity.kind.as_str(), severity.score.as_str()))
        .max()
        .map(|(_, vector)| vector.to_owned())
}

/// The words databases rate with: GitHub's, Debian's urgencies, Ubuntu's priorities, Red Hat's ratings.
fn rating(word: &str) -> Option<Severity> {
    Some(match word.to_ascii_lowercase().as_str() {
        "critical" => Severity::Critical,
        "high" | "important" => Severity::High,
        "medium" | "moderate" => Severity::Medium,
        "low" => Severity::Low,
        // Debian: an issue that is none in practice. Ubuntu: technically a problem, and no more.
        "unimportant" | "negligible" | "none" => Severity::Info,
        _ => return None,
    })
}

/// Rebuilds of Red Hat's updates carry Red Hat's rating at the start of their summary: `Important: kernel security update`.
fn summary_rating(summary: &str, ecosystem: &Ecosystem) -> Option<Severity> {
    if !matches!(ecosystem.family(), "AlmaLinux" | "Rocky Linux" | "Red Hat") {
        return None;
    }
    rating(summary.split_once(':')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vendors_names_of_a_cve_are_that_cve() {
        assert_eq!(
            cve_of("DEBIAN-CVE-2023-44487").as_deref(),
            Some("CVE-2023-44487")
        );
        assert_eq!(cve_of("CVE-2023-44487").as_deref(), Some("CVE-2023-44487"));
        assert_eq!(cve_of("GHSA-qppj-fm5r-hxr3"), None);
        assert_eq!(cve_of("CVE-23-1"), None);
        assert_eq!(cve_of("notes on CVE-2023-44487"), None);
    }

    fn names(json: serde_json::Value) -> (Vec<String>, Vec<String>) {
        let names = Names::of(&serde_json::from_value(json).unwrap());
        (names.vulnerabilities, names.aliases)
    }

    #[test]
    fn an_update_speaks_of_each_vulnerability_it_fixes() {
        let (vulnerabilities, aliases) = names(serde_json::json!({
            "id": "DSA-5532-1", "upstream": ["DEBIAN-CVE-2023-5363", "CVE-2023-5678"]
        }));
        assert_eq!(vulnerabilities, ["CVE-2023-5363", "CVE-2023-5678"]);
        assert!(
            aliases.is_empty(),
            "names of two vulnerabilities are no aliases"
        );
    }

    #[test]
    fn a_record_of_one_vulnerability_is_called_by_its_cve() {
        let (vulnerabilities, aliases) = names(serde_json::json!({
            "id": "GO-2023-2102", "aliases": ["GHSA-4374-p667-p6c8", "CVE-2023-39325"]
        }));
        assert_eq!(vulnerabilities, ["CVE-2023-39325"]);
        assert_eq!(aliases, ["GHSA-4374-p667-p6c8", "GO-2023-2102"]);
    }

    #[test]
    fn records_that_say_nothing_are_told_apart_from_broken_ones() {
        for broken in [
            "",
            "{}",
            "[]",
            r#"{"id":""}"#,
            r#"{"id":"a b"}"#,
            r#"{"id":"X-1"}"#,
        ] {
            assert!(
                matches!(normalise(broken.as_bytes()), Err(Unusable::Malformed(_))),
                "{broken}"
            );
        }
        let git = r#"{"id":"X-1","modified":"2024-01-01T00:00:00Z","affected":[{"ranges":[{"type":"GIT","events":[{"introduced":"0"}]}]}]}"#;
        assert!(matches!(
            normalise(git.as_bytes()),
            Err(Unusable::Irrelevant(_))
        ));
        let nested = format!(
            r#"{{"id":"X-1","database_specific":{}1{}}}"#,
            "[".repeat(5000),
            "]".repeat(5000)
        );
        assert!(matches!(
            normalise(nested.as_bytes()),
            Err(Unusable::Malformed(_))
        ));
    }
}
