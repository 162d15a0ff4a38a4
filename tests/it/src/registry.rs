//! A real OCI registry on a free loopback port, its blobs in a folder of its own.

use std::path::Path;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;

/// A running registry that speaks plain HTTP. Dropping it kills it and removes its blobs.
#[derive(Debug)]
pub struct Registry {
    _folder: TempDir,
    process: Process,
    port: u16,
}

impl Registry {
    /// Starts `binary`, Debian's `docker-registry`.
    pub fn start(binary: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("quench-registry-")
            .tempdir()?;
        let configuration = format!(
            "version: 0.1\nlog: {{level: info, formatter: json}}\nstorage:\n  filesystem: {{rootdirectory: {:?}}}\n  delete: {{enabled: true}}\nhttp: {{addr: \"127.0.0.1:0\"}}\n",
            folder.path().join("blobs").display().to_string()
        );
        let file = folder.path().join("registry.yml");
        std::fs::write(&file, configuration)?;
        let mut process = Process::start(
            "docker-registry",
            Command::new(binary).arg("serve").arg(&file),
            &folder.path().join("registry.log"),
        )?;
        let port = process.wait_for(|registry| {
            let log = registry.log();
            let (_, rest) = log.split_once("listening on 127.0.0.1:")?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u16>().ok()
        })?;
        Ok(Self {
            _folder: folder,
            process,
            port,
        })
    }

    /// What it has logged so far, with a line for every request it has answered.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// `127.0.0.1:<port>`, the host part of references to it.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}
