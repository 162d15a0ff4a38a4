//! `quench verify --air-gap`: what it does and how it tells.

use anyhow::{Context as _, Result};
use quench_chart::render::Helm;
use quench_content::Store;
use quench_ingestor_engine::air_gap::{AirGapError, AirGapProof, images_at_given_values, prove};
use quench_package::signing::{SigningKey, Statement, attest};
use quench_package::staging::AIR_GAP_PREDICATE;
use quench_package::{EngineError, Package};

use crate::exit::Failure;
use crate::session::Session;
use crate::style;

/// Most things of a kind that are listed for people; JSON has all.
const LISTED: usize = 10;

/// Shows that a package installs without a network.
///
/// # Errors
/// When it cannot be shown; the error names what is needed.
pub async fn show(session: &Session, store: &Store, package: &Package) -> Result<AirGapProof> {
    prove(&Helm::find()?, package, &session.context(store))
        .await
        .map_err(|error| match error {
            error @ AirGapError::NotShown { .. } => Failure::refused(error.to_string()),
            AirGapError::Engine(error) => error.into(),
        })
}

/// Attaches a statement of what was shown to a package of a store.
///
/// # Errors
/// When the store refuses.
pub async fn attach(
    store: &Store,
    package: &Package,
    proof: &AirGapProof,
    key: Option<&SigningKey>,
) -> Result<()> {
    let revision = &package.revision;
    let predicate = serde_json::to_value(proof)?;
    let name = package.name.as_str();
    let statement = Statement::about(name, &revision.digest, AIR_GAP_PREDICATE, predicate);
    attest(store, revision, &statement, key)
        .await
        .with_context(|| format!("cannot attach the statement to {name}"))?;
    Ok(())
}

/// Whether the images of the chart at the given values are all in the package.
pub enum Rendered {
    /// They are; so many.
    Whole(usize),
    /// It could not be looked at, and why.
    NotChecked(String),
}

/// Renders the chart once, at the given values.
///
/// # Errors
/// [`Failure`] names the images that are not in the package.
pub async fn rendered(session: &Session, store: &Store, package: &Package) -> Result<Rendered> {
    let helm = match Helm::find() {
        Ok(helm) => helm,
        Err(error) => return Ok(Rendered::NotChecked(error.to_string())),
    };
    let context = session.context(store);
    match images_at_given_values(&helm, package, &context).await {
        Ok(images) => Ok(Rendered::Whole(images.len())),
        Err(error @ AirGapError::NotShown { .. }) => Err(Failure::refused(error.to_string())),
        Err(AirGapError::Engine(EngineError::Cancelled)) => Err(EngineError::Cancelled.into()),
        Err(AirGapError::Engine(error)) => Ok(Rendered::NotChecked(error.to_string())),
    }
}

/// Prints what was shown, and what was not.
pub fn print(proof: &AirGapProof) {
    anstream::println!(
        "  air gap      {}: {} rendered without a network ({}), {} run, all in the package",
        style::paint(style::GOOD, "shown"),
        style::count(proof.rendered, "value set", "value sets"),
        proof.helm,
        style::count(proof.images.len(), "image", "images"),
    );
    if !proof.is_complete() {
        let cut = if proof.is_cut {
            ", and more that cannot be listed"
        } else {
            ""
        };
        let text = format!(
            "not shown for {} that do not render and {} left out{cut}",
            style::count(proof.failed.len(), "value set", "value sets"),
            proof.left_out
        );
        anstream::println!("  {}", style::paint(style::UNSURE, text));
        list(
            proof.failed.iter().map(|(set, reason)| {
                format!("{set}: {}", reason.lines().next().unwrap_or_default())
            }),
        );
    }
    if !proof.own_names.is_empty() {
        let text =
            "named where nothing moves them to another registry, so a mirror must answer for";
        anstream::println!("  {}", style::paint(style::UNSURE, text));
        list(proof.own_names.iter().map(|(image, places)| {
            format!(
                "{image}: {}",
                places.iter().next().map_or("", String::as_str)
            )
        }));
    }
    if !proof.may_need_network.is_empty() {
        let text = "addresses outside that pods are given; whether they are asked is not shown";
        anstream::println!("  {}", style::paint(style::UNSURE, text));
        list(proof.may_need_network.iter().map(|(url, places)| {
            format!("{url}: {}", places.iter().next().map_or("", String::as_str))
        }));
    }
}

fn list(lines: impl ExactSizeIterator<Item = String>) {
    let more = lines.len().saturating_sub(LISTED);
    for line in lines.take(LISTED) {
        anstream::println!("    {line}");
    }
    if more > 0 {
        anstream::println!("    and {more} more (--json lists all)");
    }
}
