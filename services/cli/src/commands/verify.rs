//! `quench verify`.

use std::path::Path;

use anyhow::{Context as _, Result};
use quench_content::{DirectoryStore, Store};
use quench_ingestor_engine::air_gap::AirGapProof;
use quench_package::signing::{PublicKey, Signatures, verify_signatures};
use quench_package::{Verified, VerifyError, take_chart, verify_package};
use serde_json::json;

use crate::air_gap::{self, Rendered};
use crate::args::VerifyArgs;
use crate::exit::{Exit, Failure};
use crate::keys;
use crate::session::Session;
use crate::style;

/// Verifies a package in the store, or an exported file. A file stays as it is.
pub async fn run(session: &Session, args: &VerifyArgs) -> Result<Exit> {
    let trusted = keys::trusted(&args.trust)?;
    if args.require_signature && trusted.is_empty() {
        return Err(Failure::usage(
            "--require-signature needs to know whom to trust; give --key, or --policy with trust.keys",
        ));
    }
    let subject = args.subject.as_str();
    let path = Path::new(subject);
    let is_file = path.is_file() || subject.ends_with(".tar");
    if is_file && args.sign_key.is_some() {
        return Err(Failure::usage(format!(
            "--sign-key attaches a statement, and a file stays as it is; import {subject} first"
        )));
    }
    let sign_key = args
        .sign_key
        .as_deref()
        .map(keys::signing_key)
        .transpose()?;
    // What is taken out of a file to render its chart.
    let taken = match is_file {
        true => Some(tempfile::tempdir().context("cannot make a temporary folder")?),
        false => None,
    };
    let (store, package, verified) = match &taken {
        Some(folder) => {
            let store = Store::Directory(DirectoryStore::open(folder.path())?);
            let (verified, package) = take_chart(&session.context(&store), path)
                .await
                .map_err(refusal)?;
            (store, package, verified)
        }
        None => {
            let store = session.open_store()?;
            let package = session.find(&store, subject).await?;
            let verified = verify_package(&store, &package).await.map_err(refusal)?;
            (store, Some(package), verified)
        }
    };
    let signatures = verify_signatures(&verified, &trusted).map_err(refusal)?;
    let shown = match &package {
        Some(package) if args.air_gap => {
            let proof = air_gap::show(session, &store, package).await?;
            if !is_file {
                air_gap::attach(&store, package, &proof, sign_key.as_ref()).await?;
            }
            Shown::AirGap(proof)
        }
        Some(package) => Shown::Rendered(air_gap::rendered(session, &store, package).await?),
        None if args.air_gap => {
            return Err(Failure::usage(format!(
                "{subject} is a delta, and has not all it takes to render the chart; import it, then look at the package"
            )));
        }
        None => Shown::Rendered(Rendered::NotChecked(
            "a delta has not all it takes to render the chart".to_owned(),
        )),
    };
    print(session, subject, &verified, &signatures, &trusted, &shown)?;
    Ok(Exit::Done)
}

/// What rendering the chart showed.
enum Shown {
    AirGap(AirGapProof),
    Rendered(Rendered),
}

/// What is wrong with a package ends a command as refused; a store that fails ends it as that.
pub fn refusal(error: VerifyError) -> anyhow::Error {
    match error {
        error @ VerifyError::Broken { .. } => Failure::refused(error.to_string()),
        VerifyError::Package(error) => error.into(),
    }
}

fn print(
    session: &Session,
    subject: &str,
    verified: &Verified,
    signatures: &Signatures,
    trusted: &[PublicKey],
    shown: &Shown,
) -> Result<()> {
    if session.json {
        return session.print_json(&json!({
            "subject": subject,
            "whole": true,
            "revision": verified.revision.digest,
            "revisions": verified.revisions,
            "images": verified.images,
            "attachments": verified.attachments,
            "blobs": verified.blobs,
            "bytes": verified.bytes,
            "since": verified.delta.as_ref().map(|delta| &delta.base),
            "signed": !signatures.keys.is_empty(),
            "signatures": {
                "found": signatures.found,
                "checked": !trusted.is_empty(),
                "keys": signatures.keys,
                "images": signatures.signed_parts,
            },
            "statements": signatures.statements.iter().map(|(about, attested)| json!({
                "about": about,
                "predicateType": attested.statement.predicate_type,
                "keys": attested.keys,
            })).collect::<Vec<_>>(),
            "rendered": match shown {
                Shown::AirGap(proof) => json!({"checked": true, "images": proof.images.len()}),
                Shown::Rendered(Rendered::Whole(images)) => json!({"checked": true, "images": images}),
                Shown::Rendered(Rendered::NotChecked(reason)) => json!({"checked": false, "reason": reason}),
            },
            "airGap": match shown {
                Shown::AirGap(proof) => Some(proof),
                Shown::Rendered(_) => None,
            },
        }));
    }
    anstream::println!(
        "{} {subject} is whole: every digest fits and nothing is missing",
        style::paint(style::GOOD, "verified")
    );
    if let Some(delta) = &verified.delta {
        anstream::println!(
            "  {}",
            style::paint(
                style::UNSURE,
                format!(
                    "a delta: {} of {} {} are not in it and were not looked at",
                    style::count(delta.presumed.len(), "blob", "blobs"),
                    delta.package,
                    delta.version
                )
            )
        );
        anstream::println!("  since        {}", delta.base);
    }
    anstream::println!("  revision     {}", verified.revision.digest);
    anstream::println!("  revisions    {}", verified.revisions);
    anstream::println!("  images       {}", verified.images);
    anstream::println!("  attachments  {}", verified.attachments);
    anstream::println!(
        "  blobs        {} ({})",
        verified.blobs,
        style::bytes(verified.bytes)
    );
    let unsure = |text: String| style::paint(style::UNSURE, text);
    if signatures.keys.is_empty() {
        let text = match signatures.found {
            0 => "none: who made it is not shown".to_owned(),
            found => format!(
                "{}, not checked: say whom to trust with --key",
                style::count(found, "signature", "signatures")
            ),
        };
        anstream::println!("  signature    {}", unsure(text));
    }
    for key in &signatures.keys {
        anstream::println!(
            "  signature    {} by {key}",
            style::paint(style::GOOD, "valid")
        );
    }
    if !signatures.signed_parts.is_empty() {
        anstream::println!(
            "  signed too   {}",
            style::count(
                signatures.signed_parts.len(),
                "chart or image manifest",
                "chart and image manifests"
            )
        );
    }
    match shown {
        Shown::AirGap(proof) => air_gap::print(proof),
        Shown::Rendered(Rendered::Whole(images)) => anstream::println!(
            "  rendered     at the given values: {}, all in the package",
            style::count(*images, "image", "images")
        ),
        Shown::Rendered(Rendered::NotChecked(reason)) => {
            let first = reason.lines().next().unwrap_or_default();
            let text = format!("not checked whether its images are in the package: {first}");
            anstream::println!("  rendered     {}", unsure(text));
        }
    }
    Ok(())
}
