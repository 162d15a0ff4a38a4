//! `quench waive`: accepted deviations in a policy file.

use anyhow::{Context as _, Result};
use quench_chart::yaml;
use quench_model::Waiver;
use serde_json::{Value, json};
use time::Date;
use time::format_description::well_known::Iso8601;

use crate::args::WaiveArgs;
use crate::exit::{Exit, Failure};
use crate::files::write_whole;
use crate::inputs;
use crate::nearest::did_you_mean;
use crate::policy_file::{PolicyFile, block_item, fields};
use crate::session::Session;
use crate::style;

/// Writes a waiver into a policy, takes one out, or lists them.
pub fn run(session: &Session, args: &WaiveArgs) -> Result<Exit> {
    if args.list {
        return list(session, args);
    }
    let rule = args.rule.clone().unwrap_or_default();
    let file = read(args)?;
    if args.remove {
        return remove(session, args, &file, &rule);
    }
    let waiver = Waiver {
        rule,
        kind: args.kind.clone(),
        name: args.name.clone(),
        container: args.container.clone(),
        reason: args.reason.clone().unwrap_or_default().trim().to_owned(),
        expires: args.expires.clone(),
    };
    check(&waiver, inputs::today())?;
    if let Some(other) = file
        .policy()
        .waivers
        .iter()
        .find(|other| same_scope(other, &waiver))
    {
        return Err(Failure::usage(format!(
            "{} has a waiver for {} already: {:?}{}; take it out with --remove first",
            args.policy.display(),
            place(other),
            other.reason,
            other
                .expires
                .as_ref()
                .map_or_else(String::new, |day| format!(", until {day}")),
        )));
    }
    let changed = file.with(&waiver)?;
    write_whole(&args.policy, changed.text().as_bytes())?;
    let values = is_rule(&waiver.rule).then(|| values_snippet(&waiver));
    if session.json {
        session.print_json(&json!({
            "policy": args.policy,
            "added": waiver,
            "values": is_rule(&waiver.rule).then(|| json!({
                "global": { "hardening": { "waivers": [fields(&waiver)] } }
            })),
        }))?;
    } else if !session.quiet {
        anstream::println!("{} is waived in {}", place(&waiver), args.policy.display());
        if let Some(values) = values {
            anstream::println!("\nthe same from the values of a hardened chart:\n\n{values}");
        }
    }
    Ok(Exit::Done)
}

fn list(session: &Session, args: &WaiveArgs) -> Result<Exit> {
    if !args.policy.exists() {
        return Err(Failure::usage(format!(
            "there is no policy {}; name one with --policy FILE",
            args.policy.display()
        )));
    }
    let file = read(args)?;
    let waivers = &file.policy().waivers;
    let today = inputs::today();
    if session.json {
        let all: Vec<Value> = waivers
            .iter()
            .map(|waiver| json!({ "waiver": waiver, "state": state(waiver, today).0 }))
            .collect();
        session.print_json(&all)?;
        return Ok(Exit::Done);
    }
    if waivers.is_empty() {
        anstream::eprintln!("no waivers in {}", args.policy.display());
        return Ok(Exit::Done);
    }
    let mut table = style::table(&["rule", "where", "until", "state", "reason"]);
    for waiver in waivers {
        let (state, good) = state(waiver, today);
        let colour = if good { style::GOOD } else { style::BAD };
        table.add_row([
            waiver.rule.clone(),
            scope(waiver),
            waiver.expires.clone().unwrap_or_default(),
            style::paint(colour, state),
            waiver.reason.clone(),
        ]);
    }
    anstream::println!("{}", style::lines(&table));
    Ok(Exit::Done)
}

fn remove(session: &Session, args: &WaiveArgs, file: &PolicyFile, rule: &str) -> Result<Exit> {
    let wanted = |waiver: &Waiver| {
        let fits = |asked: &Option<String>, has: &Option<String>| asked.is_none() || asked == has;
        waiver.rule == rule
            && fits(&args.kind, &waiver.kind)
            && fits(&args.name, &waiver.name)
            && fits(&args.container, &waiver.container)
    };
    let waivers = &file.policy().waivers;
    let found: Vec<(usize, &Waiver)> = waivers
        .iter()
        .enumerate()
        .filter(|(_, waiver)| wanted(waiver))
        .collect();
    let (position, waiver) = match found.as_slice() {
        [(position, waiver)] => (*position, (*waiver).clone()),
        [] => {
            return Err(Failure::usage(format!(
                "{} has no such waiver for {rule}{}",
                args.policy.display(),
                did_you_mean(rule, waivers.iter().map(|waiver| waiver.rule.as_str())),
            )));
        }
        several => {
            let places: Vec<String> = several.iter().map(|(_, waiver)| scope(waiver)).collect();
            return Err(Failure::usage(format!(
                "{} has {} waivers for {rule} ({}); say which with --kind, --name and --container",
                args.policy.display(),
                several.len(),
                places.join("; "),
            )));
        }
    };
    let changed = file.without(position)?;
    write_whole(&args.policy, changed.text().as_bytes())?;
    if session.json {
        session.print_json(&json!({ "policy": args.policy, "removed": waiver }))?;
    } else if !session.quiet {
        anstream::println!(
            "{} is no longer waived in {}",
            place(&waiver),
            args.policy.display()
        );
    }
    Ok(Exit::Done)
}

fn read(args: &WaiveArgs) -> Result<PolicyFile> {
    let path = &args.policy;
    if !path.exists() {
        return PolicyFile::parse("");
    }
    let bytes = inputs::read(path, "policy")?;
    let text = yaml::text(&bytes)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    PolicyFile::parse(text).with_context(|| path.display().to_string())
}

fn check(waiver: &Waiver, today: Date) -> Result<()> {
    if waiver.reason.is_empty() {
        return Err(Failure::usage(
            "a waiver needs a reason; say with --reason why the deviation is accepted",
        ));
    }
    if !is_rule(&waiver.rule) && !is_advisory(&waiver.rule) {
        return Err(Failure::usage(format!(
            "no rule {:?}{}; `quench rules` lists them",
            waiver.rule,
            did_you_mean(&waiver.rule, quench_rules::rules().map(|rule| rule.id)),
        )));
    }
    if is_advisory(&waiver.rule) {
        let image = waiver.kind.as_deref().is_none_or(|kind| kind == IMAGE);
        if !image || waiver.container.is_some() {
            return Err(Failure::usage(format!(
                "{} is a vulnerability: it is waived for images, so give --kind {IMAGE} and --name REPOSITORY, or neither",
                waiver.rule
            )));
        }
    }
    let Some(text) = &waiver.expires else {
        return Ok(());
    };
    let day = Date::parse(text, &Iso8601::DATE).map_err(|_| {
        Failure::usage(format!(
            "--expires {text:?} is not a date; write YYYY-MM-DD"
        ))
    })?;
    // Other spellings of ISO 8601 are dates too, but not to the chart.
    if day.to_string() != *text {
        return Err(Failure::usage(format!(
            "--expires {text:?} is not a date; write {day}"
        )));
    }
    if day < today {
        return Err(Failure::usage(format!(
            "--expires {text} has passed; a waiver that has run out is refused"
        )));
    }
    Ok(())
}

/// Kind that a waiver of a vulnerability may name.
const IMAGE: &str = quench_package::verdict::IMAGE_KIND;

fn is_rule(id: &str) -> bool {
    quench_rules::rule(id).is_some()
}

/// `CVE-2023-44487`, `GHSA-…`, `DSA-…`, `RUSTSEC-…`: capitals, a dash, more. Rule ids have no capitals.
fn is_advisory(id: &str) -> bool {
    id.split_once('-').is_some_and(|(head, rest)| {
        head.len() >= 2
            && head
                .chars()
                .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit())
            && rest.chars().any(|c| c.is_ascii_digit())
            && rest
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-:_.".contains(c))
    })
}

fn same_scope(a: &Waiver, b: &Waiver) -> bool {
    (&a.rule, &a.kind, &a.name, &a.container) == (&b.rule, &b.kind, &b.name, &b.container)
}

/// What a waiver covers, for people.
fn scope(waiver: &Waiver) -> String {
    let any = |text: &Option<String>| text.clone().unwrap_or_else(|| "*".to_owned());
    if waiver.kind.is_none() && waiver.name.is_none() && waiver.container.is_none() {
        return "everywhere".to_owned();
    }
    let object = format!("{}/{}", any(&waiver.kind), any(&waiver.name));
    match &waiver.container {
        Some(container) => format!("{object}/{container}"),
        None => object,
    }
}

fn place(waiver: &Waiver) -> String {
    format!(
        "{} {}",
        waiver.rule,
        match scope(waiver) {
            everywhere if everywhere == "everywhere" => everywhere,
            scope => format!("at {scope}"),
        }
    )
}

/// How a waiver stands today, and whether it holds.
fn state(waiver: &Waiver, today: Date) -> (String, bool) {
    if waiver.reason.trim().is_empty() {
        return ("refused: no reason".to_owned(), false);
    }
    let Some(text) = &waiver.expires else {
        return ("holds".to_owned(), true);
    };
    match Date::parse(text, &Iso8601::DATE) {
        Err(_) => ("refused: no date".to_owned(), false),
        Ok(day) if day < today => ("expired".to_owned(), false),
        Ok(day) => {
            let days = (day - today).whole_days();
            (
                format!("holds {} more", style::count(days_of(days), "day", "days")),
                true,
            )
        }
    }
}

fn days_of(days: i64) -> usize {
    usize::try_from(days).unwrap_or_default()
}

fn values_snippet(waiver: &Waiver) -> String {
    format!(
        "global:\n  hardening:\n    waivers:\n{}",
        block_item(&fields(waiver), 6).trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::date;

    fn waiver(rule: &str) -> Waiver {
        Waiver {
            rule: rule.to_owned(),
            kind: None,
            name: None,
            container: None,
            reason: "because".to_owned(),
            expires: None,
        }
    }

    #[test]
    fn what_would_be_refused_later_is_refused_now() {
        let today = date!(2026 - 11 - 26);
        let expiring = |day: &str| Waiver {
            expires: Some(day.to_owned()),
            ..waiver("read-only-root")
        };
        assert!(check(&waiver("read-only-root"), today).is_ok());
        assert!(check(&expiring("2026-11-26"), today).is_ok());
        for (wrong, told) in [
            (expiring("2026-11-25"), "has passed"),
            (expiring("soon"), "YYYY-MM-DD"),
            (expiring("20271125"), "2027-11-25"),
            (waiver("read-only-rot"), "did you mean read-only-root?"),
            (waiver("zebra"), "quench rules"),
            (
                Waiver {
                    kind: Some("Deployment".to_owned()),
                    ..waiver("CVE-2023-44487")
                },
                "waived for images",
            ),
        ] {
            let error = check(&wrong, today).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn vulnerabilities_are_told_from_rules() {
        for id in [
            "CVE-2023-44487",
            "GHSA-qppj-fm5r-hxr3",
            "DSA-5522-1",
            "RHSA-2023:5738",
        ] {
            assert!(is_advisory(id), "{id}");
        }
        for id in ["read-only-root", "CVE", "cve-2023-1", "CVE-x y"] {
            assert!(!is_advisory(id), "{id}");
        }
    }
}
