//! `quench report`.

use std::path::Path;

use anyhow::Result;
use quench_package::current_findings;

use crate::exit::Exit;
use crate::files::write_whole;
use crate::html;
use crate::session::Session;
use crate::summary::Summary;

/// Writes the report of a package as one HTML page.
pub async fn run(session: &Session, wanted: &str, output: &Path) -> Result<Exit> {
    let store = session.open_store()?;
    let package = session.find(&store, wanted).await?;
    let lineage = package.lineage(&store).await?;
    let findings = current_findings(&store, &package).await?;
    let summary = Summary::of(&store, &lineage).await?;
    let page = html::page(&package, &lineage, &findings, &summary);
    write_whole(output, page.as_bytes())?;
    if session.json {
        session.print_json(&serde_json::json!({ "package": package.name, "report": output }))?;
    } else if !session.quiet {
        anstream::println!("report of {} in {}", package.name, output.display());
    }
    Ok(Exit::Done)
}
