//! Which revision of a package stands in which stage, by signed statements that nobody can replay.
//!
//! A statement says: revision R of package P stands in stage S, as the Nth that did, after statement N−1. It is an in-toto
//! statement attached to R, so the digest never changes and the statement travels with it. What stands in a stage is what
//! the statement with the highest number says. So an older statement that is attached again, or brought in by an old
//! export, changes nothing; a statement for another digest or package is not about what it is attached to; and of two
//! statements with the same number one was made without knowing of the other, which is refused.

use std::collections::{BTreeMap, BTreeSet};

use quench_content::{RefName, Store, StoreError};
use quench_model::{Digest, Level, PackageName, Policy, Stage};
use serde::{Deserialize, Serialize};

use crate::signing::{
    Attested, PublicKey, SignedDocument, SigningKey, Statement, attest, verify_signatures,
};
use crate::verify::{Verified, VerifyError, verify_package};
use crate::{Package, PackageError, current_findings, verdict};

/// Type of the predicate.
const PREDICATE: &str = "urn:quench:promotion:v1";

/// What a statement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Promotion {
    /// The package.
    pub package: PackageName,
    /// The stage.
    pub stage: String,
    /// The revision that stands there from now on.
    pub revision: Digest,
    /// Version of its chart.
    pub version: String,
    /// Level it has reached.
    pub level: Level,
    /// How many statements of this package and stage there are with this one.
    pub number: u64,
    /// Digest of the statement before; none for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// Whether it goes back to a revision that stood there before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback: bool,
    /// Digest of the policy whose gates held.
    pub policy: Digest,
    /// When it was made, RFC 3339.
    pub time: String,
}

/// A statement that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promoted {
    /// What it says.
    pub promotion: Promotion,
    /// Digest of the document that says it.
    pub statement: Digest,
    /// Ids of the trusted keys that signed it; none when no keys were given.
    pub keys: Vec<Digest>,
}

/// Why a statement is refused, or none is made.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The stages, the statements that stand, or what was asked for do not allow it.
    #[error("{0}")]
    Refused(String),
    /// There is no such stage.
    #[error("there is no stage {stage:?}; the policy has {known}")]
    NoStage {
        /// What was asked for.
        stage: String,
        /// What there is.
        known: String,
    },
    /// The package is not whole, or its signatures are wrong.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The package cannot be read.
    #[error(transparent)]
    Package(#[from] PackageError),
}

impl From<StoreError> for StagingError {
    fn from(error: StoreError) -> Self {
        Self::Package(PackageError::Store(error))
    }
}

/// What stands, and stood, in the stages of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// Statements by stage, in the order of their numbers.
    pub stages: BTreeMap<String, Vec<Promoted>>,
    /// Statements that none of the trusted keys signed.
    pub untrusted: Vec<Promoted>,
}

impl Standing {
    /// The statement in force for a stage.
    pub fn current(&self, stage: &str) -> Option<&Promoted> {
        self.stages.get(stage)?.last()
    }

    /// The highest number any statement of a stage has, trusted or not.
    fn highest(&self, stage: &str) -> u64 {
        let trusted = self.current(stage).into_iter();
        trusted
            .chain(self.untrusted.iter().filter(|p| p.promotion.stage == stage))
            .map(|p| p.promotion.number)
            .max()
            .unwrap_or_default()
    }

    /// The statement by which a revision stood in a stage, the latest if there are several.
    pub fn stood(&self, stage: &str, revision: &Digest) -> Option<&Promoted> {
        let statements = self.stages.get(stage)?;
        statements
            .iter()
            .rfind(|p| p.promotion.revision == *revision)
    }

    /// Orders statements and refuses what cannot be: a number that two statements claim, or one that does not follow what
    /// is before it.
    fn of(statements: Vec<Promoted>, trust: &StageTrust<'_>) -> Result<Self, StagingError> {
        let mut standing = Self::default();
        for promoted in statements {
            if trust.accepts(&promoted) {
                standing
                    .stages
                    .entry(promoted.promotion.stage.clone())
                    .or_default()
                    .push(promoted);
            } else {
                standing.untrusted.push(promoted);
            }
        }
        for (stage, statements) in &mut standing.stages {
            statements.sort_by_key(|p| p.promotion.number);
            for pair in statements.windows(2) {
                let [before, after] = pair else { continue };
                let (one, two) = (before.promotion.number, after.promotion.number);
                if one == two {
                    return Err(StagingError::Refused(format!(
                        "two statements claim to be number {one} of stage {stage}: {} for revision {} and {} for \
                         revision {}; one was made without knowing of the other",
                        before.statement,
                        before.promotion.revision,
                        after.statement,
                        after.promotion.revision
                    )));
                }
                if one + 1 == two && after.promotion.previous.as_ref() != Some(&before.statement) {
                    return Err(StagingError::Refused(format!(
                        "statement {two} of stage {stage} ({}) does not follow statement {one} ({})",
                        after.statement, before.statement
                    )));
                }
            }
        }
        Ok(standing)
    }
}

/// Whose statements count: the keys of a stage where the policy names some, else all trusted keys.
struct StageTrust<'a> {
    keys: &'a [PublicKey],
    by_stage: BTreeMap<String, Vec<PublicKey>>,
}

impl<'a> StageTrust<'a> {
    fn new(keys: &'a [PublicKey], policy: &Policy) -> Result<Self, StagingError> {
        let mut by_stage = BTreeMap::new();
        for stage in policy.stages() {
            let keys = stage
                .keys
                .iter()
                .enumerate()
                .map(|(position, pem)| {
                    let name = format!("{} of stage {}", position + 1, stage.name);
                    PublicKey::from_pem(pem, &name)
                        .map_err(|e| StagingError::Refused(e.to_string()))
                })
                .collect::<Result<Vec<_>, _>>()?;
            if !keys.is_empty() {
                by_stage.insert(stage.name, keys);
            }
        }
        Ok(Self { keys, by_stage })
    }

    /// Keys to look for on any statement.
    fn all(&self) -> Vec<PublicKey> {
        let mut all = self.keys.to_vec();
        all.extend(self.by_stage.values().flatten().cloned());
        all
    }

    /// Whether nobody said whom to trust.
    fn is_open(&self) -> bool {
        self.keys.is_empty() && self.by_stage.is_empty()
    }

    fn accepts(&self, promoted: &Promoted) -> bool {
        let wanted = match self.by_stage.get(&promoted.promotion.stage) {
            Some(keys) => keys.as_slice(),
            None => self.keys,
        };
        self.is_open()
            || wanted
                .iter()
                .any(|key| promoted.keys.iter().any(|id| id == key.id()))
    }
}

/// Tells what stands in the stages of a package, going by the statements in the store that trusted keys signed. With no
/// keys at all every statement counts, and [`Promoted::keys`] stays empty.
///
/// # Errors
/// When statements contradict each other or are not about what they are attached to, or the store cannot be read.
pub async fn standing(
    store: &Store,
    package: &PackageName,
    policy: &Policy,
    keys: &[PublicKey],
) -> Result<Standing, StagingError> {
    let trust = StageTrust::new(keys, policy)?;
    let all = trust.all();
    let mut found = Vec::new();
    for name in store.names(&RefName::promoted_prefix(package)).await? {
        let Some(revision) = store.resolve(&name).await? else {
            continue;
        };
        let mut documents = Vec::new();
        for referrer in store.referrers(&revision.digest, None).await? {
            documents
                .extend(SignedDocument::of_referrer(store, &revision.digest, &referrer).await?);
        }
        found.extend(promotions(&documents, package, &all)?);
    }
    Standing::of(found, &trust)
}

/// The promotions among what is attached to revisions of a package.
fn promotions(
    documents: &[SignedDocument],
    package: &PackageName,
    keys: &[PublicKey],
) -> Result<Vec<Promoted>, StagingError> {
    let mut found: Vec<Promoted> = Vec::new();
    for document in documents {
        let refuse = |reason: String| {
            StagingError::Refused(format!(
                "statement {}, attached to {}: {reason}",
                document.digest, document.subject
            ))
        };
        let Some(Attested { statement, keys }) = document.statement(keys).map_err(refuse)? else {
            continue;
        };
        if statement.predicate_type != PREDICATE {
            continue;
        }
        let promotion: Promotion = serde_json::from_value(statement.predicate.clone())
            .map_err(|e| refuse(format!("it is no promotion: {e}")))?;
        if !statement.is_about(&document.subject) || promotion.revision != document.subject {
            return Err(refuse(format!(
                "it promotes {}, and was taken from there",
                promotion.revision
            )));
        }
        if promotion.package != *package {
            return Err(refuse(format!(
                "it promotes package {}, not {package}",
                promotion.package
            )));
        }
        if !found.iter().any(|p| p.statement == document.digest) {
            found.push(Promoted {
                promotion,
                statement: document.digest.clone(),
                keys,
            });
        }
    }
    Ok(found)
}

/// Whether the statements that come with a package from elsewhere may enter a store: none contradicts what stands there,
/// and none that is new is older than what stands. Call it before anything is taken in, and [`note_promotions`] after.
///
/// # Errors
/// Names the statement that may not.
pub async fn check_promotions(
    store: &Store,
    verified: &Verified,
    policy: &Policy,
    keys: &[PublicKey],
) -> Result<(), StagingError> {
    let package = &verified.package;
    let trust = StageTrust::new(keys, policy)?;
    let here = standing(store, package, policy, keys).await?;
    let of_lineage: Vec<SignedDocument> = verified
        .signed
        .iter()
        .filter(|document| verified.lineage.contains(&document.subject))
        .cloned()
        .collect();
    let mut all: Vec<Promoted> = here.stages.values().flatten().cloned().collect();
    for incoming in promotions(&of_lineage, package, &trust.all())? {
        let known = all.iter().any(|p| p.statement == incoming.statement);
        if known || !trust.accepts(&incoming) {
            continue;
        }
        if let Some(current) = here.current(&incoming.promotion.stage)
            && incoming.promotion.number < current.promotion.number
        {
            return Err(StagingError::Refused(format!(
                "statement {} of stage {} ({}) is older than number {}, which stands here, and was never seen here",
                incoming.promotion.number,
                incoming.promotion.stage,
                incoming.statement,
                current.promotion.number
            )));
        }
        all.push(incoming);
    }
    Standing::of(all, &trust).map(|_| ())
}

/// Makes the promotions of a package's revisions, which came with them from elsewhere, known to [`standing`].
///
/// # Errors
/// When the store cannot be read or refuses.
pub async fn note_promotions(store: &Store, package: &Package) -> Result<(), PackageError> {
    for revision in package.lineage(store).await? {
        let digest = &revision.revision.digest;
        for referrer in store.referrers(digest, None).await? {
            if referrer.annotation("predicateType") == Some(PREDICATE) {
                store
                    .tag(
                        &RefName::promoted(&package.name, digest),
                        &revision.revision,
                    )
                    .await?;
                break;
            }
        }
    }
    Ok(())
}

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
/// there already is left alone; then the flag is false.
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
    let standing = standing(store, &package.name, request.policy, &keys).await?;
    let current = standing.current(&stage.name);
    let revision = &package.revision.digest;
    let highest = standing.highest(&stage.name);
    if highest > current.map_or(0, |p| p.promotion.number) {
        return Err(StagingError::Refused(format!(
            "statement {highest} of stage {} is by a key that is not trusted; trust it with --trust or in the policy",
            stage.name
        )));
    }
    if let Some(current) = current
        && current.promotion.revision == *revision
    {
        return Ok((current.clone(), false));
    }
    check_direction(&standing, package, request)?;
    check_gates(store, package, stage, &standing, request, &keys).await?;
    let promotion = Promotion {
        package: package.name.clone(),
        stage: stage.name.clone(),
        revision: revision.clone(),
        version: package.version.clone(),
        level: package.level,
        number: highest + 1,
        previous: current.map(|p| p.statement.clone()),
        rollback: request.rollback,
        policy: request.policy.digest(),
        time: request.time.clone(),
    };
    let predicate =
        serde_json::to_value(&promotion).map_err(|e| StagingError::Refused(e.to_string()))?;
    let statement = Statement::about(package.name.as_str(), revision, PREDICATE, predicate);
    let attached = attest(store, &package.revision, &statement, Some(key)).await?;
    store
        .tag(
            &RefName::promoted(&package.name, revision),
            &package.revision,
        )
        .await?;
    let layers = store.manifest(&attached).await?.layers;
    let document = layers.first().map_or(attached.digest, |l| l.digest.clone());
    let promoted = Promoted {
        promotion,
        statement: document,
        keys: vec![signer.id().clone()],
    };
    Ok((promoted, true))
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

/// Type of the statement that a package installs without a network. It is made only when that was shown.
pub const AIR_GAP_PREDICATE: &str = "urn:quench:air-gap:v1";

/// The packages of a store that were promoted to some stage.
///
/// # Errors
/// When the store cannot be read.
pub async fn promoted_packages(store: &Store) -> Result<BTreeSet<PackageName>, PackageError> {
    let mut found = BTreeSet::new();
    for name in store.names("promoted-").await? {
        if let Some(revision) = store.resolve(&name).await? {
            found.insert(Package::load(store, &revision).await?.name);
        }
    }
    Ok(found)
}
