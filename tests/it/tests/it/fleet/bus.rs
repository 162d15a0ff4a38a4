//! A provisioned nats-server with the accounts of `deploy/nats`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use prost::Message as _;
use quench_it::nats::NatsServer;
use quench_it::tools::{quench_binary, run};
use quench_proto::v1::{PackageEvent, RunContext};
use quench_worker::topology::Topology;
use quench_worker::{BodyFormat, Bus, BusSettings, Event, Publisher, StatusBoard, provision};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A server that has the streams, consumers and users of a fleet.
pub struct FleetBus {
    pub server: NatsServer,
    pub topology: Topology,
    folder: TempDir,
}

impl FleetBus {
    /// Starts one whose consumers have the given `ack_wait`, provisioned by `quench-admin` itself.
    pub async fn start(nats: &Path, ack_wait: Duration) -> Result<Self> {
        Self::start_with(nats, Topology::embedded()?.with_ack_wait(ack_wait)).await
    }

    /// Starts one with another topology.
    pub async fn start_with(nats: &Path, topology: Topology) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("quench-bus-").tempdir()?;
        let admin = quench_binary("quench-admin", "quench-admin")?;
        run(Command::new(admin)
            .args(["configuration", "--out"])
            .arg(folder.path()))?;
        let accounts = std::fs::read_to_string(folder.path().join("accounts.conf"))?;
        let server = NatsServer::start(nats, &accounts)?;
        let fleet = Self {
            server,
            topology,
            folder,
        };
        let admin = fleet.connect("admin").await?;
        provision(&admin, &fleet.topology).await?;
        // Provisioning again changes nothing.
        for done in provision(&admin, &fleet.topology).await? {
            if done.created {
                bail!("{} was made twice", done.what);
            }
        }
        admin.close().await;
        Ok(fleet)
    }

    /// File with the seed of a user.
    pub fn seed_file(&self, user: &str) -> PathBuf {
        self.folder.path().join(format!("{user}.seed"))
    }

    /// Connects as a user.
    pub async fn connect(&self, user: &str) -> Result<Bus> {
        let settings = BusSettings {
            url: self.server.url(),
            user: user.to_owned(),
            seed: Some(std::fs::read_to_string(self.seed_file(user))?),
            ca: None,
            certificate: None,
            connect_within: Duration::from_secs(10),
        };
        Ok(Bus::connect(&settings).await?)
    }

    /// Connects as a service, with its publisher and a board that follows the status until `stop`.
    pub async fn member(
        &self,
        service: &str,
        stop: &CancellationToken,
    ) -> Result<(Bus, Publisher, StatusBoard)> {
        let bus = self.connect(service).await?;
        let publisher = Publisher::new(&bus, service, BodyFormat::Protobuf);
        let board = StatusBoard::new(&bus, &publisher);
        let (follower, until) = (board.clone(), stop.clone());
        tokio::spawn(async move { follower.follow(until).await });
        tokio::time::timeout(Duration::from_secs(10), board.ready())
            .await
            .context("the status bucket was not read in time")?;
        Ok((bus, publisher, board))
    }
}

/// Every message of a stream, oldest first: subject, headers, body.
pub async fn messages(bus: &Bus, stream: &str) -> Result<Vec<(String, String, Bytes)>> {
    let stream = bus.jetstream.get_stream(stream).await?;
    let state = &stream.cached_info().state;
    let mut found = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        if sequence == 0 {
            continue;
        }
        let message = stream.direct_get(sequence).await?;
        let id = message
            .headers
            .get("ce-id")
            .map(ToString::to_string)
            .unwrap_or_default();
        found.push((message.subject.to_string(), id, message.payload));
    }
    Ok(found)
}

/// The package events of one subject.
pub async fn package_events(bus: &Bus, subject: &str) -> Result<Vec<PackageEvent>> {
    messages(bus, "QUENCH_PACKAGES")
        .await?
        .into_iter()
        .filter(|(of, _, _)| of == subject)
        .map(|(_, _, body)| Ok(PackageEvent::decode(body)?))
        .collect()
}

/// A submission event of a package; every call is a run of its own.
pub fn submitted(package: &str) -> PackageEvent {
    static RUNS: AtomicU64 = AtomicU64::new(0);
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    PackageEvent {
        package: package.to_owned(),
        version: "1.0.0".to_owned(),
        input_digest: quench_model::Digest::of(format!("{package}/{run}")).to_string(),
        run: RunContext {
            tracking_id: format!("{package}-{run}"),
            tenant: "default".to_owned(),
            ..RunContext::default()
        }
        .encode_to_vec()
        .into(),
        ..PackageEvent::default()
    }
}

/// Publishes a submission.
pub async fn submit(publisher: &Publisher, event: &PackageEvent) -> Result<()> {
    publisher.publish(&Event::package(event)).await?;
    Ok(())
}

/// Asks until there is a value, at most for `limit`.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut ask: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Option<T>>>,
{
    let until = tokio::time::Instant::now() + limit;
    loop {
        if let Some(value) = ask().await? {
            return Ok(value);
        }
        if tokio::time::Instant::now() > until {
            bail!("{what}: not within {limit:?}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
