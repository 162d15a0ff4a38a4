//! The six services as processes: a package on its way, and what may happen to it there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use quench_it::need;
use quench_it::tools::{quench, run, workspace};
use quench_model::Level;
use quench_proto::subject;
use quench_proto::v1::status_service_client::StatusServiceClient;
use quench_proto::v1::{
    self, GetPackageRequest, LevelState, ListPackagesRequest, WatchPackageRequest,
};
use quench_worker::provision;
use serde_json::Value;

use super::bus::{messages, package_events};
use super::collector::Collector;
use super::processes::{Fleet, SERVICES};
use crate::demo_image;

const PACKAGE: &str = "demo-web";
/// Two cores, a busy machine, an image of a hundred megabytes.
const LIMIT: Duration = Duration::from_secs(240);

/// Hands the demo to the fleet with the command line; gives what it prints.
fn submit(fleet: &Fleet) -> Result<Value> {
    let printed = run(fleet
        .client(&quench()?, "ingestor")
        .arg("submit")
        .arg(workspace().join("deploy/demo/chart"))
        .arg("--images-from")
        .arg(format!("oci:{}", demo_image::build()?.display()))
        .arg("--json"))?;
    Ok(serde_json::from_slice(&printed)?)
}

/// The revision one process makes of the same input.
fn hardened_in_one_process() -> Result<String> {
    let store = tempfile::tempdir()?;
    let printed = run(std::process::Command::new(quench()?)
        .arg("harden")
        .arg(workspace().join("deploy/demo/chart"))
        .arg("--images-from")
        .arg(format!("oci:{}", demo_image::build()?.display()))
        .arg("--store")
        .arg(store.path())
        .arg("--json"))?;
    let summary: Value = serde_json::from_slice(&printed)?;
    summary
        .get("revision")
        .and_then(Value::as_str)
        .map(str::to_owned)
        .context("quench harden names no revision")
}

/// Watches the package until its run ends; `seen` is called with every change.
async fn until_the_end(
    fleet: &Fleet,
    service: &str,
    mut seen: impl AsyncFnMut(&v1::PackageStatus) -> Result<()>,
) -> Result<v1::PackageStatus> {
    let until = Instant::now() + LIMIT;
    'again: loop {
        ensure!(
            Instant::now() < until,
            "{PACKAGE} did not end\n{}",
            fleet.logs()
        );
        // The service watched may be the one that is killed: then another watch begins.
        let Ok(mut client) = fleet.status(service).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let request = WatchPackageRequest {
            package: PACKAGE.to_owned(),
        };
        let Ok(watch) = client.watch_package(request).await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut watch = watch.into_inner();
        let mut last = 0;
        loop {
            let next = tokio::time::timeout(Duration::from_secs(5), watch.message()).await;
            let change = match next {
                Ok(Ok(Some(change))) => change,
                _ => continue 'again,
            };
            ensure!(
                change.snapshot || change.sequence > last,
                "{} after {last}",
                change.sequence
            );
            last = change.sequence;
            let package = change.package.context("a change without a package")?;
            seen(&package).await?;
            if matches!(
                package.state(),
                LevelState::Done | LevelState::Rejected | LevelState::Dead
            ) {
                return Ok(package);
            }
        }
    }
}

/// What holds of every run that went well, whatever happened on its way.
async fn ended_once(fleet: &Fleet, end: &v1::PackageStatus) -> Result<()> {
    ensure!(
        end.state() == LevelState::Done,
        "{:?} at {:?}: {}\n{}",
        end.state(),
        end.level(),
        end.reason,
        fleet.logs()
    );
    let reader = fleet.bus.connect("subscriber").await?;
    for level in Level::ALL {
        let told = package_events(&reader, subject::package(level)).await?;
        let revisions: BTreeSet<_> = told.iter().map(|event| &event.revision_digest).collect();
        ensure!(
            told.len() == 1 && revisions.len() == 1,
            "{level}: {} events of {} revisions",
            told.len(),
            revisions.len()
        );
    }
    ensure!(package_events(&reader, subject::REJECTED).await?.is_empty());
    ensure!(messages(&reader, "QUENCH_DEAD").await?.is_empty());
    let ids: Vec<_> = messages(&reader, "QUENCH_FINDINGS")
        .await?
        .into_iter()
        .map(|(_, id, _)| id)
        .collect();
    let distinct: BTreeSet<_> = ids.iter().collect();
    ensure!(distinct.len() == ids.len(), "a finding was told twice");
    ensure!(!ids.is_empty(), "no finding was told");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_makes_the_bytes_one_process_makes_in_one_trace() -> Result<()> {
    let (nats, _) = (need!("nats-server"), need!("helm"));
    let collector = Collector::start().await?;
    let mut fleet = Fleet::start(&nats, Duration::from_secs(5), Some(&collector.url)).await?;
    let accepted = submit(&fleet)?;
    ensure!(accepted.get("package").and_then(Value::as_str) == Some(PACKAGE));
    let end = until_the_end(&fleet, "scanner", async |_| Ok(())).await?;
    ended_once(&fleet, &end).await?;
    ensure!(end.tracking_id == accepted["trackingId"].as_str().unwrap_or_default());

    // Every service says the same.
    for service in SERVICES {
        let mut client = fleet.status(service).await?;
        let request = GetPackageRequest {
            package: PACKAGE.to_owned(),
        };
        let package = client.get_package(request).await?.into_inner().package;
        ensure!(
            package.context("no package")?.revision_digest == end.revision_digest,
            "{service}"
        );
        let list = client.list_packages(ListPackagesRequest::default()).await?;
        ensure!(list.into_inner().packages.len() == 1);
    }

    // Submitting it again is answered with the same run, and nothing is done again.
    let again = submit(&fleet)?;
    ensure!(again["trackingId"] == accepted["trackingId"] && again["existed"] == true);

    ensure!(
        hardened_in_one_process()? == end.revision_digest,
        "one process makes another revision"
    );

    // The last spans leave with the processes.
    for service in SERVICES {
        let status = fleet.terminate(service)?;
        ensure!(status.success(), "{service} ended with {status}");
    }
    let traces = collector.traces();
    let expected: BTreeSet<String> = SERVICES.iter().map(|s| format!("quench-{s}")).collect();
    let whole = traces
        .iter()
        .filter(|(_, services)| services.is_superset(&expected))
        .count();
    ensure!(
        whole == 1,
        "no trace has spans of all services: {traces:#?}"
    );

    // A bus that lost everything is told everything again, out of the store.
    let admin = fleet.bus.connect("admin").await?;
    for stream in ["QUENCH_PACKAGES", "QUENCH_FINDINGS", "KV_quench_status"] {
        admin
            .ask(&format!("STREAM.DELETE.{stream}"), &Value::Null)
            .await?;
    }
    provision(&admin, &fleet.bus.topology).await?;
    for service in SERVICES {
        fleet.spawn(service)?;
    }
    let mended = until_the_end(&fleet, "scanner", async |_| Ok(())).await?;
    ensure!(mended.revision_digest == end.revision_digest);
    ensure!(mended.tracking_id == end.tracking_id);
    ended_once(&fleet, &mended).await
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_every_service_and_the_server_in_the_middle_changes_nothing() -> Result<()> {
    let (nats, _) = (need!("nats-server"), need!("helm"));
    let fleet = Fleet::start(&nats, Duration::from_secs(3), None).await?;
    submit(&fleet)?;
    let fleet = tokio::sync::Mutex::new(fleet);
    let mut killed = BTreeSet::new();
    let mut server_killed = false;
    // The rescheduler is no level, so nobody kills it on the way: its watch is the one that stays.
    let end = loop {
        let mut kill = None;
        {
            let fleet = fleet.lock().await;
            let end = until_the_end(&fleet, "rescheduler", async |package| {
                for level in &package.levels {
                    let Some(model) = level.level().model() else {
                        continue;
                    };
                    if level.state() == LevelState::Running && !killed.contains(&model) {
                        kill = Some(model);
                        anyhow::bail!("stop here");
                    }
                }
                Ok(())
            })
            .await;
            match (end, kill) {
                (_, Some(_)) => {}
                (end, None) => break end?,
            }
        }
        let Some(level) = kill else { continue };
        let mut fleet = fleet.lock().await;
        fleet.kill(level.service())?;
        killed.insert(level);
        if level == Level::Secured && !server_killed {
            server_killed = true;
            fleet.bus.server.kill()?;
            tokio::time::sleep(Duration::from_millis(300)).await;
            fleet.bus.server.restart()?;
        }
        fleet.spawn(level.service())?;
    };
    let fleet = fleet.into_inner();
    ended_once(&fleet, &end).await?;
    ensure!(server_killed);
    ensure!(
        killed.len() == Level::ALL.len(),
        "only {killed:?} were caught at work"
    );
    ensure!(hardened_in_one_process()? == end.revision_digest);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_told_to_stop_finishes_its_job() -> Result<()> {
    let (nats, _) = (need!("nats-server"), need!("helm"));
    // With an ack_wait of a minute, whatever is done soon was not waited for.
    let fleet = Fleet::start(&nats, Duration::from_secs(60), None).await?;
    submit(&fleet)?;
    let fleet = tokio::sync::Mutex::new(fleet);
    let stopped = {
        let watched = fleet.lock().await;
        until_the_end(&watched, "rescheduler", async |package| {
            let minimizer = package.levels.last().map(v1::LevelStatus::state);
            ensure!(minimizer != Some(LevelState::Running), "stop here");
            Ok(())
        })
        .await
    };
    let mut fleet = fleet.into_inner();
    if stopped.is_ok() {
        quench_it::skip!("the minimizer was too fast to be stopped at work");
    }
    let begun = Instant::now();
    let status = fleet.terminate("minimizer")?;
    ensure!(status.success(), "the minimizer ended with {status}");
    fleet.spawn("minimizer")?;
    let end = until_the_end(&fleet, "rescheduler", async |_| Ok(())).await?;
    ended_once(&fleet, &end).await?;
    ensure!(
        begun.elapsed() < Duration::from_secs(55),
        "the job waited for its ack_wait"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_without_a_certificate_of_the_fleet_are_turned_away() -> Result<()> {
    let fleet = Fleet::start_some(&need!("nats-server"), &["ops-enricher"]).await?;
    ensure!(fleet.health("ops-enricher").await?, "it is ready");
    let mut stranger = match fleet.channel("ops-enricher", None).await {
        Err(_) => return Ok(()),
        // With TLS 1.3 a client learns of its refusal only with the first answer.
        Ok(channel) => StatusServiceClient::new(channel),
    };
    let refused = stranger.list_packages(ListPackagesRequest::default()).await;
    ensure!(
        refused.is_err(),
        "a caller without a certificate was answered"
    );
    Ok(())
}

#[test]
fn a_wrong_setting_ends_a_service_with_64_and_the_key() -> Result<()> {
    let scanner = super::processes::binary("ops-enricher")?;
    for (variable, value, key) in [
        ("QUENCH_NATS_URL", "bus", "nats.url"),
        ("QUENCH_JOB_GRACE", "soon", "job.grace"),
    ] {
        let output = std::process::Command::new(&scanner)
            .env("QUENCH_NATS_URL", "nats://127.0.0.1:1")
            .env("QUENCH_STORE_DIRECTORY", "/nonexistent")
            .env(variable, value)
            .output()?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(64),
            "{:?}: {told}",
            output.status
        );
        ensure!(told.contains(key), "{told}");
    }
    Ok(())
}
