//! What was changed, what was not, what was waived, and what to mind when upgrading.

use maud::{Markup, html};
use quench_rules::hardening::controls;
use quench_rules::hardening::report::Report;
use quench_rules::hardening::upgrade as advice;
use quench_rules::rule;

use super::{Section, code, filterable, list, place, plain, rule_link, severity, text, value};

pub(super) fn sections(report: &Report) -> Vec<Section> {
    vec![changed(report), open(report), waived(report)]
}

fn changed(report: &Report) -> Section {
    let table = html! {
        table {
            thead { tr {
                th scope="col" { "Object" } th scope="col" { "Field" } th scope="col" { "Before → after" }
                th scope="col" { "Rule" } th scope="col" { "Evidence" } th scope="col" { "Controls" }
            } }
            tbody {
                @for change in &report.changes {
                    tr {
                        td { (code(&place(&change.object, change.container.as_deref()))) }
                        td.wide { (code(&change.field)) }
                        td.wide { span.before { (value(change.before.as_ref())) } " → " span.after { (value(change.after.as_ref())) } }
                        td { (rule_link(&change.rule)) }
                        td.wide {
                            @for fact in &change.evidence { div { span.soft { (text(&fact.source)) ": " } (text(&fact.fact)) } }
                        }
                        td { (joined(&controls::of_rule(&change.rule))) }
                    }
                }
            }
        }
    };
    let body = html! {
        @if report.changes.is_empty() {
            p { "Hardening changes no field at these values." }
        } @else {
            p { "Every field that hardening sets, at the values the chart was hardened with. The chart decides anew at each render, for whatever values it is given." }
            (filterable("changes", &[], &table))
        }
    };
    Section::new("changed", "What changed", report.changes.len(), body)
}

fn joined(items: &[String]) -> Markup {
    html! { span.soft { (items.join(", ")) } }
}

fn open(report: &Report) -> Section {
    let table = html! {
        table {
            thead { tr { th scope="col" { "Severity" } th scope="col" { "Object" } th scope="col" { "Rule" } th scope="col" { "Why it was not fixed, and what to do" } } }
            tbody {
                @for left in &report.remaining {
                    tr data-tag=(left.severity) {
                        td { (severity(left.severity)) }
                        td { (code(&place(&left.object, left.container.as_deref()))) }
                        td { (rule_link(&left.rule)) }
                        td.wide { (text(&left.reason)) }
                    }
                }
            }
        }
    };
    let mut severities: Vec<_> = report.remaining.iter().map(|left| left.severity).collect();
    severities.sort_unstable_by(|a, b| b.cmp(a));
    severities.dedup();
    let tags: Vec<(&str, &str)> = severities.iter().map(|s| (s.name(), s.name())).collect();
    let body = html! {
        @if report.remaining.is_empty() {
            p { "No rule that looked at the chart is broken any more." }
        } @else {
            (filterable("open places", &tags, &table))
        }
    };
    Section::new("open", "What was not fixed", report.remaining.len(), body)
}

fn waived(report: &Report) -> Section {
    let table = html! {
        table {
            thead { tr { th scope="col" { "Object" } th scope="col" { "Rule" } th scope="col" { "Reason" } th scope="col" { "Until" } } }
            tbody {
                @for waived in &report.waived {
                    tr {
                        td { (code(&place(&waived.object, waived.container.as_deref()))) }
                        td { (rule_link(&waived.rule)) }
                        td.wide { (text(&waived.reason)) }
                        td { @match &waived.expires { Some(day) => (text(day)), None => span.soft { "it is removed" } } }
                    }
                }
            }
        }
    };
    let body = html! {
        @if report.waived.is_empty() {
            p { "Nothing is waived at these values." }
        } @else {
            p { "Accepted deviations. The chart refuses to render once one has run out." }
            (filterable("waivers", &[], &table))
        }
    };
    Section::new("waived", "What was waived", report.waived.len(), body)
}

pub(super) fn upgrade(report: &Report) -> Option<Section> {
    let notes = advice::notes(report);
    let body = html! {
        @for note in &notes {
            h3 { (note.title) }
            p { (note.text) }
            @if !note.places.is_empty() { (list(&note.places, 6)) }
        }
    };
    (!notes.is_empty()).then(|| Section::new("upgrade", "Upgrading a release", None, body))
}

/// Every rule that was asked, and how it did.
pub(super) fn rules(report: &Report) -> Section {
    let table = html! {
        table {
            thead { tr {
                th scope="col" { "Rule" } th scope="col" { "What and why" } th.n scope="col" { "Looked at" } th.n scope="col" { "Fixed" }
                th.n scope="col" { "Open" } th.n scope="col" { "Waived" } th scope="col" { "References" }
            } }
            tbody {
                @for tally in &report.rules {
                    tr id={ "rule-" (tally.rule) } {
                        th scope="row" { (tally.rule) }
                        td.wide {
                            @if let Some(rule) = rule(&tally.rule) {
                                (rule.title)
                                details { summary { "why" } p { (rule.rationale) } p.soft { "Fix: " (rule.safety.meaning()) } }
                            }
                        }
                        @if tally.off {
                            td colspan="4" { span class="chip unsure" { "switched off" } }
                        } @else {
                            td.n { (tally.looked_at) } td.n { (tally.fixed) } td.n { (tally.open) } td.n { (tally.waived) }
                        }
                        td.wide { @if let Some(rule) = rule(&tally.rule) { span.soft { (rule.references.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")) } } }
                    }
                }
            }
        }
    };
    let body = html! {
        p { "A rule is switched off in the values with " code { "global.hardening.rules.RULE.enabled: false" } ", or waived at one place with " code { "global.hardening.waivers" } " or " code { "quench waive" } "." }
        (filterable("rules", &[], &table))
        @if report.rules.is_empty() { (plain("rules", &html! { p { "The report was made before rules were counted." } })) }
    };
    Section::new("rules", "The rules", report.rules.len(), body)
}
