//! Verbs about what a chart needs.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use quench_model::{ImageSelection, Platform};

use super::SourceArgs;

pub const INGEST_EXAMPLES: &str = "\
Examples:
  quench ingest ./chart --images-from oci:./images
  quench ingest ./chart -f production.yaml --platform linux/amd64 -o demo.quench.tar
  quench ingest ./web ./db --images required
  quench ingest oci://registry.example.org/charts/demo:1.2.3 --json

A chart is rendered at the given values and at those that its templates decide by. What it uses at the given
values is required, what it uses at others optional; both are fetched. --images required leaves the optional
ones out, and tells each.";

/// `quench ingest`.
#[derive(Debug, Clone, Args)]
pub struct IngestArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Further sources, taken the same way
    #[arg(value_name = "SOURCE")]
    pub more: Vec<String>,
    /// Platform to fetch; may be given several times; every one an image offers when left out
    #[arg(long, value_name = "OS/ARCH")]
    pub platform: Vec<Platform>,
    /// File for the package (.quench.tar); for a single source
    #[arg(short, long, value_name = "FILE", conflicts_with = "more")]
    pub output: Option<PathBuf>,
    /// Private key that signs each package: a file, or env://VARIABLE
    #[arg(long, value_name = "KEY")]
    pub sign_key: Option<String>,
}

pub const IMAGES_EXAMPLES: &str = "\
Examples:
  quench images ./chart
  quench images ./chart -f production.yaml --look-up
  quench images demo
  quench images demo --json

Nothing is fetched. Of a chart, digest, platforms and size are known only with --look-up, which asks the images'
registries; without it a reference in text or in an annotation stays possible, since only its registry, or an
image given with --images-from, can show that it is an image.";

/// `quench images`.
#[derive(Debug, Clone, Args)]
pub struct ImagesArgs {
    // The source may be a package of the store as well.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Ask the images' registries for digest, platforms and size
    #[arg(long)]
    pub look_up: bool,
}

/// Which of the images a chart may use go into the package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Selection {
    /// Those it uses at the given values, and those it uses at others
    All,
    /// Only those it uses at the given values; each one left out is a finding
    Required,
}

impl From<Selection> for ImageSelection {
    fn from(selection: Selection) -> Self {
        match selection {
            Selection::All => Self::All,
            Selection::Required => Self::Required,
        }
    }
}
