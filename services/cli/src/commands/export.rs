//! `quench export`.

use std::path::Path;

use anyhow::Result;
use quench_content::Store;
use quench_package::{Base, export_file};
use serde_json::json;

use crate::args::ExportArgs;
use crate::commands::verify::refusal;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::style;

/// Writes a package to a file, whole or as a delta.
pub async fn run(session: &Session, args: &ExportArgs) -> Result<Exit> {
    let store = session.open_store()?;
    let package = session.find(&store, &args.package).await?;
    let base = match &args.since {
        Some(since) => Some(base(session, &store, since).await?),
        None => None,
    };
    let context = session.context(&store);
    let summary = export_file(&context, &package, base.as_ref(), &args.output).await?;
    if session.json {
        session.print_json(&json!({
            "package": package.name,
            "version": package.version,
            "revision": package.revision.digest,
            "file": args.output,
            "bytes": summary.bytes,
            "blobs": summary.blobs,
            "since": summary.delta.as_ref().map(|delta| &delta.base),
            "leftOut": summary.delta.as_ref().map(|delta| json!({
                "blobs": delta.presumed.len(), "bytes": delta.presumed.values().sum::<u64>(),
            })),
        }))?;
    } else if !session.quiet {
        anstream::println!(
            "{} {} is in {} ({}, {})",
            package.name,
            package.version,
            args.output.display(),
            style::bytes(summary.bytes),
            style::count(summary.blobs, "blob", "blobs")
        );
        if let Some(delta) = &summary.delta {
            anstream::println!(
                "  since {} of {} {}, without {} ({}) that it has",
                delta.base.short(),
                delta.package,
                delta.version,
                style::count(delta.presumed.len(), "blob", "blobs"),
                style::bytes(delta.presumed.values().sum())
            );
        }
    }
    Ok(Exit::Done)
}

/// What the other side has: a file exported earlier, or a revision.
async fn base(session: &Session, store: &Store, since: &str) -> Result<Base> {
    let path = Path::new(since);
    if path.is_file() || since.ends_with(".tar") {
        if !path.is_file() {
            return Err(Failure::usage(format!("there is no file {since}")));
        }
        return Base::of_file(path).map_err(refusal);
    }
    let package = session.find(store, since).await?;
    Ok(Base::of_revision(store, &package).await?)
}
