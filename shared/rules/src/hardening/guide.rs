//! The guide that goes into a hardened chart.

use std::fmt::Write as _;

use serde_json::Value;

use super::report::Report;
use crate::rule;

/// The guide as Markdown. It tells of the values the chart was hardened at; other values may render other objects.
pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = compose(&mut text, report);
    text
}

fn compose(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# How {} hardens itself\n", report.chart)?;
    writeln!(
        out,
        "Every object this chart renders passes through rules, for every set of values. At the values it was hardened \
         with, version {} renders {} objects, {} of them workloads:\n",
        report.version, report.after.objects, report.after.workloads
    )?;
    writeln!(out, "| | before | after |\n|---|---|---|")?;
    writeln!(
        out,
        "| places that break a rule | {} | {} |",
        report.before.findings, report.after.findings
    )?;
    writeln!(
        out,
        "| workloads that pass Pod Security \"restricted\" | {} | {} |\n",
        report.before.restricted, report.after.restricted
    )?;
    for note in &report.notes {
        writeln!(out, "{note}\n")?;
    }
    out.push_str(SETTINGS);
    if !report.changes.is_empty() {
        writeln!(out, "\n## What was changed\n")?;
        writeln!(
            out,
            "| object | rule | field | before | after | evidence |\n|---|---|---|---|---|---|"
        )?;
        for change in &report.changes {
            let evidence: Vec<String> = change
                .evidence
                .iter()
                .map(|fact| format!("{}: {}", fact.source, fact.fact))
                .collect();
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} |",
                cell(&place(&change.object, change.container.as_deref())),
                change.rule,
                cell(&change.field),
                cell(&show(change.before.as_ref())),
                cell(&show(change.after.as_ref())),
                cell(&evidence.join("; "))
            )?;
        }
    }
    if !report.remaining.is_empty() {
        writeln!(out, "\n## What was not, and why\n")?;
        writeln!(out, "| object | rule | severity | why |\n|---|---|---|---|")?;
        for place_left in &report.remaining {
            writeln!(
                out,
                "| {} | {} | {} | {} |",
                cell(&place(&place_left.object, place_left.container.as_deref())),
                place_left.rule,
                place_left.severity,
                cell(&place_left.reason)
            )?;
        }
    }
    if !report.waived.is_empty() {
        writeln!(out, "\n## What was waived\n")?;
        writeln!(out, "| object | rule | reason | until |\n|---|---|---|---|")?;
        for waived in &report.waived {
            writeln!(
                out,
                "| {} | {} | {} | {} |",
                cell(&place(&waived.object, waived.container.as_deref())),
                waived.rule,
                cell(&waived.reason),
                waived.expires.as_deref().unwrap_or("")
            )?;
        }
    }
    let open: Vec<_> = report
        .pods
        .iter()
        .filter(|pod| pod.after != "restricted")
        .collect();
    if !open.is_empty() {
        writeln!(out, "\n## What keeps pods from \"restricted\"\n")?;
        for pod in open {
            writeln!(out, "- {}: {}", pod.object, pod.violations.join("; "))?;
        }
    }
    let mut rules: Vec<&str> = report
        .changes
        .iter()
        .map(|change| change.rule.as_str())
        .chain(report.remaining.iter().map(|place| place.rule.as_str()))
        .collect();
    rules.sort_unstable();
    rules.dedup();
    if !rules.is_empty() {
        writeln!(out, "\n## The rules\n")?;
        for id in rules {
            if let Some(rule) = rule(id) {
                let references: Vec<String> =
                    rule.references.iter().map(ToString::to_string).collect();
                writeln!(
                    out,
                    "- **{}**: {}. {} ({})",
                    rule.id,
                    rule.title,
                    rule.rationale,
                    references.join(", ")
                )?;
            }
        }
    }
    Ok(())
}

const SETTINGS: &str = "## Settings\n
Values under `global.hardening` change what is done; they hold for subcharts too.\n
```yaml
global:
  hardening:
    enabled: true          # false: the chart renders what it always did
    registry: \"\"           # pull the images of the package from here
    platform: kubernetes   # openshift: leave user ids to the platform
    rules:
      read-only-root:
        enabled: false     # a rule, switched off
    waivers:               # a rule, switched off where it cannot hold; refused without a reason and after its day
      - rule: read-only-root
        kind: Deployment
        name: web-*
        container: app
        reason: writes its cache beside the program
        expires: \"2027-01-31\"
```
";

fn place(object: &str, container: Option<&str>) -> String {
    match container {
        Some(container) => format!("{object}/{container}"),
        None => object.to_owned(),
    }
}

fn show(value: Option<&Value>) -> String {
    match value {
        None => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}

/// Text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}
