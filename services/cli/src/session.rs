//! What every command works with: the store, the way it prints, and how it is stopped.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use quench_content::{DirectoryStore, Store};
use quench_package::{Context, Package};
use tokio_util::sync::CancellationToken;

use crate::args::Global;
use crate::exit::Failure;
use crate::{find, progress};

/// What every command works with.
pub struct Session {
    pub json: bool,
    pub quiet: bool,
    store: Option<PathBuf>,
    pub cancel: CancellationToken,
}

impl Session {
    pub fn new(global: &Global) -> Self {
        Self {
            json: global.json,
            quiet: global.quiet,
            store: global.store.clone(),
            cancel: CancellationToken::new(),
        }
    }

    /// Stops the work at its next safe point on the first Ctrl-C or SIGTERM, and at once on the second.
    pub fn stop_on_signal(&self) {
        let cancel = self.cancel.clone();
        tokio::spawn(async move {
            if stop_signal().await.is_err() {
                return;
            }
            cancel.cancel();
            anstream::eprintln!("stopping; once more to stop at once");
            if stop_signal().await.is_ok() {
                // Everything written so far is a whole blob or a staging file that the next run passes over.
                std::process::exit(130);
            }
        });
    }

    /// The store of this machine.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open_store(&self) -> Result<Store> {
        let path = self.store_path()?;
        let store = DirectoryStore::open(&path)
            .with_context(|| format!("cannot open the store at {}", path.display()))?;
        Ok(Store::Directory(store))
    }

    fn store_path(&self) -> Result<PathBuf> {
        if let Some(path) = &self.store {
            return Ok(path.clone());
        }
        let data = std::env::var_os("XDG_DATA_HOME")
            .filter(|value| Path::new(value).is_absolute())
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".local/share")))
            .ok_or_else(|| {
                Failure::usage("no home folder to keep the store in; give one with --store DIR")
            })?;
        Ok(data.join("quench"))
    }

    /// A context for engines on `store`, with progress on the terminal where there is one.
    pub fn context(&self, store: &Store) -> Context {
        Context {
            store: store.clone(),
            cancel: self.cancel.clone(),
            progress: progress::on_terminal(self.quiet || self.json),
        }
    }

    /// Finds a package, see [`find`](crate::find).
    ///
    /// # Errors
    /// When there is no such package.
    pub async fn find(&self, store: &Store, wanted: &str) -> Result<Package> {
        find::find(store, wanted).await
    }

    /// Prints a value as JSON.
    ///
    /// # Errors
    /// When it cannot be serialized or written.
    pub fn print_json(&self, value: &impl serde::Serialize) -> Result<()> {
        let mut text = serde_json::to_string_pretty(value)?;
        text.push('\n');
        write_stdout(text.as_bytes())
    }
}

/// Writes to standard output. A reader that has gone away (`| head`) ends the command quietly.
///
/// # Errors
/// When standard output cannot be written for another reason.
pub fn write_stdout(bytes: &[u8]) -> Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.context("cannot write to standard output"),
    }
}

async fn stop_signal() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = tokio::signal::ctrl_c() => result,
        _ = terminate.recv() => Ok(()),
    }
}
