//! A real nats-server with JetStream, on a free port, its store in a folder of its own.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::process::Process;

/// A running server. Dropping it kills the server and removes its store.
#[derive(Debug)]
pub struct NatsServer {
    binary: PathBuf,
    folder: TempDir,
    extra: String,
    port: u16,
    process: Process,
}

impl NatsServer {
    /// Starts `binary` with JetStream. `extra` is appended to its configuration: accounts, TLS, limits.
    pub fn start(binary: &Path, extra: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("quench-nats-").tempdir()?;
        let (process, port) = launch(binary, folder.path(), extra, -1)?;
        Ok(Self {
            binary: binary.to_path_buf(),
            folder,
            extra: extra.to_owned(),
            port,
            process,
        })
    }

    /// `nats://127.0.0.1:<port>`, or `tls://…` to a server whose configuration demands TLS: the scheme is the client's.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The port clients use.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process, to send it signals or read its log.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Kills the server without warning (SIGKILL); its store stays.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again on the same port and store.
    pub fn restart(&mut self) -> Result<()> {
        self.process.kill()?;
        let port = i32::from(self.port);
        let (process, _) = launch(&self.binary, self.folder.path(), &self.extra, port)?;
        self.process = process;
        Ok(())
    }
}

fn launch(binary: &Path, folder: &Path, extra: &str, port: i32) -> Result<(Process, u16)> {
    let ports = folder.join("ports");
    if ports.exists() {
        std::fs::remove_dir_all(&ports)?;
    }
    std::fs::create_dir(&ports)?;
    let mut configuration = String::new();
    writeln!(configuration, "listen: \"127.0.0.1:{port}\"")?;
    writeln!(configuration, "server_name: \"quench-test\"")?;
    writeln!(
        configuration,
        "ports_file_dir: {:?}",
        ports.display().to_string()
    )?;
    writeln!(
        configuration,
        "jetstream {{ store_dir: {:?}, max_file_store: 64GB }}",
        folder.join("store").display().to_string()
    )?;
    configuration.push_str(extra);
    let file = folder.join("nats.conf");
    std::fs::write(&file, configuration)?;
    let mut process = Process::start(
        "nats-server",
        Command::new(binary).arg("--config").arg(&file),
        &folder.join("nats.log"),
    )?;
    let port = process.wait_for(|server| {
        // The server writes the file once it listens; the port is the number after the last colon of its first URL.
        let entry = std::fs::read_dir(&ports).ok()?.next()?.ok()?;
        let text = std::fs::read(entry.path()).ok()?;
        let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
        let url = value.get("nats")?.get(0)?.as_str()?;
        let port = url.rsplit(':').next()?.parse::<u16>().ok()?;
        server.log().contains("Server is ready").then_some(port)
    });
    let port = port.with_context(|| format!("nats-server with {}", file.display()))?;
    Ok((process, port))
}
