//! `quench chart`.

use std::path::Path;

use anyhow::Result;

use crate::exit::Exit;
use crate::layout::refuse_existing;
use crate::session::Session;

/// Writes the chart of a package to a folder.
pub async fn run(session: &Session, wanted: &str, output: &Path) -> Result<Exit> {
    refuse_existing(output)?;
    let store = session.open_store()?;
    let package = session.find(&store, wanted).await?;
    let chart = package.load_chart(&store).await?;
    chart.write_to(output)?;
    if session.json {
        session.print_json(&serde_json::json!({
            "package": package.name, "level": package.level, "chart": output,
        }))?;
    } else if !session.quiet {
        anstream::println!(
            "{} {} ({}) is in {}",
            chart.name(),
            chart.version(),
            package.level,
            output.display()
        );
    }
    Ok(Exit::Done)
}
