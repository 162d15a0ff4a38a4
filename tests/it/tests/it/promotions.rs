//! Promotions that happen at the same time, and promotions that come from elsewhere.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use quench_chart::Chart;
use quench_content::registry::RegistryConfig;
use quench_content::{RegistryAccess, RegistryStore, Store};
use quench_it::need;
use quench_it::oci::text;
use quench_it::registry::Registry;
use quench_model::{Gate, Level, Policy, Stage};
use quench_package::signing::{Algorithm, SigningKey};
use quench_package::staging::{PromotionRequest, promote, standing};
use quench_package::{ImageLock, Package, PackageParts, Request};
use serde_json::Value;
use tokio::sync::Barrier;

use super::small_package::Place;

/// The numbers of the statements of a stage, in order, each of which must follow the one before.
fn chain(stages: &Value, stage: &str) -> Result<Vec<u64>> {
    let history = stages
        .pointer(&format!("/0/stages/{stage}/history"))
        .and_then(Value::as_array)
        .with_context(|| format!("{stages}"))?;
    let mut before = None;
    let mut numbers = Vec::new();
    for statement in history {
        let previous = statement
            .pointer("/promotion/previous")
            .and_then(Value::as_str);
        ensure!(
            previous == before.as_deref(),
            "{statement} after {before:?}"
        );
        before = Some(text(statement, "/statement")?);
        let number = statement.pointer("/promotion/number");
        numbers.push(number.and_then(Value::as_u64).context("no number")?);
    }
    Ok(numbers)
}

#[test]
fn of_several_who_promote_at_once_each_comes_after_another() -> Result<()> {
    need!("helm");
    const AT_ONCE: usize = 6;
    let place = Place::new(AT_ONCE)?;
    let (key, public) = (place.text("release.key"), place.text("release.pub"));
    let mut running = Vec::new();
    for revision in &place.revisions {
        let mut command =
            place.quench(&["promote", revision, "--to", "dev", "--key", &key, "--json"])?;
        running.push(
            command
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()?,
        );
    }
    for child in running {
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let stages = place.json(&["stages", "settings", "--key", &public, "--history"])?;
    let numbers: Vec<u64> = (1..=AT_ONCE as u64).collect();
    ensure!(chain(&stages, "dev")? == numbers, "{stages}");
    Ok(())
}

#[test]
fn promotions_of_an_import_count_when_somebody_vouches_for_them() -> Result<()> {
    need!("helm");
    let place = Place::new(1)?;
    let (key, public) = (place.text("release.key"), place.text("release.pub"));
    let (file, there) = (place.text("settings.quench.tar"), place.text("elsewhere"));
    place.say(&["sign", "settings", "--key", &key])?;
    place.say(&["promote", "settings", "--to", "dev", "--key", &key])?;
    place.say(&["export", "settings", "-o", &file])?;

    let told = place.say(&["import", &file, "--store", &there])?;
    ensure!(
        told.contains("1 promotion") && told.contains("does not count") && told.contains("--key"),
        "{told}"
    );
    for stages in [
        &["stages", "--key", &public, "--store", &there][..],
        &["stages", "settings", "--key", &public, "--store", &there],
        &["stages", "--store", &there],
    ] {
        let told = place.say(stages)?;
        ensure!(
            told.contains("no package stands in a stage") && told.contains("--key PUB"),
            "{stages:?}: {told}"
        );
        let told = place.json(stages)?;
        ensure!(
            told.pointer("/0/uncounted") == Some(&1.into())
                && told.pointer("/0/stages/dev").is_none(),
            "{told}"
        );
    }
    let told = place.say(&["import", &file, "--key", &public, "--store", &there])?;
    ensure!(!told.contains("count"), "{told}");
    let told = place.say(&["stages", "--key", &public, "--store", &there])?;
    ensure!(told.contains("dev") && !told.contains("count"), "{told}");
    Ok(())
}

/// A small package in a store.
async fn package(store: &Store, version: &str) -> Result<Package> {
    let metadata = format!("apiVersion: v2\nname: demo\nversion: {version}\n");
    let files = [("Chart.yaml".to_owned(), metadata.into())];
    let parts = PackageParts {
        name: "demo".parse()?,
        version: version.to_owned(),
        level: Level::Integrated,
        previous: None,
        chart: Chart::from_files(files.into())?,
        images: Vec::new(),
        request: Request::default().store(store).await?,
        lock: ImageLock::default(),
    };
    Ok(Package::store(store, parts).await?)
}

/// Writers with a cache of their own each see no lock of each other: as if on several machines.
#[tokio::test(flavor = "multi_thread")]
async fn of_several_machines_that_promote_at_once_each_comes_after_another() -> Result<()> {
    const MACHINES: usize = 4;
    let registry = Registry::start(&need!("docker-registry"))?;
    let folder = tempfile::tempdir()?;
    let open = |machine: usize| -> Result<Store> {
        Ok(Store::Registry(RegistryStore::open(RegistryConfig {
            repository: format!("{}/quench/store", registry.host()),
            cache: folder.path().join(machine.to_string()),
            access: RegistryAccess::default(),
        })?))
    };
    let key = Arc::new(SigningKey::generate(Algorithm::EcdsaP256)?);
    let public = key.public()?;
    let mut machines = Vec::new();
    for machine in 0..MACHINES {
        let store = open(machine)?;
        let package = package(&store, &format!("{machine}.0.0")).await?;
        machines.push((store, package));
    }
    let together = Arc::new(Barrier::new(MACHINES));
    let mut tasks = Vec::new();
    for (store, package) in machines {
        let (key, together) = (key.clone(), together.clone());
        tasks.push(tokio::spawn(async move {
            let policy = Policy {
                stages: vec![Stage {
                    name: "dev".to_owned(),
                    ..Stage::default()
                }],
                gate: Gate {
                    enforce: false,
                    ..Gate::default()
                },
                ..Policy::default()
            };
            let request = PromotionRequest {
                stage: "dev",
                policy: &policy,
                trusted: &[],
                rollback: false,
                time: "2026-11-26T00:00:00Z".to_owned(),
            };
            together.wait().await;
            promote(&store, &package, &request, &key).await
        }));
    }
    for task in tasks {
        let (_, new) = task.await??;
        ensure!(new, "somebody else promoted the same revision");
    }
    let store = open(MACHINES)?;
    let standing = standing(&store, &"demo".parse()?, &Policy::default(), &[public]).await?;
    let numbers: Vec<u64> = standing
        .stages
        .get("dev")
        .context("nothing stands in dev")?
        .iter()
        .map(|promoted| promoted.promotion.number)
        .collect();
    ensure!(
        numbers == (1..=MACHINES as u64).collect::<Vec<_>>(),
        "{numbers:?}"
    );
    Ok(())
}
