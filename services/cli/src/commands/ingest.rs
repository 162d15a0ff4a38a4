//! `quench ingest`: level 1 alone.

use anyhow::{Context as _, Result};
use quench_content::Store;
use quench_ingestor_engine::{Engine, EngineOptions, pack};
use quench_package::signing::SignOptions;
use quench_package::{ImageClass, Outcome, export_file, publish};
use serde::Serialize;

use crate::args::IngestArgs;
use crate::commands::images::{self, Images};
use crate::exit::Exit;
use crate::inputs;
use crate::keys;
use crate::session::Session;
use crate::style;

/// What became of one source, for `--json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ingested {
    source: String,
    revision: String,
    replayed: bool,
    signed: bool,
    #[serde(flatten)]
    images: Images,
}

/// Takes charts in, one after the other.
pub async fn run(session: &Session, args: &IngestArgs) -> Result<Exit> {
    // A wrong passphrase should show before the work, not after it.
    let sign_key = args
        .sign_key
        .as_deref()
        .map(keys::signing_key)
        .transpose()?;
    let store = session.open_store()?;
    let context = session.context(&store);
    let engine = Engine::new(EngineOptions {
        platforms: args.platform.clone(),
        ..EngineOptions::default()
    });
    let mut done = Vec::new();
    for source in std::iter::once(&args.source.source).chain(&args.more) {
        let mut one = args.source.clone();
        one.source.clone_from(source);
        // With several sources an error has to say which it is about.
        let about = || format!("cannot ingest {source}");
        let options = inputs::pack_options(&one).with_context(about)?;
        let submission = pack(&options, inputs::today(), &context)
            .await
            .with_context(about)?;
        let outcome = engine
            .run(&submission, &context)
            .await
            .with_context(about)?;
        publish(&store, &outcome.package).await?;
        if let Some(key) = &sign_key {
            keys::sign(&store, &outcome.package, key, &SignOptions::default()).await?;
        }
        let images = images::of_package(&store, &outcome.package).await?;
        tell(session, &store, &outcome, &images).await?;
        if let Some(path) = &args.output {
            export_file(&context, &outcome.package, None, path).await?;
            if !session.json && !session.quiet {
                anstream::println!("package in {}", path.display());
            }
        }
        done.push(Ingested {
            source: source.clone(),
            revision: outcome.package.revision.digest.to_string(),
            replayed: outcome.replayed,
            signed: sign_key.is_some(),
            images,
        });
    }
    if session.json {
        session.print_json(&done)?;
    }
    Ok(Exit::Done)
}

async fn tell(session: &Session, store: &Store, outcome: &Outcome, images: &Images) -> Result<()> {
    if session.json {
        return Ok(());
    }
    let package = &outcome.package;
    if session.quiet {
        anstream::println!("{}", package.revision.digest);
        return Ok(());
    }
    let note = crate::summary::Summary::headline(store, outcome).await?;
    anstream::println!("{}  {note}", style::paint(style::GOOD, "done"));
    for class in [
        ImageClass::Required,
        ImageClass::Optional,
        ImageClass::Possible,
    ] {
        let held = images.count(class, Some(true));
        let left = images.count(class, Some(false));
        if held + left == 0 {
            continue;
        }
        let left = match left {
            0 => String::new(),
            left => format!(
                "  {}",
                style::paint(style::UNSURE, format!("{left} not in the package"))
            ),
        };
        anstream::println!(
            "  {:<9} {}{left}",
            class.name(),
            style::count(held, "image", "images")
        );
    }
    images.print_search();
    anstream::println!("  {}", package.revision.digest);
    Ok(())
}
