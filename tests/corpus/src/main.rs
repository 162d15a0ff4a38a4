//! `quench-corpus`: proofs and measurements over a folder of charts.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use quench_corpus::charts::Corpus;
use quench_corpus::proof::Circumstances;
use quench_corpus::suite::{self, Options};
use quench_corpus::tally::Tally;
use quench_corpus::{checkov, helms, recall};

/// Proofs and measurements over a folder of charts
#[derive(Debug, Parser)]
#[command(name = "quench-corpus")]
struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Off renders as the original, on does what the rules say, every pod left open is explained; exit 1 where not
    Prove {
        #[command(flatten)]
        charts: Charts,
        #[command(flatten)]
        given: Given,
        /// Sets of values to try beside the first
        #[arg(long, default_value_t = 5, value_name = "N")]
        sets: usize,
        /// Remember results here, and do not work again on what was done by the same program
        #[arg(long, value_name = "FILE")]
        journal: Option<PathBuf>,
        /// Write numbers, failures and open pods here, as Markdown
        #[arg(long, value_name = "FILE")]
        report: Option<PathBuf>,
    },
    /// Every image that turning a single boolean brings in is found by the search of the ingestor; exit 1 where not
    Recall {
        #[command(flatten)]
        charts: Charts,
        /// Remember here what turning booleans brings in, which takes far longer than the search, and what is found
        #[arg(long, env = "QUENCH_CHARTS_JOURNAL", value_name = "FILE")]
        journal: Option<PathBuf>,
    },
    /// Failures of checkov per container, before and after; exit 1 above 0.5
    Checkov {
        #[command(flatten)]
        charts: Charts,
        #[command(flatten)]
        given: Given,
        /// The checkov program
        #[arg(long, default_value = "checkov", value_name = "PROGRAM")]
        checkov: PathBuf,
        /// Keep the manifests here, in `before` and `after`; what these hold is removed first
        #[arg(long, value_name = "FOLDER")]
        manifests: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Charts {
    /// Folder of charts, at any depth; dependencies that charts lack are taken from here too
    folder: PathBuf,
    /// At most so many charts, evenly from the whole folder
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Only these charts, by the names of their folders
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    only: Vec<String>,
    /// Charts worked on at a time
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
}

/// What is given for all charts
#[derive(Debug, Args)]
struct Given {
    /// Harden with this policy
    #[arg(long, value_name = "FILE", conflicts_with = "decided")]
    policy: Option<PathBuf>,
    /// Harden with a policy that decides for the fix of every rule that only reports without a decision
    #[arg(long)]
    decided: bool,
    /// Harden for this target
    #[arg(long, value_name = "FILE")]
    target: Option<PathBuf>,
}

impl Given {
    fn circumstances(&self) -> Result<Circumstances> {
        Ok(Circumstances {
            policy: if self.decided {
                Circumstances::decided()
            } else {
                read(self.policy.as_deref())?
            },
            target: read(self.target.as_deref())?,
        })
    }
}

/// A YAML file; the default where there is none.
fn read<T: Default + serde::de::DeserializeOwned>(path: Option<&Path>) -> Result<T> {
    let Some(path) = path else {
        return Ok(T::default());
    };
    let bytes =
        std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let text =
        std::str::from_utf8(&bytes).with_context(|| format!("{} is no text", path.display()))?;
    let value = quench_chart::yaml::parse(text)
        .with_context(|| format!("{} is no YAML", path.display()))?;
    serde_json::from_value(value).with_context(|| format!("{} is not usable", path.display()))
}

impl Charts {
    fn options(&self) -> Options {
        let defaults = Options::default();
        Options {
            only: self.only.clone(),
            sample: self.sample,
            jobs: self.jobs.unwrap_or(defaults.jobs),
            ..defaults
        }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let helms = helms::find()?;
    match &arguments.work {
        Work::Prove {
            charts,
            given,
            sets,
            journal,
            report,
        } => {
            let corpus = Corpus::find(&charts.folder)?;
            let options = Options {
                sets: *sets,
                journal: journal.clone(),
                circumstances: given.circumstances()?,
                ..charts.options()
            };
            let proofs = suite::run(&corpus, &helms, &options, say)?;
            let tally = Tally::new(&proofs);
            if let Some(path) = report {
                std::fs::write(path, tally.report())
                    .with_context(|| format!("{} cannot be written", path.display()))?;
            }
            print(&tally.table())?;
            let complaints = tally.complaints();
            for complaint in &complaints {
                say(complaint);
            }
            Ok(complaints.is_empty())
        }
        Work::Recall { charts, journal } => {
            let corpus = Corpus::find(&charts.folder)?;
            let helm = helms.first().context("there is no helm")?;
            let options = Options {
                journal: journal.clone(),
                ..charts.options()
            };
            let compared = recall::compare(&corpus, helm, &options, say)?;
            print(&recall::report(&compared))?;
            let verdict = recall::judge(&compared);
            if let Err(reason) = &verdict {
                say(&reason.to_string());
            }
            Ok(verdict.is_ok())
        }
        Work::Checkov {
            charts,
            given,
            checkov,
            manifests,
        } => {
            let corpus = Corpus::find(&charts.folder)?;
            let helm = helms.first().context("there is no helm")?;
            let options = Options {
                circumstances: given.circumstances()?,
                ..charts.options()
            };
            let measured =
                checkov::measure(&corpus, &helm.helm, checkov, manifests, &options, say)?;
            print(&measured.table())?;
            for reason in &measured.unusable {
                say(&format!("not usable: {reason}"));
            }
            Ok(measured.after.per_container() <= checkov::LIMIT)
        }
    }
}

/// Progress and errors go to standard error, results to standard output.
fn say(text: &str) {
    // Nobody to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "corpus: {text}");
}

fn print(text: &str) -> Result<()> {
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("standard output cannot be written")
}
