//! `quench promote`.

use anyhow::Result;
use quench_package::staging::{PromotionRequest, StagingError, promote};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::args::{PromoteArgs, TrustArgs};
use crate::commands::verify;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::{inputs, keys, style};

/// Promotes a package to a stage.
pub async fn run(session: &Session, args: &PromoteArgs) -> Result<Exit> {
    let store = session.open_store()?;
    let package = session.find(&store, &args.package).await?;
    let policy = match &args.policy {
        Some(path) => inputs::policy_file(Some(path))?,
        None => package.request(&store).await?.policy,
    };
    let trusted = keys::trusted(&TrustArgs {
        key: args.trust.clone(),
        policy: args.policy.clone(),
    })?;
    let key = keys::signing_key(&args.key)?;
    let request = PromotionRequest {
        stage: &args.to,
        policy: &policy,
        trusted: &trusted,
        rollback: args.rollback,
        time: OffsetDateTime::now_utc()
            .replace_nanosecond(0)?
            .format(&Rfc3339)?,
    };
    let (promoted, new) = promote(&store, &package, &request, &key)
        .await
        .map_err(failure)?;
    let promotion = &promoted.promotion;
    if session.json {
        session.print_json(&json!({
            "promotion": promotion,
            "statement": promoted.statement,
            "keys": promoted.keys,
            "new": new,
        }))?;
    } else {
        let what = match (new, promotion.rollback) {
            (false, _) => style::paint(style::DIM, "stands already"),
            (true, true) => style::paint(style::UNSURE, "rolled back"),
            (true, false) => style::paint(style::GOOD, "promoted"),
        };
        anstream::println!(
            "{what} {} {} {} in {} (statement {}, since {})",
            promotion.package,
            promotion.version,
            promotion.revision,
            promotion.stage,
            promotion.number,
            promotion.time
        );
    }
    Ok(Exit::Done)
}

/// A gate that does not hold is a refusal, a stage that is not there a mistake.
pub fn failure(error: StagingError) -> anyhow::Error {
    match error {
        error @ StagingError::Refused(_) => Failure::refused(error.to_string()),
        error @ StagingError::NoStage { .. } => Failure::usage(error.to_string()),
        StagingError::Verify(error) => verify::refusal(error),
        StagingError::Package(error) => error.into(),
    }
}
