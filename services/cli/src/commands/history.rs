//! `quench history`.

use anyhow::Result;
use quench_model::{Level, PackageName};
use quench_package::{Entry, Package, history};
use serde::Serialize;

use crate::args::HistoryArgs;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::style;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    number: u64,
    version: String,
    level: Level,
    revision: String,
    previous: Option<String>,
    previous_number: Option<u64>,
    newest: bool,
    changed: Vec<String>,
}

/// Lists the published revisions of a package, newest first.
pub async fn run(session: &Session, args: &HistoryArgs) -> Result<Exit> {
    let store = session.open_store()?;
    let name: PackageName = args
        .package
        .parse()
        .map_err(|e| Failure::usage(format!("{e}")))?;
    let newest = session.find(&store, name.as_str()).await?.revision.digest;
    let mut revisions = Vec::new();
    for entry in history(&store, &name).await? {
        let package = Package::load_digest(&store, &entry.revision).await?;
        revisions.push((entry, package));
    }
    let mut rows: Vec<Row> = (0..revisions.len())
        .filter_map(|at| {
            let (earlier, rest) = revisions.split_at(at);
            let (entry, package) = rest.first()?;
            Some(Row {
                number: entry.number,
                version: entry.version(package),
                level: package.level,
                revision: entry.revision.to_string(),
                previous: package.previous.as_ref().map(ToString::to_string),
                previous_number: earlier
                    .iter()
                    .find(|(e, _)| Some(&e.revision) == package.previous.as_ref())
                    .map(|(e, _)| e.number),
                newest: entry.revision == newest,
                changed: changed(earlier, package),
            })
        })
        .collect();
    rows.reverse();
    if session.json {
        session.print_json(&rows)?;
        return Ok(Exit::Done);
    }
    let mut table = style::table(&["no", "version", "level", "made from", "changed", "revision"]);
    for row in &rows {
        let short: String = row.revision.chars().take("sha256:".len() + 12).collect();
        let from = match (row.previous_number, &row.previous) {
            (Some(number), _) => number.to_string(),
            (None, Some(digest)) => digest.chars().take("sha256:".len() + 12).collect(),
            (None, None) => String::new(),
        };
        let version = if row.newest {
            style::paint(style::BOLD, &row.version)
        } else {
            row.version.clone()
        };
        table.add_row([
            row.number.to_string(),
            version,
            row.level.to_string(),
            from,
            row.changed.join(", "),
            short,
        ]);
    }
    anstream::println!("{}", style::lines(&table));
    Ok(Exit::Done)
}

/// What a revision differs in from the one it was made from, or from the one of its level before it.
fn changed(earlier: &[(Entry, Package)], package: &Package) -> Vec<String> {
    let base = match &package.previous {
        Some(previous) => earlier.iter().find(|(e, _)| e.revision == *previous),
        None => earlier.iter().rev().find(|(_, p)| p.level == package.level),
    };
    let Some((_, base)) = base else {
        return vec!["first".to_owned()];
    };
    let mut changed = Vec::new();
    if base.version != package.version {
        changed.push(format!("version {} → {}", base.version, package.version));
    }
    if base.chart != package.chart {
        changed.push("chart".to_owned());
    }
    if base.request != package.request {
        changed.push("values or demands".to_owned());
    }
    let of = |p: &Package, reference| {
        p.images
            .iter()
            .find(|image| image.reference == reference)
            .map(|image| image.descriptor.digest.clone())
    };
    let count = |number: usize, word: &str| {
        (number > 0).then(|| format!("{} {word}", style::count(number, "image", "images")))
    };
    let added = package
        .images
        .iter()
        .filter(|i| of(base, i.reference.clone()).is_none());
    let removed = base
        .images
        .iter()
        .filter(|i| of(package, i.reference.clone()).is_none());
    let other = package.images.iter().filter(|i| {
        of(base, i.reference.clone()).is_some_and(|digest| digest != i.descriptor.digest)
    });
    changed.extend(count(added.count(), "added"));
    changed.extend(count(removed.count(), "removed"));
    changed.extend(count(other.count(), "changed"));
    changed
}
