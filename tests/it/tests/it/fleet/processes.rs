//! The six services as processes around a [`FleetBus`].

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use quench_it::process::Process;
use quench_it::tools::{find, quench_binary, run};
use quench_proto::v1::status_service_client::StatusServiceClient;
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::bus::FleetBus;

/// The services, in the order of their levels.
pub const SERVICES: [&str; 6] = [
    "ingestor",
    "config-hardener",
    "scanner",
    "ops-enricher",
    "minimizer",
    "rescheduler",
];

/// A running fleet: one store in a folder, gRPC with mutual TLS on free ports.
pub struct Fleet {
    pub bus: FleetBus,
    folder: TempDir,
    running: BTreeMap<String, Process>,
    ports: BTreeMap<String, u16>,
    otlp: Option<String>,
}

/// The program of a service.
pub fn binary(service: &str) -> Result<PathBuf> {
    let name = format!("quench-{service}");
    quench_binary(&name, &name)
}

impl Fleet {
    /// Starts all six and waits until they are ready.
    pub async fn start(nats: &Path, ack_wait: Duration, otlp: Option<&str>) -> Result<Self> {
        Self::with(nats, ack_wait, otlp, &SERVICES).await
    }

    /// Starts some of them.
    pub async fn start_some(nats: &Path, services: &[&str]) -> Result<Self> {
        Self::with(nats, Duration::from_secs(30), None, services).await
    }

    async fn with(
        nats: &Path,
        ack_wait: Duration,
        otlp: Option<&str>,
        services: &[&str],
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("quench-fleet-").tempdir()?;
        run(Command::new(quench_binary("quench-admin", "quench-admin")?)
            .args(["certificates", "--out"])
            .arg(folder.path().join("tls")))?;
        let mut fleet = Self {
            bus: FleetBus::start(nats, ack_wait).await?,
            folder,
            running: BTreeMap::new(),
            ports: BTreeMap::new(),
            otlp: otlp.map(str::to_owned),
        };
        for service in services {
            fleet.ports.insert((*service).to_owned(), free_port()?);
            fleet.spawn(service)?;
        }
        for service in services {
            fleet.ready(service).await?;
        }
        Ok(fleet)
    }

    fn tls(&self, file: &str) -> PathBuf {
        self.folder.path().join("tls").join(file)
    }

    fn port(&self, service: &str) -> Result<u16> {
        self.ports
            .get(service)
            .copied()
            .with_context(|| format!("{service} was never started"))
    }

    /// Starts a service, on the port it had before if it had one.
    pub fn spawn(&mut self, service: &str) -> Result<()> {
        let mut command = Command::new(binary(service)?);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("QUENCH_NATS_URL", self.bus.server.url())
            .env("QUENCH_NATS_SEED_FILE", self.bus.seed_file(service))
            .env(
                "QUENCH_GRPC_LISTEN",
                format!("127.0.0.1:{}", self.port(service)?),
            )
            .env(
                "QUENCH_GRPC_CERTIFICATE",
                self.tls(&format!("{service}.pem")),
            )
            .env("QUENCH_GRPC_KEY", self.tls(&format!("{service}.key")))
            .env("QUENCH_GRPC_CLIENT_CA", self.tls("ca.pem"))
            .env("QUENCH_STORE_DIRECTORY", self.folder.path().join("store"));
        if let Some(helm) = find("helm") {
            command.env("QUENCH_HELM", helm);
        }
        if let Some(otlp) = &self.otlp {
            command.env("QUENCH_OTLP_ENDPOINT", otlp);
        }
        let log = self.folder.path().join(format!("{service}.log"));
        let process = Process::start(service, &mut command, &log)?;
        self.running.insert(service.to_owned(), process);
        Ok(())
    }

    /// Kills a service without warning.
    pub fn kill(&mut self, service: &str) -> Result<()> {
        self.process(service)?.kill()
    }

    /// Asks a service to stop and waits until it has.
    pub fn terminate(&mut self, service: &str) -> Result<ExitStatus> {
        let process = self.process(service)?;
        process.signal("TERM")?;
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(status) = process.ended()? {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("{service} did not stop:\n{}", process.log());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn process(&mut self, service: &str) -> Result<&mut Process> {
        self.running
            .get_mut(service)
            .with_context(|| format!("{service} was never started"))
    }

    /// The last lines of every service, for a failure's message.
    pub fn logs(&self) -> String {
        self.running
            .iter()
            .map(|(service, process)| {
                let log = process.log();
                let lines: Vec<_> = log.lines().rev().take(12).collect();
                let tail: Vec<_> = lines.into_iter().rev().collect();
                format!("--- {service}\n{}\n", tail.join("\n"))
            })
            .collect()
    }

    /// A command of the client with all it needs to reach a service.
    pub fn client(&self, program: &Path, service: &str) -> Command {
        let mut command = Command::new(program);
        let port = self.ports.get(service).copied().unwrap_or_default();
        command
            .env("QUENCH_ENDPOINT", format!("https://127.0.0.1:{port}"))
            .env("QUENCH_CA", self.tls("ca.pem"))
            .env("QUENCH_CERT", self.tls("client.pem"))
            .env("QUENCH_KEY", self.tls("client.key"))
            .env("XDG_DATA_HOME", self.folder.path().join("client"));
        command
    }

    /// A connection to a service; as `client` when a name is given, else without a certificate.
    pub async fn channel(&self, service: &str, client: Option<&str>) -> Result<Channel> {
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(std::fs::read(self.tls("ca.pem"))?));
        if let Some(name) = client {
            tls = tls.identity(Identity::from_pem(
                std::fs::read(self.tls(&format!("{name}.pem")))?,
                std::fs::read(self.tls(&format!("{name}.key")))?,
            ));
        }
        let address = format!("https://127.0.0.1:{}", self.port(service)?);
        Ok(Channel::from_shared(address)?
            .tls_config(tls)?
            .connect_timeout(Duration::from_secs(2))
            .connect()
            .await?)
    }

    /// A client of the status of a service.
    pub async fn status(&self, service: &str) -> Result<StatusServiceClient<Channel>> {
        Ok(StatusServiceClient::new(
            self.channel(service, Some("client")).await?,
        ))
    }

    /// Whether a service says that it can work.
    pub async fn health(&self, service: &str) -> Result<bool> {
        let mut client = HealthClient::new(self.channel(service, Some("client")).await?);
        let answer = client.check(HealthCheckRequest::default()).await?;
        Ok(answer.into_inner().status() == ServingStatus::Serving)
    }

    async fn ready(&mut self, service: &str) -> Result<()> {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if self.health(service).await.unwrap_or(false) {
                return Ok(());
            }
            if let Some(status) = self.process(service)?.ended()? {
                bail!("{service} ended with {status}:\n{}", self.logs());
            }
            if Instant::now() > until {
                bail!("{service} is not ready:\n{}", self.logs());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
