//! Verbs that carry packages: to files, registries and clusters, and through time.

use std::path::PathBuf;

use super::TrustArgs;
use clap::Args;

pub const EXPORT_EXAMPLES: &str = "\
Examples:
  quench export demo -o demo.quench.tar
  quench export demo -o update.quench.tar --since demo@3
  quench export demo -o update.quench.tar --since last-month.quench.tar

A delta holds what changed; it is imported where its base has been imported before. --since takes
a revision of the store, or a file exported earlier, which may be a delta itself.";

#[derive(Debug, Clone, Args)]
pub struct ExportArgs {
    /// Package: name, name@NUMBER, name:VERSION, or digest of a revision
    pub package: String,
    /// File to write (.quench.tar)
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write only what the other side lacks, which has this revision or imported this file
    #[arg(long, value_name = "REVISION|FILE")]
    pub since: Option<String>,
}

pub const IMPORT_EXAMPLES: &str = "\
Examples:
  quench import demo.quench.tar
  quench import demo.quench.tar update.quench.tar
  quench import demo.quench.tar --key release.pub

A file is verified before anything is written; one that is damaged leaves nothing behind. An
import that was stopped goes on where it was.";

#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// Files to import, in this order
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// How a registry is reached.
#[derive(Debug, Clone, Args)]
pub struct RegistryArgs {
    /// Registry and path below which everything lies: host[:port]/path
    #[arg(long, value_name = "HOST/PATH", env = "QUENCH_REGISTRY")]
    pub registry: String,
    /// Speak plain HTTP to it (loopback addresses need no saying)
    #[arg(long)]
    pub plain_http: bool,
    /// Certificate authority of the registry, beside the system's
    #[arg(long, value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,
}

pub const PUSH_EXAMPLES: &str = "\
Examples:
  quench push demo --registry registry.internal/apps
  quench push demo@4 --registry 127.0.0.1:5000/apps --json

Then: helm pull oci://registry.internal/apps/demo --version 1.2.3, or quench install.
Credentials are those of docker login. A push that was stopped goes on where it was.";

#[derive(Debug, Clone, Args)]
pub struct PushArgs {
    /// Package: name, name@NUMBER, name:VERSION, or digest of a revision
    pub package: String,
    #[command(flatten)]
    pub registry: RegistryArgs,
}

pub const INSTALL_EXAMPLES: &str = "\
Examples:
  quench install demo --registry registry.internal/apps
  quench install demo web --registry registry.internal/apps -n web --create-namespace -- -f mine.yaml --wait
  quench install demo --registry registry.internal/apps --print

Runs `helm upgrade --install` with the pushed chart, the values files the package was hardened with, and
every image pulled from that registry by digest. What stands behind -- is handed to helm.";

#[derive(Debug, Clone, Args)]
pub struct InstallArgs {
    /// Package: name, name@NUMBER, name:VERSION, or digest of a revision
    pub package: String,
    /// Name of the release; the chart's when left out
    pub release: Option<String>,
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Namespace of the release
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Create the namespace if there is none
    #[arg(long)]
    pub create_namespace: bool,
    /// Leave out the values files the package was hardened with
    #[arg(long)]
    pub no_package_values: bool,
    /// Print the helm command instead of running it
    #[arg(long, visible_alias = "dry-run")]
    pub print: bool,
    /// Options for helm
    #[arg(last = true, value_name = "HELM OPTIONS")]
    pub helm: Vec<String>,
}

pub const HISTORY_EXAMPLES: &str = "\
Examples:
  quench history demo
  quench history demo --json

The numbers are those of this store: demo@4 and demo:1.2.3-q4 name a revision wherever a package is asked for.";

#[derive(Debug, Clone, Args)]
pub struct HistoryArgs {
    /// Package
    pub package: String,
}

pub const DIFF_EXAMPLES: &str = "\
Examples:
  quench diff demo@1 demo
  quench diff demo:1.2.3 demo:1.3.0 -f production.yaml
  quench diff sha256:… sha256:… --json

Compares chart values, what the charts render to, images with their files and packages, and open findings.
Ends with 0 when nothing differs and with 1 when something does.";

#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Package before: name, name@NUMBER, name:VERSION, or digest of a revision
    pub before: String,
    /// Package after
    pub after: String,
    /// Values file to render both with, instead of those each was hardened with; may be given several times
    #[arg(short = 'f', long = "values", value_name = "FILE")]
    pub values: Vec<PathBuf>,
}
