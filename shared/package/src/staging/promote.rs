//! Promoting: the gates of a stage, and the statement that is made when they hold.

use quench_content::{RefName, Store};
use quench_model::{Policy, Stage};

use super::claim::Claims;
use super::{
    AIR_GAP_PREDICATE, PREDICATE, Promoted, Promotion, StageTrust, StagingError, Standing, standing,
};
use crate::signing::{PublicKey, SigningKey, Statement, attest, verify_signatures};
use crate::verify::verify_package;
use crate::{Package, current_findings, verdict};

/// Tries to be the one who makes the next statement; a registry's writers may each wait some seconds in one.
const ATTEMPTS: usize = 200;

/// A promotion that is asked for.
#[derive(Debug, Clone)]
pub struct PromotionRequest<'a> {
    /// Stage to go to.
    pub stage: &'a str,
    /// The team's policy: its stages, gates and keys.
    pub policy: &'a Policy,
    /// Keys trusted beside the one that signs.
    pub trusted: &'a [PublicKey],
    /// Whether to go back to a revision that stood there before.
    pub rollback: bool,
    /// Now, RFC 3339.
    pub time: String,
}

/// Promotes a revision to a stage: when the stage's gates hold, a signed statement is attached to it. A revision that stands
/// there already is left alone; then the flag is false. Of several who promote at once, each comes after another, and what
/// it asks for is looked at anew.
///
/// # Errors
/// [`StagingError::Refused`] names the gate that does not hold or the rule that forbids it.
pub async fn promote(
    store: &Store,
    package: &Package,
    request: &PromotionRequest<'_>,
    key: &SigningKey,
) -> Result<(Promoted, bool), StagingError> {
    let stages = request.policy.stages();
    let stage = stages
        .iter()
        .find(|stage| stage.name == request.stage)
        .ok_or_else(|| StagingError::NoStage {
            stage: request.stage.to_owned(),
            known: stages
                .iter()
                .map(|stage| stage.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        })?;
    let signer = key
        .public()
        .map_err(|e| StagingError::Refused(e.to_string()))?;
    let mut keys = vec![signer.clone()];
    keys.extend_from_slice(request.trusted);
    let trust = StageTrust::new(&keys, request.policy)?;
    if let Some(allowed) = trust.by_stage.get(&stage.name)
        && !allowed.iter().any(|key| key.id() == signer.id())
    {
        return Err(StagingError::Refused(format!(
            "key {} may not promote to {}; the policy names others",
            signer.id(),
            stage.name
        )));
    }
    let mut claims = Claims::new(store, package.name.as_str(), &stage.name);
    let mut allowed = None;
    for _ in 0..ATTEMPTS {
        let standing_now = || standing(store, &package.name, request.policy, &keys);
        let before = standing_now().await?;
        let current = before.current(&stage.name);
        let highest = before.highest(&stage.name);
        if highest > current.map_or(0, |p| p.promotion.number) {
            return Err(StagingError::Refused(format!(
                "statement {highest} of stage {} is by a key that is not trusted; trust it with --trust or in the policy",
                stage.name
            )));
        }
        if let Some(current) = current
            && current.promotion.revision == package.revision.digest
        {
            return Ok((current.clone(), false));
        }
        if allowed.as_ref() != Some(&before) {
            check_direction(&before, package, request)?;
            check_gates(store, package, stage, &before, request, &keys).await?;
            allowed = Some(before.clone());
        }
        let number = highest + 1;
        let Some(_held) = claims.take(number, &package.revision).await? else {
            continue;
        };
        // The gates take their time; what held then must still be so.
        if standing_now().await? == before {
            let promoted = state(store, package, request, key, number, current).await?;
            return Ok((promoted, true));
        }
    }
    Err(StagingError::Refused(format!(
        "others kept promoting {} to {} at the same time; try again",
        package.name, stage.name
    )))
}

/// Makes the statement.
async fn state(
    store: &Store,
    package: &Package,
    request: &PromotionRequest<'_>,
    key: &SigningKey,
    number: u64,
    current: Option<&Promoted>,
) -> Result<Promoted, StagingError> {
    let revision = &package.revision.digest;
    let signer = key
        .public()
        .map_err(|e| StagingError::Refused(e.to_string()))?;
    let promotion = Promotion {
        package: package.name.clone(),
        stage: request.stage.to_owned(),
        revision: revision.clone(),
        version: package.version.clone(),
        level: package.level,
        number,
        previous: current.map(|p| p.statement.clone()),
        rollback: request.rollback,
        policy: request.policy.digest(),
        time: request.time.clone(),
    };
    let predicate =
        serde_json::to_value(&promotion).map_err(|e| StagingError::Refused(e.to_string()))?;
    let statement = Statement::about(package.name.as_str(), revision, PREDICATE, predicate);
    // The name first: whoever reads the statement's number must not find the revision nobody knows to be promoted.
    store
        .tag(
            &RefName::promoted(&package.name, revision),
            &package.revision,
        )
        .await?;
    let attached = attest(store, &package.revision, &statement, Some(key)).await?;
    let layers = store.manifest(&attached).await?.layers;
    let document = layers.first().map_or(attached.digest, |l| l.digest.clone());
    Ok(Promoted {
        promotion,
        statement: document,
        keys: vec![signer.id().clone()],
    })
}

/// Going back must be said, and only what stood there can be gone back to.
fn check_direction(
    standing: &Standing,
    package: &Package,
    request: &PromotionRequest<'_>,
) -> Result<(), StagingError> {
    let stood = standing.stood(request.stage, &package.revision.digest);
    match stood {
        Some(stood) if !request.rollback => Err(StagingError::Refused(format!(
            "revision {} stood in {} before (statement {}); go back to it with --rollback",
            package.revision.digest, request.stage, stood.promotion.number
        ))),
        None if request.rollback => Err(StagingError::Refused(format!(
            "revision {} never stood in {}, so there is nothing to roll back to; leave out --rollback to promote it",
            package.revision.digest, request.stage
        ))),
        _ => Ok(()),
    }
}

async fn check_gates(
    store: &Store,
    package: &Package,
    stage: &Stage,
    standing: &Standing,
    request: &PromotionRequest<'_>,
    keys: &[PublicKey],
) -> Result<(), StagingError> {
    let refuse = |reason: String| {
        Err(StagingError::Refused(format!(
            "{} {} may not go to {}: {reason}",
            package.name, package.revision.digest, stage.name
        )))
    };
    if let Some(requires) = &stage.requires
        && standing.stood(requires, &package.revision.digest).is_none()
    {
        return refuse(format!(
            "it has not been in {requires} (no trusted statement says so)"
        ));
    }
    if let Some(level) = stage.level
        && package.level < level
    {
        return refuse(format!("it is {}; {level} is demanded", package.level));
    }
    let mut policy = request.policy.clone();
    if let Some(gate) = &stage.gate {
        policy.gate = gate.clone();
    }
    if policy.gate.enforce {
        let findings = RefName::findings(&package.revision.digest);
        if store.resolve(&findings).await?.is_none() {
            return refuse("nobody has looked for findings in it".to_owned());
        }
        let mut findings = current_findings(store, package).await?;
        verdict::apply_waivers(&mut findings, &policy);
        if let Some(reason) = verdict::refusal(&findings, &policy) {
            return refuse(reason);
        }
    }
    let verified = verify_package(store, package).await?;
    verify_signatures(&verified, if stage.signed { keys } else { &[] })?;
    if stage.air_gap {
        let shown = verified.signed.iter().any(|document| {
            document.subject == package.revision.digest
                && matches!(document.statement(keys), Ok(Some(attested))
                    if !attested.keys.is_empty()
                        && attested.statement.predicate_type == AIR_GAP_PREDICATE)
        });
        if !shown {
            return refuse(
                "no trusted key says that it installs without a network; show it with `quench verify --air-gap --sign-key`"
                    .to_owned(),
            );
        }
    }
    Ok(())
}
