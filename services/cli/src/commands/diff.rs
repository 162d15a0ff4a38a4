//! `quench diff`.

use anyhow::Result;
use quench_model::Finding;
use serde_json::Value;

use crate::args::DiffArgs;
use crate::difference::{Difference, FileChange, ImageDifference, ValueChange};
use crate::exit::Exit;
use crate::inputs;
use crate::session::Session;
use crate::style;

/// Most lines of each sort that people are shown; JSON holds them all.
const MOST: usize = 40;

/// Compares two packages. Ends as refused where they differ, as `diff` does.
pub async fn run(session: &Session, args: &DiffArgs) -> Result<Exit> {
    let store = session.open_store()?;
    let before = session.find(&store, &args.before).await?;
    let after = session.find(&store, &args.after).await?;
    let values = inputs::values(&args.values)?;
    let values = (!values.is_empty()).then_some(values.as_slice());
    let context = session.context(&store);
    let difference = Difference::between(&context, &before, &after, values).await?;
    let exit = if difference.is_empty() {
        Exit::Done
    } else {
        Exit::Refused
    };
    if session.json {
        session.print_json(&difference)?;
    } else if !session.quiet {
        print(&difference);
    }
    Ok(exit)
}

fn print(difference: &Difference) {
    if difference.is_empty() {
        anstream::println!("no difference");
        return;
    }
    let chart = &difference.chart;
    if chart.version_before != chart.version_after {
        heading("chart");
        anstream::println!(
            "  version {} → {}",
            chart.version_before,
            chart.version_after
        );
    }
    if !chart.values.is_empty() {
        heading("values");
        lines(&chart.values, chart.values.len(), value_change);
    }
    if chart.objects_total > 0 {
        heading("rendered objects");
        lines(&chart.objects, chart.objects_total, value_change);
    }
    if !difference.images.is_empty() {
        heading("images");
        difference.images.iter().for_each(image);
    }
    let findings = &difference.findings;
    for (title, style, list) in [
        ("findings opened", style::BAD, &findings.opened),
        ("findings resolved", style::GOOD, &findings.resolved),
    ] {
        if !list.is_empty() {
            heading(title);
            lines(list, list.len(), |found| finding(found, style));
        }
    }
}

fn heading(text: &str) {
    anstream::println!("{}", style::paint(style::BOLD, text));
}

/// The first of some lines, and how many more there are.
fn lines<T>(all: &[T], total: usize, line: impl Fn(&T) -> String) {
    for one in all.iter().take(MOST) {
        anstream::println!("{}", line(one));
    }
    let shown = all.len().min(MOST);
    if total > shown {
        let more = format!("  and {} more; --json tells them", total - shown);
        anstream::println!("{}", style::paint(style::DIM, more));
    }
}

fn value_change(change: &ValueChange) -> String {
    let place = match &change.object {
        Some(object) => format!("{object} {}", change.path),
        None => change.path.clone(),
    };
    let mut text = format!("  {}", place.trim_end());
    if change.path.is_empty() && change.object.is_some() {
        let (word, colour) = match change.before {
            None => ("added", style::GOOD),
            Some(_) => ("removed", style::BAD),
        };
        return format!("{text}  {}", style::paint(colour, word));
    }
    for (sign, colour, value) in [
        ("-", style::BAD, &change.before),
        ("+", style::GOOD, &change.after),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(
                "\n    {}",
                style::paint(colour, format!("{sign} {}", short(value)))
            ));
        }
    }
    text
}

/// A value on one line.
fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

fn image(image: &ImageDifference) {
    let digest = |digest: &Option<quench_model::Digest>| {
        digest
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), quench_model::Digest::short)
    };
    anstream::println!(
        "  {}  {} → {}  {} → {}",
        image.reference,
        digest(&image.before),
        digest(&image.after),
        style::bytes(image.bytes_before),
        style::bytes(image.bytes_after)
    );
    if image.before.is_none() || image.after.is_none() {
        return;
    }
    let platform = image.platform.as_ref().map(|p| format!(" ({p})"));
    anstream::println!(
        "    files{}: {} added, {} removed, {} changed",
        platform.unwrap_or_default(),
        image.files_added,
        image.files_removed,
        image.files_changed
    );
    let total = image.files_added + image.files_removed + image.files_changed;
    lines(&image.files, total, file);
    if !image.packages.is_empty() {
        anstream::println!("    packages:");
        lines(&image.packages, image.packages.len(), |package| {
            let version =
                |version: &Option<String>| version.clone().unwrap_or_else(|| "nothing".to_owned());
            format!(
                "      {}  {} → {}",
                package.name,
                version(&package.before),
                version(&package.after)
            )
        });
    }
}

fn file(file: &FileChange) -> String {
    match file.change {
        "added" => format!(
            "      {}",
            style::paint(style::GOOD, format!("+ {}", file.path))
        ),
        "removed" => format!(
            "      {}",
            style::paint(style::BAD, format!("- {}", file.path))
        ),
        what => format!(
            "      {}",
            style::paint(style::UNSURE, format!("~ {} ({what})", file.path))
        ),
    }
}

fn finding(finding: &Finding, colour: anstyle::Style) -> String {
    let place = finding
        .subject
        .location
        .as_ref()
        .or(finding.subject.image.as_ref());
    format!(
        "  {}  {}  {}",
        style::paint(colour, finding.severity),
        finding.title,
        place.map_or("", String::as_str)
    )
}
