//! The hardening report of what a command line names: a package of the store, or a chart.

use std::path::Path;

use anyhow::{Context as _, Result};
use quench_chart::Chart;
use quench_chart::render::Helm;
use quench_chart::rewrite::restore;
use quench_chart::values_documentation::{ValuesDocumentation, values_documentation};
use quench_content::Store;
use quench_model::{Finding, Level, PackageName, media_type};
use quench_package::{EngineError, Package, attachments};
use quench_rules::Evidence;
use quench_rules::hardening::report::Report;
use quench_rules::hardening::{Demands, Recovered, examine, recover};

use crate::args::ChartFiles;
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
    let mut newest: Option<Report> = None;
    for package in lineage.iter().filter(hardened) {
        let kind = Some(media_type::REPORT);
        let found = attachments(store, &package.revision.digest, kind).await?;
        let Some(attached) = found.first() else {
            continue;
        };
        let report: Report = store.read_json(&attached.document, REPORT_LIMIT).await?;
        match &mut newest {
            None => newest = Some(report),
            // Only level 2 looks at the chart's parameters.
            Some(newest) => newest.parameters = report.parameters.or(newest.parameters.take()),
        }
    }
    Ok(newest)
}

/// A chart, examined.
#[derive(Debug, Clone)]
pub struct Examined {
    /// What hardening does to it.
    pub report: Report,
    /// The same as findings.
    pub findings: Vec<Finding>,
    /// Its values.
    pub values: ValuesDocumentation,
}

/// What the rules make of a chart. A hardened one is asked with what it was hardened with.
///
/// # Errors
/// When the chart or a file is wrong, or helm is missing.
pub async fn of_chart(path: &Path, files: &ChartFiles) -> Result<Examined> {
    let chart =
        Chart::load(path).map_err(|e| Failure::usage(format!("cannot load the chart: {e}")))?;
    let values = inputs::values(&files.values)?;
    let recovered = match recover(&chart) {
        Some(recovered) => {
            if files.policy.is_some() || files.target.is_some() || files.image_facts.is_some() {
                return Err(Failure::usage(format!(
                    "{} is hardened and carries its own policy, target and image facts; leave the options out, or name the chart it was made from",
                    path.display()
                )));
            }
            recovered
        }
        None => Recovered {
            evidence: inputs::facts(files.image_facts.as_deref())?
                .map(|facts| Evidence::from_facts_file(&facts))
                .unwrap_or_default(),
            policy: inputs::policy_file(files.policy.as_deref())?,
            target: inputs::target(files.target.as_deref())?,
            level: Level::Configured,
        },
    };
    let package: PackageName = chart
        .name()
        .parse()
        .map_err(|e| Failure::usage(format!("{e}")))?;
    let demands = Demands {
        package: &package,
        values: &values,
        policy: &recovered.policy,
        target: &recovered.target,
        evidence: &recovered.evidence,
    };
    let (report, findings) = examine(&Helm::find()?, &chart, recovered.level, demands)
        .await
        .map_err(EngineError::from)
        .with_context(|| format!("cannot examine {}", path.display()))?;
    Ok(Examined {
        report,
        findings,
        values: values_of(&chart)?,
    })
}

/// Every value of a chart, hardened or not.
///
/// # Errors
/// When its values cannot be read.
pub fn values_of(chart: &Chart) -> Result<ValuesDocumentation> {
    let mut documentation = values_documentation(&restore(chart)?)?;
    quench_rules::parameters::annotate(&mut documentation);
    Ok(documentation)
}

/// Whether a word of the command line names a chart on disk, not a package of the store.
///
/// # Errors
/// When the word is a path, and no chart is there.
pub fn is_chart(word: &str) -> Result<bool> {
    let path = Path::new(word);
    let chart = path.join("Chart.yaml").is_file()
        || (path.is_file() && path.extension().is_some_and(|extension| extension == "tgz"));
    // Names of packages and digests have no slash.
    if !chart && word.contains('/') {
        return Err(Failure::usage(format!(
            "there is no chart at {word}; it would be a folder with a Chart.yaml, or a .tgz file"
        )));
    }
    Ok(chart)
}

/// Refuses files for a package, which was hardened with its own.
///
/// # Errors
/// When there are some.
pub fn refuse_files(files: &ChartFiles) -> Result<()> {
    if files.values.is_empty()
        && files.policy.is_none()
        && files.target.is_none()
        && files.image_facts.is_none()
    {
        return Ok(());
    }
    Err(Failure::usage(
        "a package was hardened with its own values, policy, target and image facts; for others write its chart to a \
         folder with `quench chart`, and name that with -f",
    ))
}
