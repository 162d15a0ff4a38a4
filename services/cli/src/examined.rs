//! The hardening report of what a command line names: a package of the store, or a chart.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use quench_chart::Chart;
use quench_chart::render::Helm;
use quench_content::Store;
use quench_model::{Level, PackageName, Policy, Target, media_type};
use quench_package::{EngineError, Package, attachments};
use quench_rules::Evidence;
use quench_rules::hardening::report::Report;
use quench_rules::hardening::{Demands, Recovered, examine, recover};

use crate::exit::Failure;
use crate::inputs;

/// Most bytes of a report that is read: one of a thousand objects has some megabytes.
const REPORT_LIMIT: u64 = 256 << 20;

/// The newest hardening report of a package: level 4 asks level 2's rules again, so its report has both.
///
/// # Errors
/// When it cannot be read, or the package has not come that far.
pub async fn of_package(store: &Store, lineage: &[Package]) -> Result<Option<Report>> {
    let hardened =
        |package: &&Package| matches!(package.level, Level::Configured | Level::Operable);
    for package in lineage.iter().filter(hardened) {
        let kind = Some(media_type::REPORT);
        let found = attachments(store, &package.revision.digest, kind).await?;
        if let Some(report) = found.first() {
            return Ok(Some(store.read_json(&report.document, REPORT_LIMIT).await?));
        }
    }
    Ok(None)
}

/// Files that say how a chart is examined.
#[derive(Debug, Clone, Copy)]
pub struct ChartInputs<'a> {
    /// Values files.
    pub values: &'a [PathBuf],
    /// Policy.
    pub policy: Option<&'a Path>,
    /// Target.
    pub target: Option<&'a Path>,
    /// Stand-in image facts.
    pub facts: Option<&'a Path>,
}

/// What the rules make of a chart. A hardened one is asked with what it was hardened with.
///
/// # Errors
/// When the chart or a file is wrong, or helm is missing.
pub async fn of_chart(path: &Path, inputs: ChartInputs<'_>) -> Result<Report> {
    let chart =
        Chart::load(path).map_err(|e| Failure::usage(format!("cannot load the chart: {e}")))?;
    let values = inputs::values(inputs.values)?;
    let recovered = match recover(&chart) {
        Some(recovered) => {
            let given = [inputs.policy, inputs.target, inputs.facts];
            if given.iter().any(Option::is_some) {
                return Err(Failure::usage(format!(
                    "{} is hardened and carries its own policy, target and image facts; leave the options out, or name the chart it was made from",
                    path.display()
                )));
            }
            recovered
        }
        None => Recovered {
            evidence: inputs::facts(inputs.facts)?
                .map(|facts| Evidence::from_facts_file(&facts))
                .unwrap_or_default(),
            policy: inputs::policy_file(inputs.policy)?,
            target: inputs::target(inputs.target)?,
            level: Level::Configured,
        },
    };
    let name = package_name(&chart)?;
    let Recovered {
        evidence,
        policy,
        target,
        level,
    } = &recovered;
    let demands = demands(&name, &values, policy, target, evidence);
    let (report, _) = examine(&Helm::find()?, &chart, *level, demands)
        .await
        .map_err(EngineError::from)
        .with_context(|| format!("cannot examine {}", path.display()))?;
    Ok(report)
}

fn package_name(chart: &Chart) -> Result<PackageName> {
    chart
        .name()
        .parse()
        .map_err(|e| Failure::usage(format!("{e}")))
}

fn demands<'a>(
    package: &'a PackageName,
    values: &'a [Vec<u8>],
    policy: &'a Policy,
    target: &'a Target,
    evidence: &'a Evidence,
) -> Demands<'a> {
    Demands {
        package,
        values,
        policy,
        target,
        evidence,
    }
}

/// Whether a word of the command line names a chart on disk, not a package of the store.
pub fn is_chart(word: &str) -> bool {
    let path = Path::new(word);
    path.join("Chart.yaml").is_file()
        || (path.is_file() && path.extension().is_some_and(|extension| extension == "tgz"))
}
