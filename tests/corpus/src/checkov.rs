//! Checkov, a scanner nobody here wrote, over what charts render to before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use quench_chart::render::{Helm, Rendered};
use quench_chart::workload;
use serde_json::Value;

use crate::charts::Corpus;
use crate::proof::{self, Circumstances, Order};
use crate::suite::{Options, chosen, in_parallel};
use crate::values;

/// Checks left out: whether an image is pulled always, which namespace is used and which user id the image was built for
/// are decisions of the installer or of the image, not of the chart.
pub const LEFT_OUT: [&str; 3] = ["CKV_K8S_15", "CKV_K8S_21", "CKV_K8S_40"];
/// Failures per container that hardened charts may have at most.
pub const LIMIT: f64 = 0.5;

/// One side of the comparison.
#[derive(Debug, Clone, Default)]
pub struct Side {
    /// Containers, init containers too.
    pub containers: usize,
    /// Failures by check id.
    pub failures: BTreeMap<String, usize>,
    /// Titles of checks that fail.
    pub titles: BTreeMap<String, String>,
}

impl Side {
    /// All failures.
    pub fn total(&self) -> usize {
        self.failures.values().sum()
    }

    /// Failures per container.
    pub fn per_container(&self) -> f64 {
        ratio(self.total(), self.containers)
    }
}

/// What checkov says of the corpus.
#[derive(Debug, Clone, Default)]
pub struct Measurement {
    /// Charts that were looked at.
    pub charts: usize,
    /// Charts that could not be, with the reason.
    pub unusable: Vec<String>,
    /// What the charts render to.
    pub before: Side,
    /// What they render to when hardened.
    pub after: Side,
}

/// Renders the chosen charts with the first values they render with, hardens and renders them again, and has checkov look at
/// both. The manifests stay in `folder`, in `before` and `after`.
///
/// # Errors
/// Checkov does not run or looked at nothing, or `folder` cannot be written.
pub fn measure(
    corpus: &Corpus,
    helm: &Helm,
    checkov: &Path,
    folder: &Path,
    options: &Options,
    progress: impl Fn(&str) + Sync,
) -> Result<Measurement> {
    let sides = [folder.join("before"), folder.join("after")];
    for side in &sides {
        if side.exists() {
            std::fs::remove_dir_all(side)
                .with_context(|| format!("{} cannot be emptied", side.display()))?;
        }
        std::fs::create_dir_all(side)
            .with_context(|| format!("{} cannot be made", side.display()))?;
    }
    let charts = chosen(corpus, options);
    let counted = in_parallel(&charts, options.jobs, |(name, sources)| {
        let counted = write(corpus, helm, name, sources, &options.circumstances, &sides);
        match &counted {
            Ok(_) => progress(&format!("{name}: rendered")),
            Err(error) => progress(&format!("{name}: not usable: {error:#}")),
        }
        counted.map_err(|error| format!("{name}: {error:#}"))
    });
    let mut measured = Measurement::default();
    for counted in counted {
        match counted {
            Ok([before, after]) => {
                measured.charts += 1;
                measured.before.containers += before;
                measured.after.containers += after;
            }
            Err(reason) => measured.unusable.push(reason),
        }
    }
    progress("checkov looks at both");
    let found = in_parallel(&sides, options.jobs, |side| scan(checkov, side));
    let mut found = found.into_iter();
    for side in [&mut measured.before, &mut measured.after] {
        let (failures, titles) = found.next().context("a scan is missing")??;
        side.failures = failures;
        side.titles = titles;
    }
    Ok(measured)
}

/// Writes what a chart renders to before and after; gives the number of containers of both.
fn write(
    corpus: &Corpus,
    helm: &Helm,
    name: &str,
    sources: &Path,
    circumstances: &Circumstances,
    sides: &[PathBuf; 2],
) -> Result<[usize; 2]> {
    let chart = corpus.load(name)?;
    let candidates = values::candidates(&chart, sources)?;
    let (set, before) = proof::first_usable(helm, &chart, &candidates)?;
    let mut order = Order::new(&chart, circumstances)?;
    order.lock(&before);
    let hardened = order.harden(helm, &chart, set)?;
    let after = proof::render(helm, &hardened, set, &[])?;
    for (side, rendered) in sides.iter().zip([&before, &after]) {
        let path = side.join(format!("{name}.yaml"));
        std::fs::write(&path, &rendered.text)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok([containers(&before), containers(&after)])
}

fn containers(rendered: &Rendered) -> usize {
    rendered
        .objects()
        .filter_map(workload::pod)
        .map(|pod| pod.containers().count())
        .sum()
}

type Failures = (BTreeMap<String, usize>, BTreeMap<String, String>);

fn scan(checkov: &Path, folder: &Path) -> Result<Failures> {
    let output = Command::new(checkov)
        .args(["--directory"])
        .arg(folder)
        .args(["--framework", "kubernetes", "--output", "json", "--compact"])
        .args(["--skip-download", "--soft-fail", "--skip-check"])
        .arg(LEFT_OUT.join(","))
        .env("LOG_LEVEL", "ERROR")
        .stdin(Stdio::null())
        .output()
        .with_context(|| {
            format!(
                "{} cannot be started: run `make checkov`",
                checkov.display()
            )
        })?;
    ensure!(
        output.status.success(),
        "{} ended with {}: {}",
        checkov.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value =
        serde_json::from_slice(&output.stdout).context("checkov printed no JSON")?;
    if report
        .pointer("/summary/parsing_errors")
        .and_then(Value::as_u64)
        != Some(0)
    {
        bail!(
            "checkov could not read some of {}: {}",
            folder.display(),
            report.pointer("/results/parsing_errors").unwrap_or(&report)
        );
    }
    let failed = report
        .pointer("/results/failed_checks")
        .and_then(Value::as_array)
        .context("checkov's report has no failed_checks")?;
    ensure!(
        report
            .pointer("/summary/resource_count")
            .and_then(Value::as_u64)
            > Some(0),
        "checkov saw no resource in {}",
        folder.display()
    );
    let (mut failures, mut titles) = Failures::default();
    for check in failed {
        let text = |key: &str| check.get(key).and_then(Value::as_str).unwrap_or_default();
        *failures.entry(text("check_id").to_owned()).or_default() += 1;
        titles.insert(text("check_id").to_owned(), text("check_name").to_owned());
    }
    Ok((failures, titles))
}

impl Measurement {
    /// Failures by check, before and after, the most frequent after first.
    pub fn table(&self) -> String {
        let ids: BTreeSet<&String> = self
            .before
            .failures
            .keys()
            .chain(self.after.failures.keys())
            .collect();
        let mut ids: Vec<&String> = ids.into_iter().collect();
        let of = |side: &Side, id: &str| side.failures.get(id).copied().unwrap_or_default();
        ids.sort_by_key(|id| std::cmp::Reverse((of(&self.after, id), of(&self.before, id))));
        let mut text = format!("{:14}{:>8}{:>8}  what\n", "check", "before", "after");
        for id in ids {
            let title = self.before.titles.get(id).or(self.after.titles.get(id));
            let _ = writeln!(
                text,
                "{id:14}{:>8}{:>8}  {}",
                of(&self.before, id),
                of(&self.after, id),
                title.map_or("", String::as_str)
            );
        }
        for (name, number) in [
            ("failures", [self.before.total(), self.after.total()]),
            (
                "containers",
                [self.before.containers, self.after.containers],
            ),
        ] {
            let [before, after] = number;
            let _ = writeln!(text, "{name:14}{before:>8}{after:>8}");
        }
        let _ = writeln!(
            text,
            "{:14}{:>8.2}{:>8.2}  {} left out; {} charts",
            "per container",
            self.before.per_container(),
            self.after.per_container(),
            LEFT_OUT.join(", "),
            self.charts
        );
        text
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_one_line_the_worst_left_first() {
        let side = |containers, failures: &[(&str, usize)]| Side {
            containers,
            failures: failures
                .iter()
                .map(|(id, count)| ((*id).to_owned(), *count))
                .collect(),
            titles: BTreeMap::from([("A".to_owned(), "title".to_owned())]),
        };
        let measured = Measurement {
            charts: 1,
            before: side(2, &[("A", 3), ("B", 3), ("C", 1)]),
            after: side(4, &[("C", 1), ("A", 1)]),
            ..Measurement::default()
        };
        let table = measured.table();
        let ids: Vec<_> = table
            .lines()
            .skip(1)
            .take(3)
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(ids, ["A 3 1 title", "C 1 1", "B 3 0"]);
        assert!(table.contains("per container     3.50    0.50"), "{table}");
    }
}
