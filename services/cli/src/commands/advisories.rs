//! `quench advisories`, and the advisories that `quench harden` matches against.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use quench_advisories::in_force::{import, in_force, put_in_force, store_epoch};
use quench_advisories::{Epoch, ImportReport};
use quench_content::Store;
use quench_proto::v1::ApplyEpochRequest;
use quench_proto::v1::ingest_service_client::IngestServiceClient;
use quench_proto::v1::rescheduler_service_client::ReschedulerServiceClient;
use quench_rescheduler_engine::{FindingChange, Rescheduler};
use serde_json::json;

use crate::args::{AdvisoriesVerb, FleetArgs};
use crate::commands::submit;
use crate::exit::Exit;
use crate::fleet;
use crate::session::Session;
use crate::style;

/// Imports advisories, or shows those in force.
pub async fn run(session: &Session, verb: &AdvisoriesVerb) -> Result<Exit> {
    match verb {
        AdvisoriesVerb::Apply {
            sources,
            rescheduler: Some(rescheduler),
            fleet,
        } => apply_to_fleet(session, sources, rescheduler, fleet).await,
        AdvisoriesVerb::Apply { sources, .. } => apply(session, sources).await,
        AdvisoriesVerb::Show => show(session).await,
    }
}

/// The advisories to match against: those given, else the epoch in force, else none.
///
/// # Errors
/// When the sources hold nothing usable or the store fails.
pub async fn to_match(
    session: &Session,
    store: &Store,
    sources: &[PathBuf],
) -> Result<Option<Arc<Epoch>>> {
    if sources.is_empty() {
        return Ok(in_force(store).await?);
    }
    let (epoch, report) = import(store, sources).await?;
    warn(session, &report);
    Ok(Some(epoch))
}

async fn apply(session: &Session, sources: &[PathBuf]) -> Result<Exit> {
    let store = session.open_store()?;
    let context = session.context(&store);
    let old = in_force(&store).await?;
    let (new, report) = import(&store, sources).await?;
    warn(session, &report);
    let changes = Rescheduler::new()
        .apply_epoch(old.as_deref(), &new, &context)
        .await?;
    // Only now: had the comparison failed, the next run would have to do it again.
    put_in_force(&store, Arc::clone(&new)).await?;
    if session.json {
        session.print_json(&json!({
            "epoch": new.digest(),
            "previous": old.as_ref().map(|epoch| epoch.digest()),
            "import": report,
            "changes": changes,
        }))?;
        return Ok(Exit::Done);
    }
    anstream::println!(
        "{} {}  {}",
        style::paint(style::BOLD, "epoch"),
        new.digest().short(),
        style::count(report.records, "record", "records")
    );
    print_changes(&changes);
    Ok(Exit::Done)
}

/// Sends an epoch to a fleet and puts it in force there.
async fn apply_to_fleet(
    session: &Session,
    sources: &[PathBuf],
    rescheduler: &str,
    fleet: &FleetArgs,
) -> Result<Exit> {
    let store = session.open_store()?;
    let context = session.context(&store);
    let (epoch, report) = import(&store, sources).await?;
    warn(session, &report);
    let manifest = store_epoch(&store, Arc::clone(&epoch)).await?;
    let mut ingestor = IngestServiceClient::new(fleet::connect(fleet).await?);
    submit::send(&store, &manifest, &mut ingestor, &context).await?;
    let address = FleetArgs {
        endpoint: rescheduler.to_owned(),
        ..fleet.clone()
    };
    let run = ReschedulerServiceClient::new(fleet::connect(&address).await?)
        .apply_epoch(ApplyEpochRequest {
            epoch_digest: manifest.digest.to_string(),
        })
        .await
        .map_err(|status| fleet::refused(&status))?
        .into_inner()
        .run
        .unwrap_or_default();
    if session.json {
        session.print_json(&json!({
            "epoch": run.epoch_digest,
            "previous": run.previous_epoch_digest,
            "import": report,
            "packages": run.packages,
            "opened": run.opened,
            "updated": run.updated,
            "resolved": run.resolved,
            "reopened": run.reopened,
        }))?;
    } else {
        anstream::println!(
            "{} {} is in force: {} opened, {} updated, {} resolved, {} reopened in {} packages",
            style::paint(style::BOLD, "epoch"),
            epoch.digest().short(),
            run.opened,
            run.updated,
            run.resolved,
            run.reopened,
            run.packages
        );
    }
    Ok(Exit::Done)
}

fn print_changes(changes: &[FindingChange]) {
    if changes.is_empty() {
        anstream::println!("nothing changes for the stored packages");
        return;
    }
    let mut table = style::table(&["state", "severity", "finding", "package", "where", "cause"]);
    for change in changes {
        let finding = &change.finding;
        table.add_row([
            finding.state.to_string(),
            style::paint(style::severity(finding.severity), finding.severity),
            finding.canonical_id.clone(),
            finding.subject.package.to_string(),
            super::findings::place(finding),
            finding
                .cause
                .as_ref()
                .map(|cause| format!("{} {}", cause.kind.name(), cause.detail))
                .unwrap_or_default(),
        ]);
    }
    anstream::println!("{}", style::lines(&table));
}

async fn show(session: &Session) -> Result<Exit> {
    let store = session.open_store()?;
    let epoch = in_force(&store).await?;
    if session.json {
        session.print_json(&json!({
            "epoch": epoch.as_ref().map(|epoch| epoch.digest()),
            "coverage": epoch.as_ref().map(|epoch| epoch.coverage()),
        }))?;
        return Ok(Exit::Done);
    }
    let Some(epoch) = epoch else {
        anstream::println!(
            "{}; `quench advisories apply DIR` puts some in force",
            style::paint(style::UNSURE, "no advisories are in force")
        );
        return Ok(Exit::Done);
    };
    anstream::println!("{} {}", style::paint(style::BOLD, "epoch"), epoch.digest());
    anstream::println!("it speaks of:");
    for ecosystem in epoch.coverage().ecosystems() {
        anstream::println!("  {}", ecosystem.as_str());
    }
    Ok(Exit::Done)
}

fn warn(session: &Session, report: &ImportReport) {
    if report.malformed == 0 || session.json {
        return;
    }
    let first = report
        .malformed_records
        .first()
        .map(|record| format!(": {}: {}", record.place, record.reason))
        .unwrap_or_default();
    anstream::eprintln!(
        "{}: {} could not be used{first}",
        style::paint(style::UNSURE, "warning"),
        style::count(report.malformed, "advisory", "advisories"),
    );
}
