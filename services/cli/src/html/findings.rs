//! Findings of all levels but those about the chart's configuration, which the report tells of in full.

use maud::{Markup, html};
use quench_model::{Finding, FindingKind, FindingState};

use super::{Section, Subject, code, filterable, severity, text};
use crate::commands::findings::place;

pub(super) fn sections(subject: &Subject<'_>) -> Vec<Section> {
    // Without the hardening report the findings are all there is.
    let told =
        |finding: &&Finding| subject.report.is_none() || finding.kind != FindingKind::Configuration;
    let of = |wanted: &dyn Fn(&Finding) -> bool| -> Vec<&Finding> {
        let mut found: Vec<&Finding> = subject
            .findings
            .iter()
            .filter(told)
            .filter(|finding| wanted(finding))
            .collect();
        found.sort_by(|a, b| {
            (b.severity, &a.canonical_id, &a.subject).cmp(&(
                a.severity,
                &b.canonical_id,
                &b.subject,
            ))
        });
        found
    };
    let mut sections = Vec::new();
    for (id, title, found) in [
        ("findings", "Open findings", of(&|f| f.state.is_open())),
        (
            "suppressed",
            "Suppressed findings",
            of(&|f| f.state == FindingState::Suppressed),
        ),
        (
            "resolved",
            "Resolved findings",
            of(&|f| f.state == FindingState::Resolved),
        ),
    ] {
        if subject.package.is_some() && (id == "findings" || !found.is_empty()) {
            let count = found.len();
            sections.push(Section::new(id, title, count, body(&found)));
        }
    }
    sections
}

fn body(found: &[&Finding]) -> Markup {
    let mut severities: Vec<_> = found.iter().map(|finding| finding.severity).collect();
    severities.sort_unstable_by(|a, b| b.cmp(a));
    severities.dedup();
    let tags: Vec<(&str, &str)> = severities.iter().map(|s| (s.name(), s.name())).collect();
    html! {
        @if found.is_empty() {
            p { "None but those about the configuration, above. What was not checked or not looked for stands under “Before and after”." }
        } @else {
            (filterable("findings", &tags, &html! {
                table {
                    thead { tr { th scope="col" { "Severity" } th scope="col" { "Finding" } th scope="col" { "Where" } th scope="col" { "What" } th scope="col" { "Why so" } } }
                    tbody { @for finding in found { (row(finding)) } }
                }
            }))
        }
    }
}

fn row(finding: &Finding) -> Markup {
    html! {
        tr data-tag=(finding.severity) {
            td { (severity(finding.severity)) }
            td { (text(&finding.canonical_id)) br; span.soft { (finding.kind) } }
            td { (code(&place(finding))) }
            td.wide {
                (text(&finding.title))
                @if !finding.message.is_empty() { br; (text(&finding.message)) }
                @if let Some(fixed) = &finding.fixed_version { br; "fixed in " (code(fixed)) }
                @if !finding.evidence.is_empty() || !finding.references.is_empty() {
                    details {
                        summary { "evidence" }
                        ul {
                            @for fact in &finding.evidence { li { (text(&fact.source)) ": " (text(&fact.fact)) } }
                            @for reference in &finding.references { li { (text(reference)) } }
                        }
                    }
                }
            }
            td { (text(&why(finding))) }
        }
    }
}

fn why(finding: &Finding) -> String {
    if let Some(suppression) = &finding.suppression {
        return match &suppression.expires {
            Some(day) => format!("{} (until {day})", suppression.reason),
            None => suppression.reason.clone(),
        };
    }
    finding
        .cause
        .as_ref()
        .map(|cause| {
            format!("{} {}", cause.kind.name(), cause.detail)
                .trim()
                .to_owned()
        })
        .unwrap_or_default()
}
