//! `quench rules`.

use anyhow::Result;
use quench_rules::{Rule, documentation};
use serde_json::{Value, json};

use crate::exit::{Exit, Failure};
use crate::session::{Session, write_stdout};
use crate::style;

/// Lists the rules, or explains one.
pub fn run(session: &Session, wanted: Option<&str>) -> Result<Exit> {
    match wanted {
        Some(id) => explain(session, id),
        None => list(session),
    }
}

fn list(session: &Session) -> Result<Exit> {
    if session.json {
        session.print_json(&quench_rules::rules().map(as_json).collect::<Vec<_>>())?;
        return Ok(Exit::Done);
    }
    let mut table = style::table(&["rule", "level", "severity", "fix", "what"]);
    for rule in quench_rules::rules() {
        table.add_row([
            rule.id.to_owned(),
            rule.level.number().to_string(),
            style::paint(style::severity(rule.severity), rule.severity),
            rule.safety.meaning().to_owned(),
            rule.title.to_owned(),
        ]);
    }
    anstream::println!("{}", style::lines(&table));
    Ok(Exit::Done)
}

fn explain(session: &Session, id: &str) -> Result<Exit> {
    let Some(rule) = quench_rules::rule(id) else {
        return Err(Failure::usage(format!(
            "no rule {id:?}; `quench rules` lists them"
        )));
    };
    if session.json {
        session.print_json(&as_json(rule))?;
    } else {
        let text = documentation::describe(rule);
        write_stdout(format!("{}\n", text.trim_end()).as_bytes())?;
    }
    Ok(Exit::Done)
}

fn as_json(rule: &Rule) -> Value {
    json!({
        "id": rule.id,
        "title": rule.title,
        "rationale": rule.rationale,
        "level": rule.level,
        "severity": rule.severity,
        "fix": rule.safety.meaning(),
        "references": rule.references.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}
