//! `quench rules`.

use anyhow::Result;
use quench_rules::{Rule, documentation};
use serde_json::{Value, json};

use crate::args::{RulesArgs, RulesFormat};
use crate::exit::{Exit, Failure};
use crate::nearest::did_you_mean;
use crate::session::{Session, write_stdout};
use crate::style;

/// Lists the rules, or explains one.
pub fn run(session: &Session, args: &RulesArgs) -> Result<Exit> {
    let rule = args.rule.as_deref().map(find).transpose()?;
    if session.json {
        match rule {
            Some(rule) => session.print_json(&as_json(rule))?,
            None => session.print_json(&quench_rules::rules().map(as_json).collect::<Vec<_>>())?,
        }
        return Ok(Exit::Done);
    }
    match (rule, args.format) {
        (None, RulesFormat::Text) => list(),
        (Some(rule), RulesFormat::Text) => {
            let text = documentation::describe(rule);
            write_stdout(format!("{}\n", text.trim_end()).as_bytes())?;
        }
        (None, RulesFormat::Markdown) => write_stdout(documentation::catalogue().as_bytes())?,
        (Some(rule), RulesFormat::Markdown) => {
            write_stdout(documentation::markdown(rule, 1).as_bytes())?;
        }
    }
    Ok(Exit::Done)
}

fn find(id: &str) -> Result<&'static Rule> {
    quench_rules::rule(id).ok_or_else(|| {
        Failure::usage(format!(
            "no rule {id:?}{}; `quench rules` lists them",
            did_you_mean(id, quench_rules::rules().map(|rule| rule.id))
        ))
    })
}

fn list() {
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
}

fn as_json(rule: &Rule) -> Value {
    let explained = documentation::explain(rule);
    json!({
        "id": rule.id,
        "title": rule.title,
        "rationale": rule.rationale,
        "level": rule.level,
        "severity": rule.severity,
        "fix": rule.safety.meaning(),
        "looksAt": explained.looks_at,
        "fixes": explained.fixes,
        "notFixedWhen": explained.unfixed,
        "evidence": explained.needs,
        "references": explained.references,
        "exampleWaiver": explained.waiver,
        "switchedOff": explained.off,
    })
}
