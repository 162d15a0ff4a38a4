//! The head of the page, and its numbers.

use maud::{Markup, html};
use quench_model::Severity;
use quench_rules::hardening::report::Report;

use super::{Section, Subject, arrow, code, plain, severity, text};
use crate::style;
use crate::summary::Summary;

pub(super) fn header(subject: &Subject<'_>) -> Markup {
    html! {
        header {
            h1 { (text(subject.name)) " " span.was { (text(subject.version)) } }
            p {
                "Hardening report, level " (subject.level.number()) " (" (subject.level.name()) ")"
                @if let Some((_, digest)) = subject.package.as_ref().and_then(|part| part.revisions.first()) {
                    ", revision " (code(&digest.to_string()))
                }
            }
            (cards(subject))
            @if let Some(report) = subject.report {
                @if !report.notes.is_empty() {
                    ul.notes role="note" { @for note in &report.notes { li { (text(note)) } } }
                }
            }
        }
    }
}

fn cards(subject: &Subject<'_>) -> Markup {
    html! {
        ul.cards {
            @if let Some(report) = subject.report {
                li {
                    b { (arrow(report.before.findings, report.after.findings)) }
                    span { "configuration findings" }
                }
                li {
                    b { (arrow(report.before.restricted, report.after.restricted)) span.was { " of " (report.after.workloads) } }
                    span { "workloads pass Pod Security “restricted”" }
                }
                li {
                    b { (report.changes.len()) }
                    span { "fields set by hardening" }
                }
                li {
                    b { (report.waived.len()) }
                    span { "places waived" }
                }
            }
            @if let Some(part) = &subject.package {
                (package_cards(part.summary))
            }
        }
    }
}

fn package_cards(summary: &Summary) -> Markup {
    let sum = |size: &dyn Fn(&crate::summary::ImageRow) -> u64| {
        summary.images.iter().map(size).sum::<u64>()
    };
    let before = sum(&|row| row.before.bytes);
    let after = sum(&|row| row.after.bytes);
    let counted = summary.images.iter().filter_map(|row| row.vulnerabilities);
    let (vulnerable, now) = counted.fold((0, 0), |(before, after), change| {
        (before + change.before, after + change.after)
    });
    let asked = !summary.images.is_empty()
        && summary
            .images
            .iter()
            .all(|row| row.vulnerabilities.is_some());
    html! {
        li {
            b { (arrow(style::bytes(before), style::bytes(after))) }
            span { "in " (summary.images.len()) @if summary.images.len() == 1 { " image" } @else { " images" } }
        }
        li {
            @if asked {
                b { (arrow(vulnerable, now)) }
                span { "vulnerabilities" @if !summary.checked { ", not all checked" } }
            } @else {
                b { "?" }
                span { "vulnerabilities: not checked" }
            }
        }
    }
}

pub(super) fn numbers(subject: &Subject<'_>) -> Section {
    let body = html! {
        @match subject.report {
            Some(report) => { (by_severity(report)) (pods(report)) }
            None => { p { "The chart was not hardened yet: that is level 2." } }
        }
        @if let Some(part) = &subject.package {
            @for (title, reasons) in [("Not checked", &part.summary.unchecked), ("Not looked for", &part.summary.not_looked_for)] {
                @if !reasons.is_empty() {
                    h3 { (title) }
                    ul.notes { @for reason in reasons { li { (text(reason)) } } }
                }
            }
        }
    };
    Section::new("numbers", "Before and after", None, body)
}

fn by_severity(report: &Report) -> Markup {
    let most = report
        .before
        .by_severity
        .values()
        .chain(report.after.by_severity.values())
        .copied()
        .max()
        .unwrap_or(0);
    let table = html! {
        table {
            caption { "Places that break a rule, over the " (report.after.objects) " objects the chart renders; waived places are not counted" }
            thead { tr { th scope="col" { "Severity" } th.n scope="col" { "Before" } th.n scope="col" { "After" } th scope="col" { span.soft { "before and after" } } } }
            tbody {
                @for level in Severity::ALL.into_iter().rev() {
                    @let (before, after) = (count(&report.before.by_severity, level), count(&report.after.by_severity, level));
                    @if before > 0 || after > 0 {
                        tr {
                            th scope="row" { (severity(level)) }
                            td.n { (before) }
                            td.n { (after) }
                            td.wide { (bars(before, after, most)) }
                        }
                    }
                }
                tr {
                    th scope="row" { "all" }
                    td.n { (report.before.findings) }
                    td.n { b { (report.after.findings) } }
                    td {}
                }
            }
        }
    };
    plain("findings by severity", &table)
}

fn count(numbers: &std::collections::BTreeMap<Severity, usize>, severity: Severity) -> usize {
    numbers.get(&severity).copied().unwrap_or_default()
}

/// Two bars, one above the other, `most` filling the width.
fn bars(before: usize, after: usize, most: usize) -> Markup {
    let width = |number: usize| {
        number
            .saturating_mul(240)
            .checked_div(most)
            .unwrap_or_default()
    };
    html! {
        svg.bar width="240" height="16" viewBox="0 0 240 16" aria-hidden="true" {
            rect.soft x="0" y="1" width=(width(before)) height="6" rx="2" {}
            rect.good x="0" y="9" width=(width(after)) height="6" rx="2" {}
        }
    }
}

fn pods(report: &Report) -> Markup {
    let standing = |word: &str| match word {
        "restricted" => "chip good",
        "baseline" => "chip unsure",
        "privileged" => "chip bad",
        _ => "chip",
    };
    html! {
        @if !report.pods.is_empty() {
            h3 { "Pod Security Standards" }
            (plain("Pod Security Standards", &html! { table {
                thead { tr { th scope="col" { "Workload" } th scope="col" { "Before" } th scope="col" { "After" } th scope="col" { "What keeps it from “restricted”" } } }
                tbody {
                    @for pod in &report.pods {
                        tr {
                            th scope="row" { (code(&pod.object)) }
                            td { @if pod.before.is_empty() { span.soft { "was not there" } } @else { span class=(standing(&pod.before)) { (text(&pod.before)) } } }
                            td { span class=(standing(&pod.after)) { (text(&pod.after)) } }
                            td.wide {
                                @if !pod.violations.is_empty() {
                                    ul { @for violation in &pod.violations { li { (text(violation)) } } }
                                }
                            }
                        }
                    }
                }
            } }))
        }
    }
}
