//! The chart's own parameters: what was chosen, and what is recommended.

use maud::html;
use quench_rules::hardening::report::Report;

use super::{Section, code, filterable, severity, text, value};

pub(super) fn section(report: &Report) -> Option<Section> {
    let parameters = report.parameters.as_ref()?;
    let count = parameters.kept.len() + parameters.recommended.len();
    if count == 0 {
        return None;
    }
    let kept = html! {
        table {
            thead { tr { th scope="col" { "Value" } th scope="col" { "Before → now" } th scope="col" { "Why" } th scope="col" { "Controls" } } }
            tbody {
                @for kept in &parameters.kept {
                    tr {
                        td.wide { (code(&kept.path)) div.soft { (text(&kept.meaning)) } }
                        td.wide { span.before { (value(Some(&kept.before))) } " → " span.after { (value(Some(&kept.after))) } }
                        td.wide { (text(&kept.why)) }
                        td { span.soft { (text(&kept.references.join(", "))) } }
                    }
                }
            }
        }
    };
    let recommended = html! {
        table {
            thead { tr { th scope="col" { "Severity" } th scope="col" { "Value" } th scope="col" { "Is → should be" } th scope="col" { "Why" } th scope="col" { "Why it was not changed" } } }
            tbody {
                @for left in &parameters.recommended {
                    tr {
                        td { (severity(left.severity)) }
                        td.wide { (code(&left.path)) div.soft { (text(&left.meaning)) } }
                        td.wide {
                            span.before { (value(Some(&left.current))) }
                            @if let Some(better) = &left.recommended { " → " span.after { (value(Some(better))) } }
                        }
                        td.wide { (text(&left.why)) }
                        td.wide { (text(&left.reason)) }
                    }
                }
            }
        }
    };
    let body = html! {
        @if !parameters.kept.is_empty() {
            p { "Values of the chart that have safer defaults now. What a user gives wins over them." }
            (filterable("chosen parameters", &[], &kept))
        }
        @if !parameters.recommended.is_empty() {
            h3 { "Recommended" }
            p { "Values that would be safer, and what it would take." }
            (filterable("recommended parameters", &[], &recommended))
        }
    };
    Some(Section::new(
        "parameters",
        "The chart's parameters",
        count,
        body,
    ))
}
