//! Verbs about rules.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use quench_model::{Level, Severity};

use super::FindingsFormat;

pub const RULES_EXAMPLES: &str = "\
Examples:
  quench rules
  quench rules run-as-non-root
  quench rules --format markdown > rules.md";

/// `quench rules`.
#[derive(Debug, Clone, Args)]
pub struct RulesArgs {
    /// Rule to explain
    pub rule: Option<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = RulesFormat::Text)]
    pub format: RulesFormat,
}

/// Form in which rules are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RulesFormat {
    /// For a terminal
    Text,
    /// For a documentation site: the whole catalogue, or one rule
    Markdown,
}

pub const EXPLAIN_EXAMPLES: &str = "\
Examples:
  quench explain demo deployment/web
  quench explain demo deployment/web/nginx --json
  quench explain ./hardened-chart sts/db -f production.yaml
  quench explain ./chart deployment/web --image-facts facts.yaml

A hardened chart carries what it was hardened with; of any other chart it is told what hardening
would do.";

/// `quench explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Package (name, name@NUMBER, name:VERSION, or digest of a revision), or a chart: folder or .tgz file
    pub package: String,
    /// Object, or container of one; kinds may be written as kubectl takes them
    #[arg(value_name = "KIND/NAME[/CONTAINER]")]
    pub place: String,
    #[command(flatten)]
    pub files: ChartFiles,
}

/// Files that say how a chart is looked at. A package, and a hardened chart, carry theirs along.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "For a chart")]
pub struct ChartFiles {
    /// Values file; may be given several times, later ones win
    #[arg(short = 'f', long = "values", value_name = "FILE")]
    pub values: Vec<PathBuf>,
    /// What the team demands, for a chart that is not hardened (YAML)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// What the environment offers, for a chart that is not hardened (YAML)
    #[arg(long, value_name = "FILE")]
    pub target: Option<PathBuf>,
    /// Facts about images, for a chart that is not hardened (YAML)
    #[arg(long, value_name = "FILE")]
    pub image_facts: Option<PathBuf>,
}

pub const REPORT_EXAMPLES: &str = "\
Examples:
  quench report demo -o demo.html
  quench report ./hardened-chart -f production.yaml -o demo.html
  quench report ./chart --image-facts facts.yaml -o demo.html

The page needs no network and no other file. Of a chart that is not hardened it tells what
hardening would do.";

/// `quench report`.
#[derive(Debug, Clone, Args)]
pub struct ReportArgs {
    /// Package (name, name@NUMBER, name:VERSION, or digest of a revision), or a chart: folder or .tgz file
    pub package: String,
    /// File to write
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    #[command(flatten)]
    pub files: ChartFiles,
}

pub const WAIVE_EXAMPLES: &str = "\
Examples:
  quench waive read-only-root --kind Deployment --name 'web-*' --container app \\
      --reason 'writes its cache beside the program' --expires 2027-01-31
  quench waive CVE-2023-44487 --reason 'HTTP/2 is switched off' --policy team.yaml
  quench waive --list
  quench waive read-only-root --remove

The waiver goes into the policy that `quench harden --policy FILE` takes; the chart refuses it
after its last day. What is printed does the same from the values of a hardened chart.";

/// `quench waive`.
#[derive(Debug, Clone, Args)]
pub struct WaiveArgs {
    /// Rule to waive, or vulnerability (CVE, GHSA, …)
    #[arg(required_unless_present = "list")]
    pub rule: Option<String>,
    /// Why the deviation is accepted
    #[arg(
        long,
        value_name = "TEXT",
        required_unless_present_any = ["list", "remove"]
    )]
    pub reason: Option<String>,
    /// Last day on which it holds; without one it holds until it is removed
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub expires: Option<String>,
    /// Only objects of this kind
    #[arg(long)]
    pub kind: Option<String>,
    /// Only objects of this name; `*` stands for any characters. With --kind Image, images of this repository
    #[arg(long)]
    pub name: Option<String>,
    /// Only this container; `*` stands for any characters
    #[arg(long)]
    pub container: Option<String>,
    /// Policy file to change; it is made when it is not there
    #[arg(long, value_name = "FILE", default_value = "policy.yaml")]
    pub policy: PathBuf,
    /// List the waivers of the policy
    #[arg(long, conflicts_with_all = ["rule", "reason", "expires", "remove"])]
    pub list: bool,
    /// Take the waiver out of the policy
    #[arg(long, conflicts_with_all = ["reason", "expires"])]
    pub remove: bool,
}

pub const LINT_EXAMPLES: &str = "\
Examples:
  quench lint ./chart
  quench lint ./chart -f production.yaml --image-facts facts.yaml --fail-on high
  quench lint ./chart --exclude empty-dir-limit --format sarif > chart.sarif
  quench lint ./manifests --rule no-privileged --rule no-host-path
  kubectl kustomize ./overlay | quench lint -

Nothing is changed. It ends with 1 when something is found that is as bad as --fail-on says.";

/// `quench lint`.
#[derive(Debug, Clone, Args)]
pub struct LintArgs {
    /// Chart (folder or .tgz file), manifests (file or folder), or - for manifests on standard input
    pub source: String,
    /// Values file; may be given several times, later ones win
    #[arg(short = 'f', long = "values", value_name = "FILE")]
    pub values: Vec<PathBuf>,
    /// Facts about images (YAML: reference or "*" to facts)
    #[arg(long, value_name = "FILE")]
    pub image_facts: Option<PathBuf>,
    /// What the team demands: rules, waivers (YAML)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// What the environment offers (YAML)
    #[arg(long, value_name = "FILE")]
    pub target: Option<PathBuf>,
    /// Rules up to this level: configured or operable
    #[arg(long, value_name = "LEVEL", default_value = "configured", value_parser = clap::value_parser!(Level))]
    pub level: Level,
    /// Only this rule; may be given several times
    #[arg(long = "rule", value_name = "RULE", conflicts_with = "exclude")]
    pub rules: Vec<String>,
    /// Not this rule; may be given several times
    #[arg(long, value_name = "RULE")]
    pub exclude: Vec<String>,
    /// Mildest severity of a finding that makes the command end with 1: info, low, medium, high or critical
    #[arg(long, value_name = "SEVERITY", default_value = "low", value_parser = clap::value_parser!(Severity))]
    pub fail_on: Severity,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = FindingsFormat::Table)]
    pub format: FindingsFormat,
    /// Suppressed findings too (JSON and SARIF always hold them)
    #[arg(long)]
    pub all: bool,
}
