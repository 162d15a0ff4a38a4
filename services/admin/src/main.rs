//! The admin step of a fleet: everything that needs more rights than a service has.
//!
//! `certificates` makes a certificate authority and a certificate per service; `configuration` makes a key per user and the
//! accounts of nats-server out of `deploy/nats`; `provision` makes streams and consumers. All of them may be run again.

mod certificates;
mod configuration;
mod secret_file;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use quench_worker::topology::{Topology, parse_duration};
use quench_worker::{Bus, BusSettings, provision};

/// Prepares what the services of a fleet only bind to.
#[derive(Parser)]
#[command(name = "quench-admin", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a certificate authority and certificates for nats, the services and a client.
    ///
    /// An authority that is there already is kept and signs the new certificates.
    Certificates {
        /// Folder for them; made when it is missing.
        #[arg(short, long)]
        out: PathBuf,
        /// Host name or address the certificates are for, beside localhost and the service's own name.
        #[arg(long)]
        host: Vec<String>,
        /// Days the certificates hold.
        #[arg(long, default_value_t = 365)]
        days: u32,
    },
    /// Make a key for every user and the accounts of nats-server with their permissions.
    ///
    /// Writes NAME.seed for each user (kept when it is there) and accounts.conf, to be included by nats-server's configuration.
    Configuration {
        /// Folder for them; made when it is missing.
        #[arg(short, long)]
        out: PathBuf,
        /// Folder with streams.toml, consumers.toml and users.toml; built in when absent.
        #[arg(long)]
        topology: Option<PathBuf>,
    },
    /// Make or update streams, consumers and buckets, and check that the server echoes what was asked for.
    Provision {
        /// URL of nats-server.
        #[arg(long, env = "QUENCH_NATS_URL", default_value = "nats://127.0.0.1:4222")]
        url: String,
        /// File with the seed of the user `admin`.
        #[arg(long, env = "QUENCH_NATS_SEED_FILE")]
        seed_file: Option<PathBuf>,
        /// Certificate authority (PEM) of nats-server.
        #[arg(long, env = "QUENCH_NATS_CA")]
        ca: Option<PathBuf>,
        /// Folder with streams.toml, consumers.toml and users.toml; built in when absent.
        #[arg(long)]
        topology: Option<PathBuf>,
        /// Other `ack_wait` for every consumer, such as 10s: how long the job of a killed service waits for another.
        #[arg(long, value_parser = duration)]
        ack_wait: Option<Duration>,
    },
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| format!("{text:?} is not a duration; write 30s, 5m or 1h"))
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Certificates { out, host, days } => {
            let topology = Topology::embedded()?;
            certificates::make(&out, &host, days, &topology)
        }
        Command::Configuration { out, topology } => {
            configuration::make(&out, &read_topology(topology)?)
        }
        Command::Provision {
            url,
            seed_file,
            ca,
            topology,
            ack_wait,
        } => {
            let mut topology = read_topology(topology)?;
            if let Some(ack_wait) = ack_wait {
                topology = topology.with_ack_wait(ack_wait);
            }
            let seed = seed_file
                .map(|path| {
                    std::fs::read_to_string(&path)
                        .with_context(|| format!("cannot read {}", path.display()))
                })
                .transpose()?
                .map(|text| text.trim().to_owned());
            let settings = BusSettings {
                url,
                user: "admin".to_owned(),
                seed,
                ca,
                certificate: None,
                connect_within: Duration::from_secs(15),
            };
            provision_at(&settings, &topology)
        }
    }
}

fn read_topology(folder: Option<PathBuf>) -> Result<Topology> {
    Ok(match folder {
        Some(folder) => Topology::load(&folder)?,
        None => Topology::embedded()?,
    })
}

#[tokio::main(flavor = "current_thread")]
async fn provision_at(settings: &BusSettings, topology: &Topology) -> Result<()> {
    let bus = Bus::connect(settings).await?;
    let result = provision(&bus, topology).await;
    bus.close().await;
    for done in result? {
        let verb = if done.created { "made" } else { "checked" };
        println!("{verb} {}", done.what);
    }
    Ok(())
}
