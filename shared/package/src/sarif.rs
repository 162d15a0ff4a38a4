//! Findings as SARIF 2.1.0 (OASIS), the form code-scanning tools read.

use std::collections::BTreeMap;

use quench_model::{Digest, Finding, FindingKind, FindingState, Level, PackageName, Severity};
use serde_json::{Value, json};

use crate::Package;

/// What findings are of, as a SARIF run names it.
#[derive(Debug, Clone, Copy)]
pub struct SarifSubject<'a> {
    /// Name of the package or chart.
    pub name: &'a PackageName,
    /// Its version.
    pub version: &'a str,
    /// Level whose rules were asked.
    pub level: Level,
    /// Revision of the package; none for a chart alone.
    pub revision: Option<&'a Digest>,
}

/// Source of the fact with which a finding names the file it is about.
const TEMPLATE: &str = "template";

/// Findings of a package as a SARIF log with one run, see [`sarif_of`].
pub fn sarif(package: &Package, findings: &[Finding]) -> Value {
    let subject = SarifSubject {
        name: &package.name,
        version: &package.version,
        level: package.level,
        revision: Some(&package.revision.digest),
    };
    sarif_of(subject, findings)
}

/// Findings as a SARIF log with one run.
///
/// Resolved findings are left out: SARIF has no state for what is no longer there. Waived ones carry a
/// `suppressions` entry with their reason, as SARIF 3.35 asks.
pub fn sarif_of(subject: SarifSubject<'_>, findings: &[Finding]) -> Value {
    let shown: Vec<_> = findings
        .iter()
        .filter(|f| f.state != FindingState::Resolved)
        .collect();
    let mut rules: BTreeMap<&str, Value> = BTreeMap::new();
    for finding in &shown {
        rules
            .entry(&finding.canonical_id)
            .or_insert_with(|| rule(finding));
    }
    let index: BTreeMap<&str, usize> = rules.keys().enumerate().map(|(at, id)| (*id, at)).collect();
    let results: Vec<Value> = shown
        .iter()
        .map(|finding| result(finding, index.get(finding.canonical_id.as_str()).copied()))
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "quench",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.into_values().collect::<Vec<_>>(),
            }},
            "automationDetails": { "id": format!("quench/{}/{}", subject.name, subject.level) },
            "properties": {
                "package": subject.name,
                "version": subject.version,
                "revision": subject.revision,
            },
            "results": results,
        }],
    })
}

fn rule(finding: &Finding) -> Value {
    let mut rule = json!({
        "id": finding.canonical_id,
        "shortDescription": { "text": finding.title },
        "defaultConfiguration": { "level": level(finding.severity) },
        "properties": {
            "tags": [finding.kind.name(), "security"],
        },
    });
    // Code-scanning services sort by this number; it is on the CVSS scale (0.0 to 10.0).
    if let (Some(score), Some(properties)) = (
        score(finding.severity),
        rule.pointer_mut("/properties")
            .and_then(Value::as_object_mut),
    ) {
        properties.insert("security-severity".to_owned(), score.into());
    }
    let help = finding
        .references
        .iter()
        .find(|reference| reference.starts_with("https://"));
    if let (Some(help), Some(rule)) = (help, rule.as_object_mut()) {
        rule.insert("helpUri".to_owned(), help.as_str().into());
    }
    rule
}

fn result(finding: &Finding, rule_index: Option<usize>) -> Value {
    let subject = &finding.subject;
    let text = if finding.message.is_empty() {
        finding.title.clone()
    } else {
        format!("{}: {}", finding.title, finding.message)
    };
    let logical: Vec<Value> = [
        subject.image.as_ref().map(|image| ("image", image)),
        subject.purl.as_ref().map(|purl| ("package", purl)),
        subject.location.as_ref().map(|place| ("object", place)),
    ]
    .into_iter()
    .flatten()
    .map(|(kind, name)| json!({ "kind": kind, "fullyQualifiedName": name }))
    .collect();
    // Every result needs a file for tools that show results in a tree of files.
    let template = finding.evidence.iter().find(|fact| fact.source == TEMPLATE);
    let file = match finding.kind {
        FindingKind::Configuration if template.is_some() => {
            template.map(|fact| fact.fact.clone()).unwrap_or_default()
        }
        FindingKind::Configuration => format!("chart/{}", subject.package),
        _ => subject
            .image
            .clone()
            .unwrap_or_else(|| subject.package.to_string()),
    };
    let mut result = json!({
        "ruleId": finding.canonical_id,
        "level": level(finding.severity),
        "message": { "text": text },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri(&file) } },
            "logicalLocations": logical,
        }],
        "partialFingerprints": { "quenchFindingId/v1": finding.id.to_string() },
        "properties": {
            "severity": finding.severity,
            "kind": finding.kind,
            "state": finding.state,
            "fixedVersion": finding.fixed_version,
        },
    });
    if let Some(object) = result.as_object_mut() {
        if let Some(index) = rule_index {
            object.insert("ruleIndex".to_owned(), index.into());
        }
        if let Some(suppression) = &finding.suppression {
            let entry = json!([{
                "kind": "external",
                "status": "accepted",
                "justification": suppression.reason,
            }]);
            object.insert("suppressions".to_owned(), entry);
        }
    }
    result
}

/// SARIF's three levels.
fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        // What nobody rated may be anything: it must not be shown as harmless.
        Severity::Medium | Severity::Unknown => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

fn score(severity: Severity) -> Option<&'static str> {
    match severity {
        Severity::Critical => Some("9.0"),
        Severity::High => Some("7.0"),
        Severity::Medium => Some("4.0"),
        Severity::Low => Some("0.1"),
        Severity::Info => Some("0.0"),
        Severity::Unknown => None,
    }
}

/// A text as a relative URI: what URIs do not allow is percent-encoded, and a colon in the first segment
/// too, since it would make that a scheme (RFC 3986, 4.2).
fn uri(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
