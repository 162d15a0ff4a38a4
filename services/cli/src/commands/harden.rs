//! `quench harden`: all five levels in this process.

use std::time::{Duration, Instant};

use anyhow::Result;
use quench_chart::render::Helm;
use quench_content::Store;
use quench_ingestor_engine::{EngineOptions, pack};
use quench_model::Level;
use quench_package::signing::SignOptions;
use quench_package::{Context, EngineError, Outcome, Package, export_file, publish, verdict};
use serde::Serialize;
use serde_json::json;

use crate::args::HardenArgs;
use crate::commands::{advisories, report};
use crate::exit::Exit;
use crate::inputs;
use crate::keys;
use crate::session::Session;
use crate::style;
use crate::summary::Summary;

/// What a level did, for `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    level: Level,
    revision: String,
    replayed: bool,
    seconds: f64,
}

/// Hardens a chart and its images.
pub async fn run(session: &Session, args: &HardenArgs) -> Result<Exit> {
    let options = inputs::pack_options(&args.source)?;
    let store = session.open_store()?;
    let context = session.context(&store);
    let engines = Engines::new(session, &store, args).await?;
    // Before the work: a wrong key or passphrase should not cost it.
    let sign_key = args
        .sign_key
        .as_deref()
        .map(keys::signing_key)
        .transpose()?;

    let mut started = Instant::now();
    let submission = pack(&options, inputs::today(), &context).await?;
    let ingestor = quench_ingestor_engine::Engine::new(EngineOptions::default());
    let mut outcome = ingestor.run(&submission, &context).await?;
    let mut steps = Vec::new();
    loop {
        publish(&store, &outcome.package).await?;
        let level = outcome.package.level;
        tell(session, &store, &outcome, started.elapsed()).await?;
        steps.push(Step {
            level,
            revision: outcome.package.revision.digest.to_string(),
            replayed: outcome.replayed,
            seconds: started.elapsed().as_secs_f64(),
        });
        let next = match level.next() {
            Some(next) if next <= args.until && outcome.refusal.is_none() => next,
            _ => break,
        };
        started = Instant::now();
        outcome = engines.run(next, &outcome.package, &context).await?;
    }
    if let (Some(key), None) = (&sign_key, &outcome.refusal) {
        keys::sign(&store, &outcome.package, key, &SignOptions::default()).await?;
    }
    finish(session, args, &store, &outcome, &steps).await
}

async fn finish(
    session: &Session,
    args: &HardenArgs,
    store: &Store,
    outcome: &Outcome,
    steps: &[Step],
) -> Result<Exit> {
    let package = &outcome.package;
    let mut exported = None;
    if let (Some(path), None) = (&args.output, &outcome.refusal) {
        export_file(&session.context(store), package, None, path).await?;
        exported = Some(path);
    }
    if let Some(path) = &args.report {
        report::write_package(store, package, path).await?;
    }
    let lineage = package.lineage(store).await?;
    let summary = Summary::of(store, &lineage).await?;
    // A gate that is switched off must not look like one that was passed.
    let policy = package.request(store).await?.policy;
    let would_refuse = verdict::refusal(&outcome.findings, &policy);
    if session.json {
        session.print_json(&json!({
            "package": package.name,
            "version": package.version,
            "level": package.level,
            "revision": package.revision.digest,
            "refusal": outcome.refusal,
            "gate": { "enforced": policy.gate.enforce, "wouldRefuse": would_refuse },
            "steps": steps,
            "summary": summary,
            "signed": args.sign_key.is_some() && outcome.refusal.is_none(),
            "file": exported,
            "report": args.report,
        }))?;
    } else {
        if !session.quiet {
            anstream::println!();
            summary.print();
            anstream::println!();
        }
        match &outcome.refusal {
            Some(reason) => anstream::println!(
                "{}  {}: {reason}",
                style::paint(style::BOLD, "gate"),
                style::paint(style::BAD, "refused")
            ),
            None if package.level >= Level::Secured => match would_refuse {
                Some(reason) => anstream::println!(
                    "{}  {}: {reason}",
                    style::paint(style::BOLD, "gate"),
                    style::paint(style::UNSURE, "would refuse, is not enforced")
                ),
                None => anstream::println!(
                    "{}  {}",
                    style::paint(style::BOLD, "gate"),
                    style::paint(style::GOOD, "passed")
                ),
            },
            None => anstream::println!(
                "{}  {}",
                style::paint(style::BOLD, "gate"),
                style::paint(style::UNSURE, "not reached")
            ),
        }
        anstream::println!(
            "{} {} {} {}",
            package.name,
            package.version,
            package.level,
            package.revision.digest
        );
        if args.sign_key.is_some() && outcome.refusal.is_none() {
            anstream::println!("signed");
        }
        if let Some(path) = exported {
            anstream::println!("package in {}", path.display());
        }
        if let Some(path) = &args.report {
            anstream::println!("report in {}", path.display());
        }
    }
    Ok(if outcome.refusal.is_some() {
        Exit::Refused
    } else {
        Exit::Done
    })
}

/// One line per level as it is reached.
async fn tell(session: &Session, store: &Store, outcome: &Outcome, took: Duration) -> Result<()> {
    if session.json || session.quiet {
        return Ok(());
    }
    let level = outcome.package.level;
    let note = Summary::headline(store, outcome).await?;
    let time = if outcome.replayed {
        style::paint(style::DIM, "unchanged")
    } else {
        style::paint(style::DIM, format!("{:.1} s", took.as_secs_f64()))
    };
    let sign = match outcome.refusal {
        Some(_) => style::paint(style::BAD, "refused"),
        None => style::paint(style::GOOD, "done"),
    };
    anstream::println!("{} {level:<11} {sign}  {note}  {time}", level.number());
    Ok(())
}

/// The engines after the first, ready to run.
struct Engines {
    config_hardener: quench_config_hardener_engine::Engine,
    scanner: quench_scanner_engine::Engine,
    ops_enricher: quench_ops_enricher_engine::Engine,
    minimizer: quench_minimizer_engine::Engine,
}

impl Engines {
    async fn new(session: &Session, store: &Store, args: &HardenArgs) -> Result<Self> {
        let helm = Helm::find()?;
        let epoch = advisories::to_match(session, store, &args.advisories).await?;
        Ok(Self {
            config_hardener: quench_config_hardener_engine::Engine::new(helm.clone()),
            scanner: quench_scanner_engine::Engine::new(epoch),
            ops_enricher: quench_ops_enricher_engine::Engine::new(helm.clone()),
            minimizer: quench_minimizer_engine::Engine::new(helm),
        })
    }

    async fn run(
        &self,
        level: Level,
        input: &Package,
        context: &Context,
    ) -> Result<Outcome, EngineError> {
        match level {
            Level::Configured => self.config_hardener.run(input, context).await,
            Level::Secured => self.scanner.run(input, context).await,
            Level::Operable => self.ops_enricher.run(input, context).await,
            Level::Minimized => self.minimizer.run(input, context).await,
            Level::Integrated => Err(EngineError::Input(
                "a package cannot be ingested twice".to_owned(),
            )),
        }
    }
}
