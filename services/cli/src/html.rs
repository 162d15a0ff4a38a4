//! The report of a package or chart as one self-contained HTML page: no script, style, font or image from anywhere else.
//!
//! Charts and images are hostile, and the page quotes them everywhere: markup is only made by `maud`, which escapes
//! what it is given, and the page's own policy lets nothing run or load but the one style and the one script it brings.
//! Without scripts everything is there; the script only filters tables.

mod changes;
mod controls;
mod diagram;
mod findings;
mod objects;
mod overview;
mod parameters;
mod software;
mod values;

use base64::Engine as _;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use quench_chart::values_documentation::ValuesDocumentation;
use quench_model::{Digest, Finding, Level};
use quench_rules::hardening::is_deceptive;
use quench_rules::hardening::report::Report;
use serde_json::Value;

use crate::image_details::ImageDetail;
use crate::summary::Summary;

const STYLE: &str = include_str!("html/style.css");
const SCRIPT: &str = include_str!("html/filter.js");

/// What a page is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Name of the package or chart.
    pub name: &'a str,
    /// Version of the chart.
    pub version: &'a str,
    /// Level reached.
    pub level: Level,
    /// What hardening did to the chart; none before level 2.
    pub report: Option<&'a Report>,
    /// Every value of the chart; none when they could not be read.
    pub values: Option<&'a ValuesDocumentation>,
    /// Every finding.
    pub findings: &'a [Finding],
    /// What only a package has.
    pub package: Option<PackagePart<'a>>,
}

/// What only a package has.
#[derive(Debug, Clone, Copy)]
pub struct PackagePart<'a> {
    /// Levels and digests of its revisions, newest first.
    pub revisions: &'a [(Level, Digest)],
    /// Its numbers.
    pub summary: &'a Summary,
    /// Its images.
    pub images: &'a [ImageDetail],
}

/// A part of the page.
struct Section {
    id: &'static str,
    title: &'static str,
    /// How many things are in it.
    count: Option<usize>,
    body: Markup,
}

impl Section {
    fn new(
        id: &'static str,
        title: &'static str,
        count: impl Into<Option<usize>>,
        body: Markup,
    ) -> Self {
        Self {
            id,
            title,
            count: count.into(),
            body,
        }
    }
}

/// The page.
pub fn page(subject: &Subject<'_>) -> String {
    let sections: Vec<Section> = sections(subject);
    let title = format!("{} {}: hardening report", subject.name, subject.version);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width,initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (text(&title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#report" { "Skip to the report" }
                div.page {
                    nav.side aria-label="Sections" {
                        @for section in &sections {
                            a href={ "#" (section.id) } {
                                (section.title)
                                @if let Some(count) = section.count { " " span.count { (count) } }
                            }
                        }
                    }
                    main id="report" {
                        (overview::header(subject))
                        @for section in &sections {
                            section aria-labelledby=(section.id) {
                                h2 id=(section.id) { (section.title) }
                                (section.body)
                            }
                        }
                        footer {
                            p { "Made by Quench from the package alone: the same package gives the same page. It holds no times and loads nothing." }
                        }
                    }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

fn sections(subject: &Subject<'_>) -> Vec<Section> {
    let mut sections = vec![overview::numbers(subject)];
    if let Some(report) = subject.report {
        sections.extend(changes::sections(report));
        sections.extend(parameters::section(report));
        sections.push(controls::section(report));
        sections.extend(objects::network(report));
    }
    if let Some(part) = &subject.package {
        sections.push(software::images(part));
    }
    if let Some(report) = subject.report {
        sections.extend(objects::containers(report));
        sections.extend(objects::permissions(report));
    }
    sections.extend(subject.values.map(values::section));
    if let Some(report) = subject.report {
        sections.extend(changes::upgrade(report));
    }
    sections.extend(findings::sections(subject));
    if let Some(part) = &subject.package {
        sections.push(software::revisions(part));
    }
    if let Some(report) = subject.report {
        sections.push(changes::rules(report));
    }
    sections
}

/// Nothing loads, and nothing runs but the style and the script of the page.
fn policy() -> String {
    let source = |text: &str| {
        let digest = Digest::of(text.as_bytes()).hex();
        let bytes = hex::decode(digest).unwrap_or_default();
        base64::engine::general_purpose::STANDARD.encode(bytes)
    };
    format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; base-uri 'none'; form-action 'none'",
        source(STYLE),
        source(SCRIPT)
    )
}

/// Foreign text: characters that make it read other than it is are shown by their number.
fn text(text: &str) -> String {
    let hidden = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_deceptive(c);
    if !text.contains(hidden) {
        return text.to_owned();
    }
    text.chars()
        .map(|c| {
            if hidden(c) {
                format!("\\u{{{:x}}}", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect()
}

/// Foreign text as a program would have it.
fn code(content: &str) -> Markup {
    html! { code { (text(content)) } }
}

/// A value of a manifest; what is not there is said so.
fn value(value: Option<&Value>) -> Markup {
    match value {
        None => html! { span.soft { "nothing" } },
        Some(Value::String(content)) => code(content),
        Some(value) => code(&value.to_string()),
    }
}

/// A list, its first entries in sight and the rest unfolded on demand.
fn list(items: &[String], most: usize) -> Markup {
    let (first, rest) = items.split_at_checked(most).unwrap_or((items, &[]));
    html! {
        @match first {
            [] => {}
            [one] => { (code(one)) }
            several => { ul { @for item in several { li { (code(item)) } } } }
        }
        @if !rest.is_empty() {
            details {
                summary { (rest.len()) " more" }
                ul { @for item in rest { li { (code(item)) } } }
            }
        }
    }
}

/// A table that can be searched, and narrowed by tags: name of a tag and what it is called.
fn filterable(label: &str, tags: &[(&str, &str)], table: &Markup) -> Markup {
    html! {
        div.filterable {
            div.tools hidden {
                input type="search" placeholder={ "Search " (label) } aria-label={ "Search " (label) };
                @for (tag, name) in tags {
                    button type="button" value=(tag) aria-pressed="false" { (name) }
                }
                output aria-live="polite" {}
            }
            div.scroll tabindex="0" role="region" aria-label=(label) { (table) }
        }
    }
}

/// A table that is not searched.
fn plain(label: &str, table: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(label) { (table) } }
}

/// A number before and after.
fn arrow(before: impl ToString, after: impl ToString) -> Markup {
    let (before, after) = (before.to_string(), after.to_string());
    html! {
        @if before != after { span.was { (before) " → " } }
        (after)
    }
}

/// Colour of a severity.
fn severity_class(severity: quench_model::Severity) -> &'static str {
    use quench_model::Severity;
    match severity {
        Severity::Critical | Severity::High => "chip bad",
        Severity::Medium => "chip unsure",
        Severity::Low | Severity::Info | Severity::Unknown => "chip",
    }
}

fn severity(severity: quench_model::Severity) -> Markup {
    html! { span class=(severity_class(severity)) { (severity) } }
}

/// A rule, leading to what is said about it.
fn rule_link(id: &str) -> Markup {
    let id = text(id);
    html! { a href={ "#rule-" (id) } { (id) } }
}

/// `Kind/name[/container]`.
fn place(object: &str, container: Option<&str>) -> String {
    match container {
        Some(container) => format!("{object}/{container}"),
        None => object.to_owned(),
    }
}

#[cfg(test)]
mod tests;
