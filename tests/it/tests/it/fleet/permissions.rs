//! Who may do what, tried on a real server: every user on everything any user may do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Result, ensure};
use async_nats::{ConnectOptions, Event, ServerError};
use quench_it::need;
use quench_worker::topology::{Topology, covers, inbox};

use super::bus::FleetBus;

/// One concrete subject for each pattern.
fn concrete(pattern: &str) -> String {
    pattern
        .split('.')
        .map(|token| match token {
            "*" => "x",
            ">" => "x.y",
            token => token,
        })
        .collect::<Vec<_>>()
        .join(".")
}

/// What a service must never be able to do whatever the data says.
const NEVER: [&str; 10] = [
    "$JS.API.STREAM.CREATE.QUENCH_PACKAGES",
    "$JS.API.STREAM.UPDATE.QUENCH_PACKAGES",
    "$JS.API.STREAM.DELETE.QUENCH_PACKAGES",
    "$JS.API.STREAM.PURGE.QUENCH_PACKAGES",
    "$JS.API.STREAM.MSG.DELETE.QUENCH_PACKAGES",
    "$JS.API.CONSUMER.CREATE.QUENCH_PACKAGES.mine",
    "$JS.API.CONSUMER.DELETE.QUENCH_PACKAGES.scanner",
    "$JS.API.CONSUMER.CREATE.KV_quench_status.mine",
    "quench.v1.status.integrated.demo",
    "$SYS.REQ.SERVER.PING",
];

#[tokio::test(flavor = "multi_thread")]
async fn each_user_is_denied_on_everything_that_is_not_its_own() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(30)).await?;
    let users = Topology::embedded()?.users;
    let publish: BTreeSet<String> = users
        .iter()
        .flat_map(|user| user.may_publish())
        .map(|pattern| concrete(&pattern))
        .chain(NEVER.map(str::to_owned))
        .collect();
    let subscribe: BTreeSet<String> = users
        .iter()
        .flat_map(|user| user.may_subscribe())
        .map(|pattern| concrete(&pattern))
        .chain(["quench.v1.package.secured", "$JS.ACK.>", ">", "_INBOX.>"].map(str::to_owned))
        .collect();
    let mut tried = 0;
    for user in users.iter().filter(|user| user.name != "admin") {
        let denied = Denied::default();
        let heard = denied.clone();
        let seed = std::fs::read_to_string(fleet.seed_file(&user.name))?;
        let client = ConnectOptions::with_nkey(seed)
            .custom_inbox_prefix(inbox(&user.name))
            .skip_subject_validation(true)
            .event_callback(move |event| {
                let heard = heard.clone();
                async move { heard.take(&event) }
            })
            .connect(fleet.server.url())
            .await?;
        let allowed = |patterns: &[String], subject: &str| {
            patterns.iter().any(|pattern| covers(pattern, subject))
        };
        let may_publish = user.may_publish();
        let mut wanted = BTreeMap::new();
        for subject in &publish {
            client.publish(subject.clone(), "{}".into()).await?;
            wanted.insert(
                format!("Publish to {subject:?}"),
                allowed(&may_publish, subject),
            );
        }
        let may_subscribe = user.may_subscribe();
        let mut kept = Vec::new();
        for subject in &subscribe {
            kept.push(client.subscribe(subject.clone()).await?);
            wanted.insert(
                format!("Subscription to {subject:?}"),
                allowed(&may_subscribe, subject),
            );
        }
        let refused: BTreeSet<_> = wanted
            .iter()
            .filter(|(_, allowed)| !**allowed)
            .map(|(what, _)| what.to_ascii_lowercase())
            .collect();
        super::bus::eventually("all denials", Duration::from_secs(10), || async {
            Ok((denied.all().len() >= refused.len()).then_some(()))
        })
        .await
        .ok();
        // Time for a denial that should not come.
        tokio::time::sleep(Duration::from_millis(300)).await;
        ensure!(
            denied.all() == refused,
            "{}: denied {:#?}\nexpected {refused:#?}",
            user.name,
            denied.all()
        );
        ensure!(!refused.is_empty(), "{} may do everything", user.name);
        for never in NEVER {
            ensure!(
                wanted.get(&format!("Publish to {never:?}")) == Some(&false),
                "{} may publish to {never}",
                user.name
            );
        }
        tried += wanted.len();
    }
    ensure!(tried > 500, "only {tried} pairs were tried");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_denied_is_not_ready() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(30)).await?;
    let bus = fleet.connect("scanner").await?;
    super::bus::eventually("a connection", Duration::from_secs(5), || async {
        Ok(bus.health.problem().is_none().then_some(()))
    })
    .await?;
    let forged = "quench.v1.package.minimized";
    bus.client.publish(forged, "forged".into()).await?;
    let problem = super::bus::eventually("the denial", Duration::from_secs(5), || async {
        Ok(bus.health.problem())
    })
    .await?;
    ensure!(problem.contains(forged), "{problem}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_in_without_a_key_of_the_fleet() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(30)).await?;
    ensure!(
        ConnectOptions::new()
            .connect(fleet.server.url())
            .await
            .is_err(),
        "no credentials were needed"
    );
    let stranger = nkeys::KeyPair::new_user().seed()?;
    ensure!(
        ConnectOptions::with_nkey(stranger)
            .connect(fleet.server.url())
            .await
            .is_err(),
        "a foreign key was let in"
    );
    Ok(())
}

/// Denials the server told of.
#[derive(Clone, Default)]
struct Denied(Arc<Mutex<BTreeSet<String>>>);

impl Denied {
    fn take(&self, event: &Event) {
        if let Event::ServerError(ServerError::Other(text)) = event
            && let Some((_, what)) = text
                .to_ascii_lowercase()
                .split_once("permissions violation for ")
        {
            self.0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .insert(what.to_owned());
        }
    }

    fn all(&self) -> BTreeSet<String> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}
