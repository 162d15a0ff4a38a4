//! The command line: verbs, their options, their help.

mod discovery;
mod rules;
mod transport;

use std::path::PathBuf;

pub use discovery::{ImagesArgs, IngestArgs, Selection};
pub use rules::{ChartFiles, ExplainArgs, LintArgs, ReportArgs, RulesArgs, RulesFormat, WaiveArgs};
pub use transport::{
    DiffArgs, ExportArgs, HistoryArgs, ImportArgs, InstallArgs, PushArgs, RegistryArgs,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use quench_model::Level;

mod trust;
pub use trust::{
    KeysGenerateArgs, KeysVerb, PromoteArgs, SignArgs, StagesArgs, TrustArgs, VerifyArgs,
};

/// Hardens Kubernetes packages: a Helm chart and the images it runs.
#[derive(Debug, Parser)]
#[command(
    name = "quench",
    version,
    about,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  quench harden ./chart --images-from oci:./images --advisories ./osv
  quench ls
  quench findings demo --format sarif
  quench chart demo -o ./demo-hardened && helm install demo ./demo-hardened

Exit codes:
  0  done
  1  a gate refused the package, or verification found something wrong
  2  wrong usage or input
  3  something needed is missing or unreachable"
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Options that every verb takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Print JSON for machines instead of text for people
    #[arg(long, global = true)]
    pub json: bool,
    /// Folder of the content store
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "QUENCH_STORE",
        help_heading = "Global options"
    )]
    pub store: Option<PathBuf>,
    /// Say less: no progress, only results and errors
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Harden a chart and its images through the five levels
    #[command(after_help = "\
Examples:
  quench harden ./chart
  quench harden ./chart -f production.yaml --images-from oci:./images -o demo.quench.tar
  quench harden oci://registry.example.org/charts/demo --until configured
  quench harden https://charts.example.org/stable/demo:^1.2
  quench harden demo --repo https://charts.example.org/stable --version 1.2.3
  kustomize build ./overlay | quench harden - --name demo
  quench harden registry.example.org/team/app:1.0
  quench harden ./chart --chart-only --image-facts facts.yaml -o ./hardened-chart

A facts file says what is known of images that are not fetched; \"*\" stands for any image:
  \"*\": { uid: 10001, gid: 10001, writable: [/tmp, /run, /var/cache] }")]
    Harden(Box<HardenArgs>),
    /// Take charts in: find the images they may use, and put chart and images into a package
    #[command(after_help = discovery::INGEST_EXAMPLES)]
    Ingest(Box<IngestArgs>),
    /// List the images that a chart may use, or a package holds, and why
    #[command(after_help = discovery::IMAGES_EXAMPLES)]
    Images(Box<ImagesArgs>),
    /// List the packages in the store
    #[command(
        alias = "list",
        after_help = "Examples:\n  quench ls\n  quench ls --json"
    )]
    Ls,
    /// Show a package: its revisions, chart, images and findings in numbers
    #[command(after_help = "Examples:\n  quench show demo\n  quench show sha256:… --json")]
    Show {
        /// Package: name, name@NUMBER, name:VERSION, or digest of a revision
        package: String,
    },
    /// Print the findings of a package
    #[command(after_help = "\
Examples:
  quench findings demo
  quench findings demo --all
  quench findings demo --format sarif > demo.sarif")]
    Findings {
        /// Package: name, name@NUMBER, name:VERSION, or digest of a revision
        package: String,
        /// Form of the output
        #[arg(long, value_enum, default_value_t = FindingsFormat::Table)]
        format: FindingsFormat,
        /// Resolved and suppressed ones too (JSON and SARIF always hold them)
        #[arg(long)]
        all: bool,
    },
    /// Write the report of a package or chart as one self-contained HTML page
    #[command(after_help = rules::REPORT_EXAMPLES)]
    Report(Box<ReportArgs>),
    /// Print the SBOM of a package's images
    #[command(after_help = "\
Examples:
  quench sbom demo > demo.cdx.json
  quench sbom demo registry.example.org/demo/nginx:1.22 --format spdx")]
    Sbom {
        /// Package: name, name@NUMBER, name:VERSION, or digest of a revision
        package: String,
        /// Image reference; needed when the package holds several images
        image: Option<String>,
        /// Form of the SBOM
        #[arg(long, value_enum, default_value_t = SbomFormat::Cyclonedx)]
        format: SbomFormat,
    },
    /// Write the hardened chart to a folder, ready for helm
    #[command(after_help = "Examples:\n  quench chart demo -o ./demo && helm template demo ./demo")]
    Chart {
        /// Package: name, name@NUMBER, name:VERSION, or digest of a revision
        package: String,
        /// Folder to write; it must not exist or be empty
        #[arg(short, long, value_name = "DIR")]
        output: PathBuf,
    },
    /// Write an image of a package to an OCI layout
    #[command(
        after_help = "Examples:\n  quench image demo registry.example.org/demo/nginx:1.22 -o oci:./nginx"
    )]
    Image {
        /// Package: name, name@NUMBER, name:VERSION, or digest of a revision
        package: String,
        /// Image reference as the chart has it
        image: String,
        /// Where to: oci:DIR
        #[arg(short, long, value_name = "oci:DIR")]
        output: String,
    },
    /// Write a package to one file, whole or as a delta
    #[command(after_help = transport::EXPORT_EXAMPLES)]
    Export(ExportArgs),
    /// Take exported packages into the store
    #[command(after_help = transport::IMPORT_EXAMPLES)]
    Import(ImportArgs),
    /// Send a package's chart and images to a registry
    #[command(after_help = transport::PUSH_EXAMPLES)]
    Push(PushArgs),
    /// Install a package that was pushed, with helm
    #[command(after_help = transport::INSTALL_EXAMPLES)]
    Install(InstallArgs),
    /// Compare two packages: values, rendered objects, images, findings
    #[command(after_help = transport::DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// List the published revisions of a package
    #[command(after_help = transport::HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Make and show keys that sign and verify
    #[command(subcommand)]
    Keys(KeysVerb),
    /// Sign a package, so that cosign and Quench can tell who made it
    #[command(after_help = "\
Examples:
  quench sign demo --key release.key
  quench sign demo --key env://SIGNING_KEY --recursive

What is pushed verifies with `cosign verify --key release.pub --insecure-ignore-tlog HOST/PATH@sha256:…`,
by the signatures that cosign 2 reads and by the bundles of cosign 3 (--new-bundle-format):
there is no transparency log in an air-gapped place. Passphrases come from QUENCH_KEY_PASSWORD.")]
    Sign(SignArgs),
    /// Check that a package or an exported file is whole, unchanged, complete, and signed by whom
    #[command(after_help = "\
Examples:
  quench verify demo
  quench verify demo.quench.tar --key release.pub
  quench verify demo --policy policy.yaml --require-signature
  quench verify demo --air-gap --sign-key release.key
  quench verify demo.quench.tar --air-gap")]
    Verify(Box<VerifyArgs>),
    /// Let a package enter a stage, by a signed statement
    #[command(after_help = "\
Examples:
  quench promote demo --to dev --key ci.key
  quench promote demo --to production --key release.key --trust ci.pub --policy policy.yaml
  quench promote sha256:… --to production --key release.key --rollback

Stages and their gates come from `stages:` in the policy (the package's own when --policy is left out);
without any they are dev, test and production.")]
    Promote(Box<PromoteArgs>),
    /// Show which revision stands in which stage
    #[command(after_help = "\
Examples:
  quench stages
  quench stages demo --key release.pub --key ci.pub --history")]
    Stages(StagesArgs),
    /// List the hardening rules, or explain one
    #[command(after_help = rules::RULES_EXAMPLES)]
    Rules(RulesArgs),
    /// Tell what rules a chart or manifests break, and change nothing
    #[command(after_help = rules::LINT_EXAMPLES)]
    Lint(Box<LintArgs>),
    /// Tell what hardening set on an object or container, by which rule and evidence, and what it left
    #[command(after_help = rules::EXPLAIN_EXAMPLES)]
    Explain(Box<ExplainArgs>),
    /// Accept a deviation from a rule, with a reason, in a policy file
    #[command(after_help = rules::WAIVE_EXAMPLES)]
    Waive(WaiveArgs),
    /// Work with advisories
    #[command(subcommand)]
    Advisories(AdvisoriesVerb),
    /// Hand a chart and its images to a running fleet
    #[command(after_help = "\
Examples:
  quench submit ./chart --images-from oci:./images
  quench submit ./chart --watch

The fleet's address and certificates come from the options or from
QUENCH_ENDPOINT, QUENCH_CA, QUENCH_CERT and QUENCH_KEY.")]
    Submit(Box<SubmitArgs>),
    /// Ask a running fleet how far packages are
    #[command(after_help = "Examples:\n  quench status\n  quench status demo --watch")]
    Status {
        /// Package; all when left out
        package: Option<String>,
        /// Stay and print each change until the package has reached its end
        #[arg(short, long)]
        watch: bool,
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// Print finding events of a running fleet as they come
    #[command(after_help = "\
Examples:
  quench watch
  quench watch --subject 'quench.v1.finding.*.vulnerability.opened.*' --json")]
    Watch {
        /// NATS server
        #[arg(
            long,
            value_name = "URL",
            env = "QUENCH_NATS_URL",
            default_value = "nats://127.0.0.1:4222"
        )]
        nats: String,
        /// File with the seed of the NATS user's nkey
        #[arg(long, value_name = "FILE", env = "QUENCH_NATS_CREDENTIALS")]
        credentials: Option<PathBuf>,
        /// Name of the NATS user, part of the inbox it may use
        #[arg(long, value_name = "NAME", default_value = "subscriber")]
        user: String,
        /// Certificate authority of the NATS server
        #[arg(long, value_name = "FILE", env = "QUENCH_CA")]
        ca: Option<PathBuf>,
        /// Which events
        #[arg(long, default_value = "quench.v1.finding.>")]
        subject: String,
    },
    /// Print a completion script for a shell
    #[command(after_help = "Examples:\n  quench completions bash > /etc/bash_completion.d/quench")]
    Completions {
        /// Shell to complete for
        #[arg(value_enum)]
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum AdvisoriesVerb {
    /// Import advisories as a new epoch and tell what it changes for the stored packages
    #[command(after_help = "\
Examples:
  quench advisories apply ./osv
  quench advisories apply ./all.zip --json
  quench advisories apply ./osv --rescheduler https://127.0.0.1:7406

With --rescheduler the epoch goes to a fleet: through its ingestor (--endpoint) into the content
store, then into force; finding events tell what changes.")]
    Apply {
        /// OSV record, folder of records, or zip
        #[arg(required = true, value_name = "DIR|FILE")]
        sources: Vec<PathBuf>,
        /// gRPC address of a fleet's rescheduler
        #[arg(long, value_name = "URL", help_heading = "Fleet")]
        rescheduler: Option<String>,
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// Show which advisories are in force and what they cover
    Show,
}

/// What is hardened and how: shared by `harden` and `submit`.
#[derive(Debug, Clone, Args)]
pub struct SourceArgs {
    /// What to take: a chart (folder, .tgz file, oci://…, https://host/path/NAME[:VERSION]), manifests (file, folder,
    /// or - for standard input), or images alone (registry/path:tag, oci:DIR, docker-archive:FILE, oci-archive:FILE)
    pub source: String,
    /// Chart repository; SOURCE is then the chart's name (https://…, oci://…, or @NAME as in `helm repo add`)
    #[arg(long, value_name = "URL")]
    pub repo: Option<String>,
    /// Version or range of a chart that is fetched; version of a chart made of manifests or images
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// Name of a package made of manifests or images, which have none of their own
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Values file; may be given several times, later ones win
    #[arg(short = 'f', long = "values", value_name = "FILE")]
    pub values: Vec<PathBuf>,
    /// Where images come from before their registry is asked; may be given several times
    #[arg(long, value_name = "oci:DIR|docker-archive:FILE|oci-archive:FILE")]
    pub images_from: Vec<String>,
    /// Which images go into the package; the policy decides when left out, and all do when it says nothing
    #[arg(long, value_enum, value_name = "WHICH")]
    pub images: Option<Selection>,
    /// What the team demands: gate, rules, waivers (YAML)
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// What the environment offers (YAML)
    #[arg(long, value_name = "FILE")]
    pub target: Option<PathBuf>,
    /// Facts about images that stand in for the images' own (YAML: reference or "*" to facts)
    #[arg(long, value_name = "FILE")]
    pub image_facts: Option<PathBuf>,
    /// Record a failing gate but go on
    #[arg(long)]
    pub no_gate: bool,
}

#[derive(Debug, Clone, Args)]
pub struct HardenArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Advisories to match against: OSV records as folder, file or zip
    #[arg(long, value_name = "DIR|FILE")]
    pub advisories: Vec<PathBuf>,
    /// Last level to reach (name or number)
    #[arg(long, value_name = "LEVEL", default_value = "minimized", value_parser = clap::value_parser!(Level))]
    pub until: Level,
    /// Only the chart: no image is fetched; DIR given by -o gets the hardened chart
    #[arg(long, requires = "output", conflicts_with_all = ["advisories", "images_from"])]
    pub chart_only: bool,
    /// File for the package (.quench.tar); with --chart-only the folder for the chart
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Private key that signs the result: a file, or env://VARIABLE
    #[arg(long, value_name = "KEY", conflicts_with = "chart_only")]
    pub sign_key: Option<String>,
    /// File for the report, as `quench report` writes it
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub struct SubmitArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Stay and print each level until the package has reached its end
    #[arg(short, long)]
    pub watch: bool,
    #[command(flatten)]
    pub fleet: FleetArgs,
}

/// How to reach a fleet.
#[derive(Debug, Clone, Args)]
pub struct FleetArgs {
    /// gRPC address of a service of the fleet
    #[arg(
        long,
        value_name = "URL",
        env = "QUENCH_ENDPOINT",
        default_value = "https://127.0.0.1:7401",
        help_heading = "Fleet"
    )]
    pub endpoint: String,
    /// Certificate authority of the fleet
    #[arg(long, value_name = "FILE", env = "QUENCH_CA", help_heading = "Fleet")]
    pub ca: Option<PathBuf>,
    /// Client certificate
    #[arg(
        long,
        value_name = "FILE",
        env = "QUENCH_CERT",
        requires = "key",
        help_heading = "Fleet"
    )]
    pub cert: Option<PathBuf>,
    /// Key of the client certificate
    #[arg(
        long,
        value_name = "FILE",
        env = "QUENCH_KEY",
        requires = "cert",
        help_heading = "Fleet"
    )]
    pub key: Option<PathBuf>,
}

/// Form of the findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FindingsFormat {
    /// For people
    Table,
    /// Quench's own form
    Json,
    /// SARIF 2.1.0
    Sarif,
}

/// Form of an SBOM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SbomFormat {
    /// CycloneDX 1.6 JSON
    Cyclonedx,
    /// SPDX 2.3 JSON
    Spdx,
}
