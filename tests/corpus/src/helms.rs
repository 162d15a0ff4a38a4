//! The helm programs at hand.

use std::future::Future;

use anyhow::{Context as _, Result, bail};
use quench_chart::render::Helm;

/// A helm program and its version.
#[derive(Debug, Clone)]
pub struct NamedHelm {
    /// Version it says it has, such as `v4.2.3`.
    pub version: String,
    /// The program.
    pub helm: Helm,
}

/// Every helm there is: `helm` and `helm3` on `PATH`, or what `QUENCH_HELM` and `QUENCH_HELM3` name.
///
/// # Errors
/// There is none, or one does not tell its version.
pub fn find() -> Result<Vec<NamedHelm>> {
    let mut found: Vec<NamedHelm> = Vec::new();
    for (variable, name) in [("QUENCH_HELM", "helm"), ("QUENCH_HELM3", "helm3")] {
        let program = std::env::var_os(variable)
            .filter(|path| !path.is_empty())
            .unwrap_or_else(|| name.into());
        let helm = Helm::at(program);
        if !helm.program().is_file() {
            continue;
        }
        let version = block_on(helm.version())?
            .with_context(|| format!("{} does not tell its version", helm.program().display()))?;
        if found.iter().all(|other| other.version != version) {
            found.push(NamedHelm { version, helm });
        }
    }
    if found.is_empty() {
        bail!("neither helm nor helm3 is on PATH: run `make tools`");
    }
    Ok(found)
}

/// Runs a future on this thread.
///
/// # Errors
/// The operating system gives no event queue.
pub fn block_on<F: Future>(future: F) -> Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime can be started")?
        .block_on(future))
}
