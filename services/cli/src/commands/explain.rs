//! `quench explain`: what hardening did to one object or container, and why.

use std::collections::BTreeSet;

use anyhow::Result;
use quench_rules::hardening::controls;
use quench_rules::hardening::report::{Change, PodVerdict, Remaining, Report, Waived};
use serde_json::{Value, json};

use crate::args::ExplainArgs;
use crate::examined;
use crate::exit::{Exit, Failure};
use crate::nearest::nearest;
use crate::session::Session;
use crate::style;

/// Tells what hardening did to an object or container.
pub async fn run(session: &Session, args: &ExplainArgs) -> Result<Exit> {
    let report = report(session, args).await?;
    let place = find(&report, &args.place, &args.package)?;
    let told = Told::of(&report, &place);
    if session.json {
        session.print_json(&told.as_json(&report))?;
    } else {
        told.print(&report);
    }
    Ok(Exit::Done)
}

async fn report(session: &Session, args: &ExplainArgs) -> Result<Report> {
    if examined::is_chart(&args.package)? {
        return Ok(examined::of_chart(args.package.as_ref(), &args.files)
            .await?
            .report);
    }
    examined::refuse_files(&args.files)?;
    let store = session.open_store()?;
    let package = session.find(&store, &args.package).await?;
    let lineage = package.lineage(&store).await?;
    examined::of_package(&store, &lineage)
        .await?
        .ok_or_else(|| {
            Failure::usage(format!(
                "{} is at level {} ({}); nothing is hardened before level 2",
                package.name,
                package.level.number(),
                package.level
            ))
        })
}

/// An object, or a container of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    object: String,
    container: Option<String>,
}

impl Place {
    fn name(&self) -> String {
        match &self.container {
            Some(container) => format!("{}/{container}", self.object),
            None => self.object.clone(),
        }
    }
}

/// Every place a report knows.
fn places(report: &Report) -> BTreeSet<Place> {
    let objects = report.overview.objects.iter().map(|object| Place {
        object: object.clone(),
        container: None,
    });
    let containers = report.overview.containers.iter().map(|entry| Place {
        object: entry.object.clone(),
        container: Some(entry.container.clone()),
    });
    objects.chain(containers).collect()
}

/// The place a person means. Kinds may be written in any case and as kubectl shortens them.
fn find(report: &Report, wanted: &str, package: &str) -> Result<Place> {
    let mut parts = wanted.splitn(3, '/');
    let (Some(kind), Some(name)) = (parts.next(), parts.next()) else {
        return Err(Failure::usage(format!(
            "{wanted:?} names no object; write KIND/NAME or KIND/NAME/CONTAINER, such as deployment/web"
        )));
    };
    let container = parts.next();
    let places = places(report);
    let same = |place: &&Place| {
        let (own_kind, own_name) = place.object.split_once('/').unwrap_or_default();
        own_kind.eq_ignore_ascii_case(long_kind(kind))
            && own_name == name
            && place.container.as_deref() == container
    };
    if let Some(place) = places.iter().find(same) {
        return Ok(place.clone());
    }
    let written = match container {
        Some(container) => format!("{}/{name}/{container}", long_kind(kind)),
        None => format!("{}/{name}", long_kind(kind)),
    };
    // Of a container that is not there, those of its object are the nearest.
    let siblings: Vec<String> = places
        .iter()
        .filter(|place| container.is_some() && place.container.is_some())
        .map(Place::name)
        .filter(|place| {
            place
                .to_lowercase()
                .starts_with(&format!("{}/{name}/", long_kind(kind)).to_lowercase())
        })
        .collect();
    if !siblings.is_empty() {
        return Err(Failure::usage(format!(
            "{package} renders no {written}; did you mean {}?",
            siblings.join(" or ")
        )));
    }
    let names: Vec<String> = places
        .iter()
        .filter(|place| place.container.is_some() == container.is_some())
        .map(Place::name)
        .collect();
    let of_kind: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| {
            name.split('/')
                .next()
                .is_some_and(|k| k.eq_ignore_ascii_case(long_kind(kind)))
        })
        .collect();
    let hint = nearest(&written, of_kind.iter().copied())
        .or_else(|| nearest(&written, names.iter().map(String::as_str)))
        .map(|name| format!("; did you mean {name}?"))
        .or_else(|| match of_kind.as_slice() {
            [] => None,
            names => Some(format!(
                "; of that kind there are {}",
                names.iter().take(8).copied().collect::<Vec<_>>().join(", ")
            )),
        })
        .unwrap_or_else(|| "; `helm template` shows what it renders".to_owned());
    Err(Failure::usage(format!(
        "{package} renders no {written}{hint}"
    )))
}

/// Kinds by the short names of kubectl (`kubectl api-resources`).
fn long_kind(kind: &str) -> &str {
    match kind.to_ascii_lowercase().as_str() {
        "deploy" => "Deployment",
        "sts" => "StatefulSet",
        "ds" => "DaemonSet",
        "rs" => "ReplicaSet",
        "po" => "Pod",
        "cj" => "CronJob",
        "svc" => "Service",
        "sa" => "ServiceAccount",
        "cm" => "ConfigMap",
        "ing" => "Ingress",
        "netpol" => "NetworkPolicy",
        "pdb" => "PodDisruptionBudget",
        "hpa" => "HorizontalPodAutoscaler",
        "pvc" => "PersistentVolumeClaim",
        "crd" => "CustomResourceDefinition",
        _ => kind,
    }
}

/// What is to be told of a place.
struct Told<'r> {
    place: &'r Place,
    pod: Option<&'r PodVerdict>,
    changes: Vec<&'r Change>,
    remaining: Vec<&'r Remaining>,
    waived: Vec<&'r Waived>,
}

impl<'r> Told<'r> {
    fn of(report: &'r Report, place: &'r Place) -> Self {
        // An object is explained with its containers, a container alone.
        let about = |object: &str, container: &Option<String>| {
            object == place.object && (place.container.is_none() || *container == place.container)
        };
        Self {
            place,
            pod: report.pods.iter().find(|pod| pod.object == place.object),
            changes: report
                .changes
                .iter()
                .filter(|change| about(&change.object, &change.container))
                .collect(),
            remaining: report
                .remaining
                .iter()
                .filter(|left| about(&left.object, &left.container))
                .collect(),
            waived: report
                .waived
                .iter()
                .filter(|waived| about(&waived.object, &waived.container))
                .collect(),
        }
    }

    fn as_json(&self, report: &Report) -> Value {
        json!({
            "chart": report.chart,
            "version": report.version,
            "level": report.level,
            "object": self.place.object,
            "container": self.place.container,
            "podSecurity": self.pod,
            "changes": self.changes.iter().map(|change| {
                let mut value = json!(change);
                if let Some(map) = value.as_object_mut() {
                    map.insert("controls".to_owned(), json!(controls::of_rule(&change.rule)));
                }
                value
            }).collect::<Vec<_>>(),
            "remaining": self.remaining,
            "waived": self.waived,
            "notes": report.notes,
        })
    }

    fn print(&self, report: &Report) {
        anstream::println!(
            "{}  of {} {}, rules up to level {}",
            style::paint(style::BOLD, self.place.name()),
            report.chart,
            report.version,
            report.level.number()
        );
        if let Some(pod) = self.pod {
            anstream::println!(
                "Pod Security {}",
                crate::summary::arrow(&word(&pod.before), &pod.after)
            );
            for violation in &pod.violations {
                anstream::println!("  {violation}");
            }
        }
        self.print_changes();
        if !self.remaining.is_empty() {
            anstream::println!("\n{}", style::paint(style::BOLD, "left open"));
            for left in &self.remaining {
                anstream::println!(
                    "  {}  {}{}\n      {}",
                    style::paint(style::severity(left.severity), left.severity),
                    left.rule,
                    self.container_note(left.container.as_deref()),
                    left.reason
                );
            }
        }
        if !self.waived.is_empty() {
            anstream::println!("\n{}", style::paint(style::BOLD, "waived"));
            for waived in &self.waived {
                let until = waived
                    .expires
                    .as_ref()
                    .map_or_else(String::new, |day| format!(" (until {day})"));
                anstream::println!(
                    "  {}{}\n      {}{until}",
                    waived.rule,
                    self.container_note(waived.container.as_deref()),
                    waived.reason
                );
            }
        }
        if self.changes.is_empty() && self.remaining.is_empty() && self.waived.is_empty() {
            anstream::println!(
                "\nhardening changes nothing here: no rule that looks at it is broken"
            );
        }
        for note in &report.notes {
            anstream::println!("\n{} {note}", style::paint(style::UNSURE, "note"));
        }
    }

    fn print_changes(&self) {
        if self.changes.is_empty() {
            return;
        }
        anstream::println!("\n{}", style::paint(style::BOLD, "set by hardening"));
        let mut last: Option<(&str, Option<&str>)> = None;
        for change in &self.changes {
            let key = (change.rule.as_str(), change.container.as_deref());
            if last != Some(key) {
                let title = quench_rules::rule(&change.rule).map_or("", |rule| rule.title);
                anstream::println!(
                    "  {}: {title}{}",
                    change.rule,
                    self.container_note(change.container.as_deref())
                );
                for fact in &change.evidence {
                    anstream::println!(
                        "      {}",
                        style::paint(
                            style::DIM,
                            format!("because {}: {}", fact.source, fact.fact)
                        )
                    );
                }
                last = Some(key);
            }
            anstream::println!(
                "      {}: {} → {}",
                if change.path.is_empty() {
                    &change.field
                } else {
                    &change.path
                },
                show(change.before.as_ref()),
                style::paint(style::GOOD, show(change.after.as_ref())),
            );
        }
    }

    /// Which container a line is about, where that is not said already.
    fn container_note(&self, container: Option<&str>) -> String {
        match (container, &self.place.container) {
            (Some(container), None) => format!(" (container {container})"),
            _ => String::new(),
        }
    }
}

fn word(standard: &str) -> &str {
    if standard.is_empty() {
        "nothing"
    } else {
        standard
    }
}

fn show(value: Option<&Value>) -> String {
    match value {
        None => "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
}
