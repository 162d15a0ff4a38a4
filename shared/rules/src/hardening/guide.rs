//! The guide that goes into a hardened chart.
//!
//! Helm keeps every file of a chart in the Secret of each release, which may have 1 MiB compressed, whether `.helmignore`
//! names it or not once the chart is an archive. So the guide is kept small: what is the same at many places is said once,
//! long lists are cut with a word on where the rest is, and the page that `quench report` writes has everything.

mod diagram;
mod markdown;
mod parameters;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use super::controls::{FRAMEWORKS, Status};
use super::overview::Overview;
use super::report::Report;
use super::upgrade;
use crate::rule;

use markdown::{Table, cell, listed};

/// Most rows of a table.
const MAX_ROWS: usize = 120;

/// The guide as Markdown. It tells of the values the chart was hardened at; other values may render other objects.
pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = compose(&mut text, report);
    text
}

fn compose(out: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(out, "# How {} hardens itself\n", cell(&report.chart))?;
    writeln!(
        out,
        "Every object this chart renders passes through rules, for every set of values. At the values it was hardened \
         with, version {} renders {} objects, {} of them workloads:\n",
        cell(&report.version),
        report.after.objects,
        report.after.workloads
    )?;
    numbers(out, report)?;
    for note in &report.notes {
        writeln!(out, "{}\n", cell(note))?;
    }
    out.push_str(SETTINGS);
    parameters::write(out, report)?;
    changes(out, report)?;
    remaining(out, report)?;
    waived(out, report)?;
    pods(out, report)?;
    controls(out, report)?;
    network(out, &report.overview)?;
    permissions(out, &report.overview)?;
    containers(out, &report.overview)?;
    upgrade_notes(out, report)?;
    rules(out, report)
}

fn numbers(out: &mut String, report: &Report) -> std::fmt::Result {
    let mut table = Table::new(&["", "before", "after"]);
    let (before, after) = (&report.before, &report.after);
    table.row([
        "places that break a rule".to_owned(),
        before.findings.to_string(),
        after.findings.to_string(),
    ]);
    for severity in before.by_severity.keys().rev() {
        let count = |numbers: &BTreeMap<_, usize>| {
            numbers
                .get(severity)
                .copied()
                .unwrap_or_default()
                .to_string()
        };
        table.row([
            format!("of severity {severity}"),
            count(&before.by_severity),
            count(&after.by_severity),
        ]);
    }
    table.row([
        "workloads that pass Pod Security \"restricted\"".to_owned(),
        before.restricted.to_string(),
        after.restricted.to_string(),
    ]);
    writeln!(out, "{}", table.text(usize::MAX))
}

fn changes(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.changes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## What was changed\n")?;
    /// Position of the rule, its id, the field, what became of it.
    type Key<'r> = (usize, &'r str, &'r str, String);
    /// Places and evidence.
    type Group = (Vec<String>, Vec<String>);
    let mut groups: BTreeMap<Key<'_>, Group> = BTreeMap::new();
    for change in &report.changes {
        let what = format!(
            "{} → {}",
            show(change.before.as_ref()),
            show(change.after.as_ref())
        );
        let position = crate::rules().position(|rule| rule.id == change.rule);
        let key = (
            position.unwrap_or(usize::MAX),
            &*change.rule,
            &*change.field,
            what,
        );
        let (places, evidence) = groups.entry(key).or_default();
        places.push(place(&change.object, change.container.as_deref()));
        for fact in &change.evidence {
            let fact = format!("{}: {}", fact.source, fact.fact);
            if !evidence.contains(&fact) {
                evidence.push(fact);
            }
        }
    }
    let mut table = Table::new(&["rule", "field", "before → after", "where", "evidence"]);
    for ((_, rule, field, what), (places, evidence)) in groups {
        table.row([
            rule.to_owned(),
            cell(field),
            cell(&what),
            listed(&places, 6),
            listed(&evidence, 2),
        ]);
    }
    writeln!(out, "{}", table.text(MAX_ROWS))
}

fn remaining(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.remaining.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## What was not, and why\n")?;
    let mut groups: Vec<(&str, String, &str, Vec<String>)> = Vec::new();
    for left in &report.remaining {
        let at = place(&left.object, left.container.as_deref());
        match groups
            .iter_mut()
            .find(|(rule, _, reason, _)| *rule == left.rule && *reason == left.reason)
        {
            Some((.., places)) => places.push(at),
            None => groups.push((
                &left.rule,
                left.severity.to_string(),
                &left.reason,
                vec![at],
            )),
        }
    }
    let mut table = Table::new(&["severity", "rule", "why", "where"]);
    for (rule, severity, reason, places) in groups {
        table.row([severity, rule.to_owned(), cell(reason), listed(&places, 12)]);
    }
    writeln!(out, "{}", table.text(MAX_ROWS))
}

fn waived(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.waived.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## What was waived\n")?;
    let mut table = Table::new(&["rule", "where", "reason", "until"]);
    for waived in &report.waived {
        table.row([
            waived.rule.clone(),
            cell(&place(&waived.object, waived.container.as_deref())),
            cell(&waived.reason),
            cell(waived.expires.as_deref().unwrap_or("it is removed")),
        ]);
    }
    writeln!(out, "{}", table.text(MAX_ROWS))
}

fn pods(out: &mut String, report: &Report) -> std::fmt::Result {
    let open: Vec<_> = report
        .pods
        .iter()
        .filter(|pod| pod.after != "restricted")
        .collect();
    if open.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## What keeps pods from \"restricted\"\n")?;
    for pod in open.iter().take(MAX_ROWS) {
        writeln!(
            out,
            "- {}: {}",
            cell(&pod.object),
            cell(&pod.violations.join("; "))
        )?;
    }
    if open.len() > MAX_ROWS {
        writeln!(out, "- and {} more", open.len() - MAX_ROWS)?;
    }
    Ok(())
}

fn controls(out: &mut String, report: &Report) -> std::fmt::Result {
    if report.controls.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Controls\n")?;
    writeln!(
        out,
        "How the chart stands to each control at the values it was hardened with. What a chart cannot show, or no rule \
         looks at, is \"cannot be judged\", never \"met\".\n"
    )?;
    let mut table = Table::new(
        &std::iter::once("")
            .chain(Status::ALL.map(Status::name))
            .collect::<Vec<_>>(),
    );
    for framework in FRAMEWORKS {
        let count = |status: Status| {
            report
                .controls
                .iter()
                .filter(|verdict| verdict.framework == framework.name && verdict.status == status)
                .count()
                .to_string()
        };
        table.row(std::iter::once(framework.name.to_owned()).chain(Status::ALL.map(count)));
    }
    writeln!(out, "{}", table.text(usize::MAX))?;
    for framework in FRAMEWORKS {
        writeln!(out, "### {}\n", framework.name)?;
        let mut table = Table::new(&["control", "what it asks for", "status", "rules", "note"]);
        for verdict in &report.controls {
            if verdict.framework == framework.name {
                table.row([
                    verdict.control.clone(),
                    verdict.title.clone(),
                    verdict.status.name().to_owned(),
                    verdict.rules.join(", "),
                    cell(&verdict.why),
                ]);
            }
        }
        writeln!(out, "{}", table.text(usize::MAX))?;
    }
    Ok(())
}

fn network(out: &mut String, overview: &Overview) -> std::fmt::Result {
    let network = &overview.network;
    if network.edges.is_empty() && network.policies.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Network\n")?;
    writeln!(
        out,
        "Read from Services, ingresses, tokens, webhooks, and hosts named in the environment, arguments and ConfigMaps of workloads; \
         what programs call of their own accord is not seen. Workloads with a thick border are limited by a network policy of the chart.\n"
    )?;
    if !network.edges.is_empty() {
        writeln!(out, "```mermaid\n{}```\n", diagram::mermaid(network))?;
    }
    if !network.policies.is_empty() {
        let mut table = Table::new(&["network policy", "for", "lets in", "lets out"]);
        let rules = |rules: &Option<Vec<String>>| match rules {
            None => "not limited".to_owned(),
            Some(rules) if rules.is_empty() => "nothing".to_owned(),
            Some(rules) => listed(rules, 8),
        };
        for policy in &network.policies {
            table.row([
                cell(&policy.name),
                listed(&policy.workloads, 6),
                rules(&policy.ingress),
                rules(&policy.egress),
            ]);
        }
        writeln!(out, "{}", table.text(MAX_ROWS))?;
    }
    Ok(())
}

fn permissions(out: &mut String, overview: &Overview) -> std::fmt::Result {
    if overview.permissions.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Who may do what\n")?;
    let mut table = Table::new(&["account", "where", "resources", "verbs", "role", "mind"]);
    // What is far-reaching comes first, should the table be cut.
    let (grave, plain): (Vec<_>, Vec<_>) = overview
        .permissions
        .iter()
        .partition(|permission| !permission.concern.is_empty());
    for permission in grave.into_iter().chain(plain) {
        let names = match permission.names.as_slice() {
            [] => String::new(),
            names => format!(" named {}", names.join(", ")),
        };
        table.row([
            cell(&permission.account),
            if permission.cluster_wide {
                "cluster".to_owned()
            } else {
                "namespace".to_owned()
            },
            if permission.known {
                cell(&format!("{}{names}", permission.resources.join(", ")))
            } else {
                "not in the chart".to_owned()
            },
            cell(&permission.verbs.join(", ")),
            cell(&permission.role),
            cell(&permission.concern),
        ]);
    }
    writeln!(out, "{}", table.text(60))
}

fn containers(out: &mut String, overview: &Overview) -> std::fmt::Result {
    if overview.containers.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Containers\n")?;
    let mut table = Table::new(&["container", "image", "user", "root", "ports", "volumes"]);
    for container in &overview.containers {
        let ports: Vec<String> = container
            .ports
            .iter()
            .map(|port| {
                format!("{} {}", port.number, port.name)
                    .trim_end()
                    .to_owned()
            })
            .collect();
        let mounts: Vec<String> = container
            .mounts
            .iter()
            .map(|mount| {
                let kind = overview
                    .volumes
                    .iter()
                    .find(|v| v.object == container.object && v.volume == mount.volume)
                    .map_or("", |volume| volume.kind.as_str());
                format!("{} {kind}", mount.path)
            })
            .collect();
        table.row([
            cell(&place(&container.object, Some(&container.container))),
            cell(&container.image),
            container
                .user
                .map_or_else(|| "the image's".to_owned(), |user| user.to_string()),
            if container.read_only_root {
                "read-only".to_owned()
            } else {
                "writable".to_owned()
            },
            listed(&ports, 6),
            listed(&mounts, 6),
        ]);
    }
    writeln!(out, "{}", table.text(MAX_ROWS))
}

fn upgrade_notes(out: &mut String, report: &Report) -> std::fmt::Result {
    let notes = upgrade::notes(report);
    if notes.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## Upgrading a release to this chart\n")?;
    for note in notes {
        write!(out, "- **{}** {}", note.title, cell(&note.text))?;
        if note.places.is_empty() {
            writeln!(out)?;
        } else {
            writeln!(out, " Here: {}.", listed(&note.places, 12))?;
        }
    }
    Ok(())
}

fn rules(out: &mut String, report: &Report) -> std::fmt::Result {
    let mut rules: Vec<&str> = report
        .changes
        .iter()
        .map(|change| change.rule.as_str())
        .chain(report.remaining.iter().map(|place| place.rule.as_str()))
        .chain(report.waived.iter().map(|place| place.rule.as_str()))
        .collect();
    rules.sort_unstable();
    rules.dedup();
    if rules.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n## The rules\n")?;
    for id in rules {
        if let Some(rule) = rule(id) {
            let references: Vec<String> = rule.references.iter().map(ToString::to_string).collect();
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
      parameters:
        enabled: false     # the chart's own defaults, also where hardening chose safer ones
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
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}
