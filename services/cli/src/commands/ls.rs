//! `quench ls`.

use anyhow::Result;
use quench_content::Store;
use quench_model::FindingState;
use quench_package::{Package, current_findings, history};
use serde::Serialize;

use crate::exit::Exit;
use crate::session::Session;
use crate::style;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    package: String,
    version: String,
    /// Its number in the package's history.
    number: Option<u64>,
    level: String,
    images: usize,
    open_findings: usize,
    revision: String,
}

/// Lists the packages in the store.
pub async fn run(session: &Session) -> Result<Exit> {
    let store = session.open_store()?;
    let mut rows = Vec::new();
    for name in store.names("package-").await? {
        if let Some(descriptor) = store.resolve(&name).await? {
            rows.push(row(&store, &Package::load(&store, &descriptor).await?).await?);
        }
    }
    if session.json {
        session.print_json(&rows)?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        anstream::eprintln!(
            "no packages in {}; `quench harden CHART` makes one",
            store.place()
        );
        return Ok(Exit::Done);
    }
    let mut table = style::table(&[
        "package",
        "version",
        "level",
        "images",
        "open findings",
        "revision",
    ]);
    for row in &rows {
        let short: String = row.revision.chars().take("sha256:".len() + 12).collect();
        table.add_row([
            row.package.clone(),
            row.number.map_or_else(
                || row.version.clone(),
                |number| format!("{}-q{number}", row.version),
            ),
            row.level.clone(),
            row.images.to_string(),
            row.open_findings.to_string(),
            short,
        ]);
    }
    anstream::println!("{}", style::lines(&table));
    Ok(Exit::Done)
}

async fn row(store: &Store, package: &Package) -> Result<Row> {
    let findings = current_findings(store, package).await?;
    let history = history(store, &package.name).await?;
    Ok(Row {
        package: package.name.to_string(),
        version: package.version.clone(),
        number: history
            .iter()
            .find(|entry| entry.revision == package.revision.digest)
            .map(|entry| entry.number),
        level: package.level.to_string(),
        images: package.images.len(),
        open_findings: findings
            .iter()
            .filter(|f| FindingState::is_open(f.state))
            .count(),
        revision: package.revision.digest.to_string(),
    })
}
