//! `quench harden --chart-only`: the chart alone, without images or store.

use anyhow::{Context as _, Result};
use quench_chart::Chart;
use quench_chart::render::Helm;
use quench_config_hardener_engine::{Demands, harden_chart};
use quench_ingestor_engine::source::ChartSource;
use quench_model::PackageName;
use quench_package::EngineError;
use quench_rules::Evidence;

use crate::args::HardenArgs;
use crate::commands::findings;
use crate::examined;
use crate::exit::{Exit, Failure};
use crate::files::write_whole;
use crate::html::{self, Subject};
use crate::inputs;
use crate::layout::refuse_existing;
use crate::session::Session;
use crate::style;

/// Hardens a chart and writes it to a folder.
pub async fn run(session: &Session, args: &HardenArgs) -> Result<Exit> {
    let Some(output) = args.output.as_deref() else {
        return Err(Failure::usage(
            "--chart-only needs -o DIR for the hardened chart",
        ));
    };
    refuse_existing(output)?;
    let source = &args.source;
    let path = match inputs::chart_source(source)? {
        ChartSource::Folder(path) | ChartSource::Archive(path) => path,
        _ => {
            return Err(Failure::usage(
                "--chart-only takes a chart folder or .tgz file; fetch the chart with `helm pull` first",
            ));
        }
    };
    let chart =
        Chart::load(&path).map_err(|e| Failure::usage(format!("cannot load the chart: {e}")))?;
    let policy = inputs::policy(source)?;
    let target = inputs::target(source.target.as_deref())?;
    let values = inputs::values(&source.values)?;
    let evidence = match inputs::facts(source.image_facts.as_deref())? {
        Some(facts) => Evidence::from_facts_file(&facts),
        None => Evidence::default(),
    };
    let name: PackageName = chart
        .name()
        .parse()
        .map_err(|e| Failure::usage(format!("{e}")))?;
    let demands = Demands {
        package: &name,
        values: &values,
        policy: &policy,
        target: &target,
        evidence: &evidence,
    };
    let hardened = harden_chart(&Helm::find()?, &chart, demands)
        .await
        .map_err(EngineError::from)?;
    hardened
        .chart
        .write_to(output)
        .with_context(|| format!("cannot write the hardened chart to {}", output.display()))?;
    if let Some(page) = &args.report {
        let values = examined::values_of(&chart)?;
        let page_text = html::page(&Subject {
            name: chart.name(),
            version: chart.version(),
            level: hardened.report.level,
            report: Some(&hardened.report),
            values: Some(&values),
            findings: &hardened.findings,
            package: None,
        });
        write_whole(page, page_text.as_bytes())?;
    }
    if session.json {
        session.print_json(&serde_json::json!({
            "chart": chart.name(),
            "version": chart.version(),
            "output": output,
            "page": args.report,
            "report": hardened.report,
            "findings": hardened.findings,
        }))?;
        return Ok(Exit::Done);
    }
    if !session.quiet {
        let open: Vec<_> = hardened
            .findings
            .iter()
            .filter(|f| f.state.is_open())
            .collect();
        if !open.is_empty() {
            anstream::println!("{}\n", findings::table(&open));
        }
        let (before, after) = (&hardened.report.before, &hardened.report.after);
        anstream::println!(
            "{}  {} → {}",
            style::paint(style::BOLD, "configuration findings"),
            before.findings,
            after.findings
        );
        anstream::println!(
            "{}      {} → {} of {}",
            style::paint(style::BOLD, "pods that pass PSS restricted"),
            before.restricted,
            after.restricted,
            after.workloads
        );
        if let Some(parameters) = &hardened.report.parameters {
            anstream::println!(
                "{}            {} with safer defaults, {} recommended",
                style::paint(style::BOLD, "the chart's parameters"),
                parameters.kept.len(),
                parameters.recommended.len()
            );
        }
        anstream::println!(
            "{} {} hardens itself now: {}",
            chart.name(),
            chart.version(),
            output.display()
        );
        if let Some(page) = &args.report {
            anstream::println!("report in {}", page.display());
        }
    }
    Ok(Exit::Done)
}
