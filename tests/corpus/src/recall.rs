//! How many of the images that turning single booleans brings in the ingestor's search finds.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use quench_chart::Chart;
use quench_content::{DirectoryStore, Store};
use quench_ingestor_engine::source::ChartSource;
use quench_ingestor_engine::{Engine, EngineOptions, PackOptions, pack};
use quench_model::Digest;
use quench_package::{Context, ImageClass};
use serde::{Deserialize, Serialize};

use crate::brute_force::{self, BruteForce};
use crate::charts::Corpus;
use crate::helms::{NamedHelm, block_on};
use crate::journal::Journal;
use crate::suite::{Options, chosen, program};

/// What the search finds in a chart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    /// Images of the package, in each spelling.
    pub images: BTreeSet<String>,
    /// Images that other values than the chart's own bring in.
    pub optional: usize,
    /// Texts that may be images.
    pub possible: usize,
    /// Renders it took.
    pub renders: usize,
    /// Value sets that do not render.
    pub failed: usize,
    /// Value sets left out because there were too many.
    pub left_out: usize,
    /// Milliseconds it took.
    pub milliseconds: u64,
}

/// A result that the journal remembers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Remembered {
    BruteForce(BruteForce),
    Search(Search),
}

/// A chart looked at both ways.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Name of the chart.
    pub chart: String,
    /// Both results, or why there are none.
    pub results: Result<(BruteForce, Search), String>,
}

impl Compared {
    /// Images that are not found, each with the boolean that brings it in.
    pub fn missed(&self) -> Vec<String> {
        let Ok((brute, search)) = &self.results else {
            return Vec::new();
        };
        brute
            .images
            .iter()
            .filter(|(image, _)| !search.images.contains(*image))
            .map(|(image, switch)| format!("{}: {image} ({})", self.chart, told(switch)))
            .collect()
    }
}

fn told(switch: &str) -> &str {
    if switch.is_empty() {
        "its own values"
    } else {
        switch
    }
}

/// Compares the chosen charts, one after the other so that times tell something; `progress` gets a line for each.
///
/// # Errors
/// The journal cannot be read or written.
pub fn compare(
    corpus: &Corpus,
    helm: &NamedHelm,
    options: &Options,
    progress: impl Fn(&str),
) -> Result<Vec<Compared>> {
    let journal = Journal::open(options.journal.as_deref())?;
    let program = program()?;
    let charts = chosen(corpus, options);
    let mut all = Vec::with_capacity(charts.len());
    for (name, _) in &charts {
        let results = both(corpus, name, helm, &program, &journal)?;
        let compared = Compared {
            chart: (*name).to_owned(),
            results: results.map_err(|error| {
                let error = format!("{error:#}");
                error.lines().last().unwrap_or_default().to_owned()
            }),
        };
        let number = all.len() + 1;
        progress(&format!("[{number}/{}] {}", charts.len(), line(&compared)));
        all.push(compared);
    }
    Ok(all)
}

/// The outer error is one of the journal, the inner one of the chart.
fn both(
    corpus: &Corpus,
    name: &str,
    helm: &NamedHelm,
    program: &Digest,
    journal: &Journal<Remembered>,
) -> Result<Result<(BruteForce, Search)>> {
    let chart = match corpus.load(name) {
        Ok(chart) => chart,
        Err(error) => return Ok(Err(error)),
    };
    let key = brute_force::key(&chart, &helm.version);
    let search_key = format!("{key} {program}");
    let search = match journal.known(&search_key) {
        Some(Remembered::Search(known)) => known.clone(),
        _ => match block_on(search(helm, &chart))? {
            Ok(found) => {
                journal.note(&search_key, &Remembered::Search(found.clone()))?;
                found
            }
            Err(error) => return Ok(Err(error)),
        },
    };
    let brute = match journal.known(&key) {
        Some(Remembered::BruteForce(known)) => known.clone(),
        _ => match block_on(brute_force::measure(&helm.helm, &chart))? {
            Ok(found) => {
                journal.note(&key, &Remembered::BruteForce(found.clone()))?;
                found
            }
            Err(error) => return Ok(Err(error)),
        },
    };
    Ok(Ok((brute, search)))
}

async fn search(helm: &NamedHelm, chart: &Chart) -> Result<Search> {
    let folder = tempfile::tempdir()?;
    let path: PathBuf = folder.path().join("chart");
    chart.write_to(&path)?;
    let store = DirectoryStore::open(folder.path().join("store"))?;
    let context = Context::new(Store::Directory(store));
    let options = PackOptions::new(ChartSource::Folder(path));
    let engine = Engine::new(EngineOptions {
        helm: Some(helm.helm.clone()),
        ..EngineOptions::default()
    });
    let started = Instant::now();
    // No waiver is given that could expire.
    let submission = pack(&options, time::Date::MIN, &context).await?;
    let survey = engine.survey(&submission, false, &context).await?;
    let count = |class| survey.images.iter().filter(|i| i.class == class).count();
    Ok(Search {
        images: survey
            .images
            .iter()
            .filter(|image| image.class != ImageClass::Possible)
            .flat_map(|image| image.rendered.iter().cloned())
            .collect(),
        optional: count(ImageClass::Optional),
        possible: count(ImageClass::Possible),
        renders: survey.values.rendered,
        failed: survey.values.failed.len(),
        left_out: survey.values.left_out,
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

fn line(compared: &Compared) -> String {
    match &compared.results {
        Ok((brute, search)) => format!(
            "{}: {} of {} images, {} renders for {}, {:.1} s for {:.1} s",
            compared.chart,
            brute.images.len() - compared.missed().len(),
            brute.images.len(),
            search.renders,
            brute.renders,
            seconds(search.milliseconds),
            seconds(brute.milliseconds),
        ),
        Err(reason) => format!("{}: not usable: {reason}", compared.chart),
    }
}

fn seconds(milliseconds: u64) -> f64 {
    Duration::from_millis(milliseconds).as_secs_f64()
}

/// The comparison as Markdown: a table, what is missed, and totals.
pub fn report(all: &[Compared]) -> String {
    let mut text = String::from(
        "| chart | images | found | optional | possible | renders | brute force | failed | left out | s | brute force s |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let mut unusable = Vec::new();
    let mut dearer = Vec::new();
    let (mut wanted, mut missed) = (0, Vec::new());
    let (mut renders, mut brute_renders, mut time, mut brute_time) = (0, 0, 0, 0);
    for compared in all {
        let (brute, search) = match &compared.results {
            Ok(results) => results,
            Err(reason) => {
                unusable.push(format!("{}: {reason}", compared.chart));
                continue;
            }
        };
        let gone = compared.missed();
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} | {:.1} |",
            compared.chart,
            brute.images.len(),
            brute.images.len() - gone.len(),
            search.optional,
            search.possible,
            search.renders,
            brute.renders,
            search.failed,
            search.left_out,
            seconds(search.milliseconds),
            seconds(brute.milliseconds),
        );
        if search.renders > brute.renders {
            dearer.push(format!(
                "{}: {} for {}",
                compared.chart, search.renders, brute.renders
            ));
        }
        wanted += brute.images.len();
        missed.extend(gone);
        renders += search.renders;
        brute_renders += brute.renders;
        time += search.milliseconds;
        brute_time += brute.milliseconds;
    }
    for (title, lines) in [
        ("Not usable", &unusable),
        ("More renders than brute force", &dearer),
        ("Missed", &missed),
    ] {
        if !lines.is_empty() {
            let _ = writeln!(text, "\n{title}:");
        }
        for line in lines {
            let _ = writeln!(text, "- {line}");
        }
    }
    let _ = writeln!(
        text,
        "\n{} charts, {} of {wanted} images found; {renders} renders in {:.0} s, by brute force {brute_renders} in {:.0} s",
        all.len() - unusable.len(),
        wanted - missed.len(),
        seconds(time),
        seconds(brute_time),
    );
    text
}

/// What must not be: an image that is missed, or no chart that could be compared.
///
/// # Errors
/// Says which.
pub fn judge(all: &[Compared]) -> Result<()> {
    let missed: usize = all.iter().map(|compared| compared.missed().len()).sum();
    anyhow::ensure!(missed == 0, "{missed} images are missed");
    all.iter()
        .any(|compared| compared.results.is_ok())
        .then_some(())
        .context("no chart could be compared")
}
