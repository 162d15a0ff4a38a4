//! `quench report`.

use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use quench_package::current_findings;

use crate::exit::Exit;
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

/// Writes a file that appears when it is whole.
fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = || format!("cannot write {}", path.display());
    let mut file = tempfile::NamedTempFile::new_in(parent).with_context(failed)?;
    file.write_all(bytes).with_context(failed)?;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .with_context(failed)?;
    file.persist(path).with_context(failed)?;
    Ok(())
}
