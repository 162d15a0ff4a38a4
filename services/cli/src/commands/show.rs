//! `quench show`.

use anyhow::Result;
use quench_package::{Entry, Package, attachments, history};
use serde_json::json;

use crate::exit::Exit;
use crate::session::Session;
use crate::style;
use crate::summary::Summary;

/// Shows a package: revisions, images, numbers, attachments.
pub async fn run(session: &Session, wanted: &str) -> Result<Exit> {
    let store = session.open_store()?;
    let package = session.find(&store, wanted).await?;
    let lineage = package.lineage(&store).await?;
    let history = history(&store, &package.name).await?;
    let number = |package: &Package| {
        let same = |entry: &&Entry| entry.revision == package.revision.digest;
        history.iter().find(same).map(|entry| entry.number)
    };
    let summary = Summary::of(&store, &lineage).await?;
    let mut attached = Vec::new();
    for revision in &lineage {
        for attachment in attachments(&store, &revision.revision.digest, None).await? {
            attached.push((revision.level, attachment));
        }
    }
    if session.json {
        session.print_json(&json!({
            "package": package.name,
            "version": package.version,
            "number": number(&package),
            "level": package.level,
            "revision": package.revision.digest,
            "chart": package.chart.manifest.digest,
            "revisions": lineage.iter().map(|p| json!({
                "number": number(p), "level": p.level, "digest": p.revision.digest,
            })).collect::<Vec<_>>(),
            "images": package.images.iter().map(|i| json!({
                "reference": i.reference, "original": i.original, "digest": i.descriptor.digest,
            })).collect::<Vec<_>>(),
            "attachments": attached.iter().map(|(level, a)| json!({
                "level": level, "kind": a.kind, "image": a.image, "digest": a.document.digest, "size": a.document.size,
            })).collect::<Vec<_>>(),
            "summary": summary,
        }))?;
        return Ok(Exit::Done);
    }
    anstream::println!(
        "{} {}  {}",
        style::paint(style::BOLD, &package.name),
        number(&package).map_or_else(
            || package.version.clone(),
            |number| format!("{}-q{number}", package.version),
        ),
        package.level
    );
    anstream::println!("\n{}", style::paint(style::BOLD, "revisions"));
    print_revisions(&lineage, number);
    anstream::println!("\n{}", style::paint(style::BOLD, "images"));
    let mut table = style::table(&["image", "original", "now"]);
    for image in &package.images {
        table.add_row([
            image.reference.to_string(),
            image.original.short(),
            image.descriptor.digest.short(),
        ]);
    }
    anstream::println!("{}\n", style::lines(&table));
    summary.print();
    anstream::println!("\n{}", style::paint(style::BOLD, "attachments"));
    let mut table = style::table(&["level", "what", "image", "size"]);
    for (level, attachment) in &attached {
        table.add_row([
            level.to_string(),
            attachment.kind.clone(),
            attachment
                .image
                .as_ref()
                .map(|d| d.short())
                .unwrap_or_default(),
            style::bytes(attachment.document.size),
        ]);
    }
    anstream::println!("{}", style::lines(&table));
    Ok(Exit::Done)
}

fn print_revisions(lineage: &[Package], number: impl Fn(&Package) -> Option<u64>) {
    let mut table = style::table(&["no", "level", "digest"]);
    for revision in lineage.iter().rev() {
        table.add_row([
            number(revision).map(|n| n.to_string()).unwrap_or_default(),
            format!("{} {}", revision.level.number(), revision.level),
            revision.revision.digest.to_string(),
        ]);
    }
    anstream::println!("{}", style::lines(&table));
}
