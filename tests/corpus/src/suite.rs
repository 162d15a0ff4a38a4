//! All charts of a corpus, in parallel, resumable.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use quench_chart::Chart;
use quench_model::Digest;

use crate::charts::Corpus;
use crate::helms::NamedHelm;
use crate::journal::Journal;
use crate::proof::{Circumstances, Proof, prove};

/// Which charts are taken, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// Sets of values beside the first.
    pub sets: usize,
    /// Only charts of these names; empty for all.
    pub only: Vec<String>,
    /// At most so many charts, evenly from the whole corpus.
    pub sample: Option<usize>,
    /// Charts worked on at a time.
    pub jobs: usize,
    /// File that remembers results. A chart whose result stands there, for the same chart, helms and program, is not
    /// tried again.
    pub journal: Option<PathBuf>,
    /// What charts are hardened with beside the stand-in facts.
    pub circumstances: Circumstances,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sets: 5,
            only: Vec::new(),
            sample: None,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            journal: None,
            circumstances: Circumstances::default(),
        }
    }
}

/// Names of the charts that the options choose.
pub fn chosen<'c>(corpus: &'c Corpus, options: &Options) -> Vec<(&'c str, &'c Path)> {
    let all: Vec<_> = corpus
        .charts()
        .filter(|(name, _)| options.only.is_empty() || options.only.iter().any(|o| o == name))
        .collect();
    match options.sample {
        Some(most) if most < all.len() && most > 0 => (0..most)
            .filter_map(|index| all.get(index * all.len() / most).copied())
            .collect(),
        _ => all,
    }
}

/// Works on each of `items` with `jobs` threads; results come in the order of the items.
pub fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    jobs: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else {
                        break;
                    };
                    let result = work(item);
                    lock(&results).insert(index, result);
                }
            });
        }
    });
    results
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .into_values()
        .collect()
}

/// Proves every chosen chart; `progress` gets a line for each. Proofs come by chart, then by helm.
///
/// # Errors
/// The journal cannot be read or written.
pub fn run(
    corpus: &Corpus,
    helms: &[NamedHelm],
    options: &Options,
    progress: impl Fn(&str) + Sync,
) -> Result<Vec<Proof>> {
    let charts = chosen(corpus, options);
    let program = program()?;
    let journal: Journal<Vec<Proof>> = Journal::open(options.journal.as_deref())?;
    let done = AtomicUsize::new(0);
    let total = charts.len();
    let proofs = in_parallel(&charts, options.jobs, |(name, folder)| -> Result<_> {
        let started = Instant::now();
        let chart = corpus.load(name);
        let key = key(&program, name, &chart, folder, helms, options)?;
        let (proofs, how) = match journal.known(&key) {
            Some(proofs) => (proofs.clone(), "as before".to_owned()),
            None => {
                let proofs = prove(
                    helms,
                    name,
                    chart,
                    folder,
                    options.sets,
                    &options.circumstances,
                );
                journal.note(&key, &proofs)?;
                let took = started.elapsed().as_secs_f64();
                (proofs, format!("{took:.1} s"))
            }
        };
        let number = done.fetch_add(1, Ordering::Relaxed) + 1;
        progress(&format!(
            "[{number}/{total}] {name}: {} ({how})",
            line(&proofs)
        ));
        Ok(proofs)
    });
    let mut all = Vec::new();
    for proofs in proofs {
        all.extend(proofs?);
    }
    Ok(all)
}

/// A chart's proofs in some words.
fn line(proofs: &[Proof]) -> String {
    let failures: usize = proofs.iter().map(|proof| proof.failures.len()).sum();
    if let Some(reason) = proofs.iter().find_map(|proof| proof.unusable.as_deref()) {
        return format!("not usable: {reason}");
    }
    let sets: Vec<String> = proofs
        .iter()
        .map(|proof| proof.sets.len().to_string())
        .collect();
    let pods = proofs.first().map(|proof| proof.pods).unwrap_or_default();
    let verdict = match failures {
        0 => "ok".to_owned(),
        _ => format!("{failures} FAILURES"),
    };
    format!(
        "{verdict}, {} value sets, restricted {} -> {} of {}",
        sets.join("+"),
        pods.before,
        pods.after,
        pods.total
    )
}

/// Changes whenever this program does: results are those of its code.
pub(crate) fn program() -> Result<Digest> {
    let path = std::env::current_exe().context("this program cannot be located")?;
    let bytes =
        std::fs::read(&path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Digest::of(&bytes))
}

fn key(
    program: &Digest,
    name: &str,
    chart: &Result<Chart>,
    folder: &Path,
    helms: &[NamedHelm],
    options: &Options,
) -> Result<String> {
    let circumstances = options.circumstances.key()?;
    let mut text = format!("{program}\n{name}\n{}\n{circumstances}\n", options.sets);
    for helm in helms {
        text.push_str(&helm.version);
        text.push('\n');
    }
    match chart {
        Ok(chart) => {
            for (path, content) in chart.files() {
                text.push_str(&format!("{path} {}\n", Digest::of(content)));
            }
        }
        Err(error) => text.push_str(&error.to_string()),
    }
    // Values come from files that `.helmignore` may hide.
    for set in crate::values::own(folder)? {
        text.push_str(&format!(
            "{} {}\n",
            set.name,
            Digest::of(set.text.as_bytes())
        ));
    }
    Ok(Digest::of(text.as_bytes()).to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
