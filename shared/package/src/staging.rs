//! Which revision of a package stands in which stage, by signed statements that nobody can replay.
//!
//! A statement says: revision R of package P stands in stage S, as the Nth that did, after statement N−1. It is an in-toto
//! statement attached to R, so the digest never changes and the statement travels with it. What stands in a stage is what
//! the statement with the highest number says. So an older statement that is attached again, or brought in by an old
//! export, changes nothing; a statement for another digest or package is not about what it is attached to; and of two
//! statements with the same number one was made without knowing of the other, which is refused.

mod claim;
mod promote;

use std::collections::{BTreeMap, BTreeSet};

use quench_content::{RefName, Store, StoreError};
use quench_model::{Descriptor, Digest, Level, PackageName, Policy};
use serde::{Deserialize, Serialize};

use crate::signing::{Attested, PublicKey, SignedDocument};
use crate::verify::{Verified, VerifyError};
use crate::{Package, PackageError};

pub use promote::{PromotionRequest, promote};

/// The lock of a store that is held while a statement is made or taken in.
pub(crate) const PROMOTIONS: &str = "promotions";
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
            if is_promotion(&referrer) {
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

/// How many promotions of a package's revisions lie in the store that [`standing`] does not look at: they came with an
/// import that nobody vouched for.
///
/// # Errors
/// When the store cannot be read.
pub async fn unnoted_promotions(store: &Store, package: &Package) -> Result<usize, PackageError> {
    let mut count = 0;
    for revision in package.lineage(store).await? {
        let digest = &revision.revision.digest;
        let name = RefName::promoted(&package.name, digest);
        if store.resolve(&name).await?.is_none() {
            let referrers = store.referrers(digest, None).await?;
            count += referrers.iter().filter(|r| is_promotion(r)).count();
        }
    }
    Ok(count)
}

/// Whether a referrer says that it is a promotion; whether it is one its signature shows.
fn is_promotion(referrer: &Descriptor) -> bool {
    referrer.annotation("predicateType") == Some(PREDICATE)
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
