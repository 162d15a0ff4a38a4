//! `quench report`.

use std::path::Path;

use anyhow::Result;
use quench_content::Store;
use quench_package::{Package, current_findings};

use crate::args::ReportArgs;
use crate::examined;
use crate::exit::Exit;
use crate::files::write_whole;
use crate::html::{self, PackagePart, Subject};
use crate::image_details;
use crate::session::Session;
use crate::summary::Summary;

/// Writes the report of a package or chart as one HTML page.
pub async fn run(session: &Session, args: &ReportArgs) -> Result<Exit> {
    let output = &args.output;
    let name = if examined::is_chart(&args.package)? {
        let examined = examined::of_chart(args.package.as_ref(), &args.files).await?;
        let page = html::page(&Subject {
            name: &examined.report.chart,
            version: &examined.report.version,
            level: examined.report.level,
            report: Some(&examined.report),
            values: Some(&examined.values),
            findings: &examined.findings,
            package: None,
        });
        write_whole(output, page.as_bytes())?;
        examined.report.chart
    } else {
        examined::refuse_files(&args.files)?;
        let store = session.open_store()?;
        let package = session.find(&store, &args.package).await?;
        write_package(&store, &package, output).await?;
        package.name.to_string()
    };
    if session.json {
        session.print_json(&serde_json::json!({ "package": name, "report": output }))?;
    } else if !session.quiet {
        anstream::println!("report of {name} in {}", output.display());
    }
    Ok(Exit::Done)
}

/// Writes the report of a package.
///
/// # Errors
/// When something of the package cannot be read, or the file cannot be written.
pub async fn write_package(store: &Store, package: &Package, output: &Path) -> Result<()> {
    let lineage = package.lineage(store).await?;
    let findings = current_findings(store, package).await?;
    let summary = Summary::of(store, &lineage).await?;
    let report = examined::of_package(store, &lineage).await?;
    let images = image_details::of(store, &lineage).await?;
    let chart = package.load_chart(store).await?;
    let values = examined::values_of(&chart)?;
    let revisions: Vec<_> = lineage
        .iter()
        .map(|revision| (revision.level, revision.revision.digest.clone()))
        .collect();
    let page = html::page(&Subject {
        name: package.name.as_str(),
        version: &package.version,
        level: package.level,
        report: report.as_ref(),
        values: Some(&values),
        findings: &findings,
        package: Some(PackagePart {
            revisions: &revisions,
            summary: &summary,
            images: &images,
        }),
    });
    write_whole(output, page.as_bytes())
}
