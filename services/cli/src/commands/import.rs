//! `quench import`.

use anyhow::{Context as _, Result};
use quench_package::{Imported, import_trusted, publish, record};
use serde_json::json;

use crate::args::ImportArgs;
use crate::commands::verify::refusal;
use crate::exit::Exit;
use crate::keys;
use crate::session::Session;
use crate::style;

/// Takes exported packages into the store.
pub async fn run(session: &Session, args: &ImportArgs) -> Result<Exit> {
    let store = session.open_store()?;
    let context = session.context(&store);
    let trusted = keys::trusted(&args.trust)?;
    let mut all = Vec::with_capacity(args.files.len());
    for file in &args.files {
        let imported = import_trusted(&context, file, &trusted)
            .await
            .map_err(refusal)
            .with_context(|| format!("{} was not imported", file.display()))?;
        let package = &imported.package;
        for revision in package.lineage(&store).await?.iter().rev() {
            record(&store, revision).await?;
        }
        let newest = publish(&store, package).await?;
        if session.json {
            all.push(json!({
                "file": file,
                "package": package.name,
                "version": package.version,
                "level": package.level,
                "revision": package.revision.digest,
                "newest": newest,
                "since": imported.verified.delta.as_ref().map(|delta| &delta.base),
                "newBlobs": imported.new_blobs,
                "newBytes": imported.new_bytes,
                "uncountedPromotions": imported.unnoted_promotions,
            }));
        } else if !session.quiet {
            tell(&imported, newest);
        }
    }
    if session.json {
        session.print_json(&all)?;
    }
    Ok(Exit::Done)
}

fn tell(imported: &Imported, newest: bool) {
    let package = &imported.package;
    anstream::println!(
        "{} {} {}  {}  {} new ({})",
        style::paint(style::GOOD, "imported"),
        style::paint(style::BOLD, &package.name),
        package.version,
        package.level,
        style::count(imported.new_blobs, "blob", "blobs"),
        style::bytes(imported.new_bytes)
    );
    anstream::println!("  revision  {}", package.revision.digest);
    if imported.unnoted_promotions > 0 {
        let number = imported.unnoted_promotions;
        let text = format!(
            "{} to stages came along and {}: who made {} was not checked; import the file again with --key PUB",
            style::count(number, "promotion", "promotions"),
            if number == 1 {
                "does not count"
            } else {
                "do not count"
            },
            if number == 1 { "it" } else { "them" },
        );
        anstream::println!("  {}", style::paint(style::UNSURE, text));
    }
    if !newest {
        anstream::println!(
            "  {}",
            style::paint(
                style::UNSURE,
                format!(
                    "the store has a higher level of this package, which stays its newest; `quench history {}` lists both",
                    package.name
                )
            )
        );
    }
}
