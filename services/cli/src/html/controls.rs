//! The control matrix.

use maud::{Markup, html};
use quench_rules::hardening::controls::{ControlVerdict, FRAMEWORKS, Status};
use quench_rules::hardening::report::Report;

use super::{Section, filterable, list, rule_link, text};

pub(super) fn section(report: &Report) -> Section {
    let tags: Vec<(String, &str)> = Status::ALL
        .into_iter()
        .map(|status| (tag(status), status.name()))
        .collect();
    let tags: Vec<(&str, &str)> = tags
        .iter()
        .map(|(tag, name)| (tag.as_str(), *name))
        .collect();
    let body = html! {
        p {
            "How the chart stands to each control, at the values it was hardened with. What a chart cannot show, what no rule looks at, and what is "
            "switched off is “cannot be judged”, never “met”."
        }
        div.scroll tabindex="0" role="region" aria-label="controls in numbers" { (summary(report)) }
        @for framework in FRAMEWORKS {
            h3 { (framework.name) }
            (filterable(framework.name, &tags, &table(report, framework.name)))
        }
    };
    Section::new("controls", "Controls", report.controls.len(), body)
}

fn summary(report: &Report) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Benchmark or standard" } @for status in Status::ALL { th.n scope="col" { (status.name()) } } } }
            tbody {
                @for framework in FRAMEWORKS {
                    tr {
                        th scope="row" { (framework.name) }
                        @for status in Status::ALL {
                            td.n { (report.controls.iter().filter(|v| v.framework == framework.name && v.status == status).count()) }
                        }
                    }
                }
            }
        }
    }
}

fn table(report: &Report, framework: &str) -> Markup {
    html! {
        table {
            thead { tr {
                th scope="col" { "Control" } th scope="col" { "Asks for" } th scope="col" { "Status" } th scope="col" { "Rules" }
                th.n scope="col" { "Looked at" } th scope="col" { "Where it is broken" } th scope="col" { "Note" }
            } }
            tbody {
                @for verdict in report.controls.iter().filter(|v| v.framework == framework) {
                    (row(verdict))
                }
            }
        }
    }
}

fn row(verdict: &ControlVerdict) -> Markup {
    let class = match verdict.status {
        Status::Met | Status::MetByHardening => "chip good",
        Status::Open => "chip bad",
        Status::Waived => "chip note",
        Status::NotJudged => "chip unsure",
        Status::NotApplicable => "chip",
    };
    html! {
        tr data-tag=(tag(verdict.status)) {
            th scope="row" { (verdict.control) }
            td.wide { (verdict.title) }
            td { span class=(class) { (verdict.status.name()) } }
            td { @for rule in &verdict.rules { (rule_link(rule)) br; } }
            td.n { @if verdict.status != Status::NotJudged { (verdict.looked_at) } }
            td { (list(&verdict.places, 3)) }
            td.wide { span.soft { (text(&verdict.why)) } }
        }
    }
}

fn tag(status: Status) -> String {
    status.name().replace(' ', "-")
}
