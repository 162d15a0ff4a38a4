//! A package of one object and no image, for what packages have in common: made in a moment, where level 1 is no matter.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, Result, ensure};
use quench_it::oci::text;
use quench_it::tools::{quench, run};
use serde_json::Value;
use tempfile::TempDir;

/// A store with revisions of one package, and a key.
pub struct Place {
    folder: TempDir,
    /// Digests of the revisions, oldest first.
    pub revisions: Vec<String>,
}

impl Place {
    /// Makes so many revisions of the package `settings`.
    pub fn new(revisions: usize) -> Result<Self> {
        let mut place = Self {
            folder: tempfile::tempdir()?,
            revisions: Vec::new(),
        };
        let key = place.text("release");
        place.json(&["keys", "generate", "--unencrypted", "-o", &key])?;
        for number in 0..revisions {
            let source = place.path(&format!("{number}/settings"));
            std::fs::create_dir_all(&source)?;
            let manifest = format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: settings}}\ndata: {{number: \"{number}\"}}\n"
            );
            std::fs::write(source.join("settings.yaml"), manifest)?;
            let done = place.json(&["ingest", &source.display().to_string()])?;
            place.revisions.push(text(&done, "/0/revision")?);
        }
        Ok(place)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// The program on this store, without a passphrase.
    pub fn quench(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(quench()?);
        command
            .args(arguments)
            .env("QUENCH_STORE", self.path("store"))
            .env_remove("QUENCH_KEY_PASSWORD")
            .stdin(Stdio::null());
        Ok(command)
    }

    /// The answer of a command that succeeds, from its JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = run(self.quench(arguments)?.arg("--json"))?;
        serde_json::from_slice(&output).context("no JSON")
    }

    /// What a command that succeeds says.
    pub fn say(&self, arguments: &[&str]) -> Result<String> {
        Ok(String::from_utf8(run(&mut self.quench(arguments)?)?)?)
    }

    /// What a command does with this on its standard input.
    pub fn fed(&self, arguments: &[&str], input: &[u8]) -> Result<Output> {
        let mut child = self
            .quench(arguments)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        // A command that refuses early reads nothing.
        child
            .stdin
            .take()
            .context("no input")?
            .write_all(input)
            .ok();
        Ok(child.wait_with_output()?)
    }

    /// The error of a command that ends with this code.
    pub fn refused(&self, code: i32, arguments: &[&str]) -> Result<String> {
        let output = self.quench(arguments)?.output()?;
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(
            output.status.code() == Some(code),
            "{arguments:?}: {:?} {error}",
            output.status
        );
        Ok(error)
    }
}
