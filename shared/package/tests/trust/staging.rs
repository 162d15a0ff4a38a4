//! What stands where, and what cannot be made to stand there.

use quench_content::Store;
use quench_model::{Gate, Level, Policy, Severity, Stage};
use quench_package::signing::{
    Algorithm, PublicKey, SignOptions, SigningKey, Statement, attest, sign_package,
};
use quench_package::staging::{
    AIR_GAP_PREDICATE, Promoted, PromotionRequest, StagingError, promote, standing,
};
use quench_package::{Context, Package, import_trusted};

use crate::made::{self, find, key, package};

async fn go(
    store: &Store,
    package: &Package,
    stage: &str,
    policy: &Policy,
    signer: &SigningKey,
    trusted: &[&SigningKey],
) -> Result<(Promoted, bool), StagingError> {
    ask(store, package, stage, policy, signer, trusted, false).await
}

async fn back(
    store: &Store,
    package: &Package,
    stage: &str,
    policy: &Policy,
    signer: &SigningKey,
) -> Result<(Promoted, bool), StagingError> {
    ask(store, package, stage, policy, signer, &[], true).await
}

async fn ask(
    store: &Store,
    package: &Package,
    stage: &str,
    policy: &Policy,
    signer: &SigningKey,
    trusted: &[&SigningKey],
    rollback: bool,
) -> Result<(Promoted, bool), StagingError> {
    let trusted: Vec<PublicKey> = trusted.iter().map(|key| key.public().unwrap()).collect();
    let request = PromotionRequest {
        stage,
        policy,
        trusted: &trusted,
        rollback,
        time: "2026-11-26T00:00:00Z".to_owned(),
    };
    promote(store, package, &request, signer).await
}

fn refusal<T: std::fmt::Debug>(result: Result<T, StagingError>) -> String {
    match result {
        Err(error @ StagingError::Refused(_)) => error.to_string(),
        other => panic!("not refused: {other:?}"),
    }
}

/// What stands in a stage: number and revision.
async fn stands(store: &Store, stage: &str, keys: &[&SigningKey]) -> Option<(u64, String)> {
    let keys: Vec<PublicKey> = keys.iter().map(|key| key.public().unwrap()).collect();
    let standing = standing(store, &"demo".parse().unwrap(), &Policy::default(), &keys)
        .await
        .unwrap();
    standing
        .current(stage)
        .map(|p| (p.promotion.number, p.promotion.revision.to_string()))
}

fn named(number: u64, package: &Package) -> Option<(u64, String)> {
    Some((number, package.revision.digest.to_string()))
}

#[tokio::test]
async fn a_package_goes_stage_by_stage_and_back_only_when_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let policy = Policy::default();
    let key = key(Algorithm::EcdsaP256);
    let one = package(&store, "demo", "1.0.0").await;
    let two = package(&store, "demo", "2.0.0").await;

    let error = refusal(go(&store, &one, "production", &policy, &key, &[]).await);
    assert!(error.contains("has not been in test"), "{error}");
    for stage in ["dev", "test", "production"] {
        let (promoted, new) = go(&store, &one, stage, &policy, &key, &[]).await.unwrap();
        assert!(new);
        assert_eq!(
            (promoted.promotion.number, promoted.promotion.previous),
            (1, None)
        );
    }
    // Where it stands already nothing is said again.
    let (again, new) = go(&store, &one, "production", &policy, &key, &[])
        .await
        .unwrap();
    assert!(!new);
    assert_eq!(again.promotion.number, 1);

    for stage in ["dev", "test", "production"] {
        go(&store, &two, stage, &policy, &key, &[]).await.unwrap();
    }
    assert_eq!(stands(&store, "production", &[&key]).await, named(2, &two));
    let error = refusal(go(&store, &one, "production", &policy, &key, &[]).await);
    assert!(error.contains("--rollback"), "{error}");
    let (rolled, _) = back(&store, &one, "production", &policy, &key)
        .await
        .unwrap();
    assert!(rolled.promotion.rollback);
    assert_eq!(stands(&store, "production", &[&key]).await, named(3, &one));
    assert_eq!(stands(&store, "test", &[&key]).await, named(2, &two));
    let three = package(&store, "demo", "3.0.0").await;
    let error = refusal(back(&store, &three, "dev", &policy, &key).await);
    assert!(error.contains("never stood in dev"), "{error}");
    let error = go(&store, &three, "moon", &policy, &key, &[])
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("dev, test, production"),
        "{error}"
    );
    // Another package's stages are its own.
    let other = package(&store, "other", "1.0.0").await;
    let (promoted, _) = go(&store, &other, "dev", &policy, &key, &[]).await.unwrap();
    assert_eq!(promoted.promotion.number, 1);
}

#[tokio::test]
async fn gates_hold_a_package_back_and_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let signer = key(Algorithm::Ed25519);
    let package = package(&store, "demo", "1.0.0").await;
    let strict = |stage: Stage| Policy {
        stages: vec![Stage {
            name: "production".to_owned(),
            ..stage
        }],
        ..Policy::default()
    };
    let level = strict(Stage {
        level: Some(Level::Minimized),
        ..Stage::default()
    });
    let error = refusal(go(&store, &package, "production", &level, &signer, &[]).await);
    assert!(error.contains("minimized is demanded"), "{error}");

    find(&store, &package, "CVE-2026-1", Severity::High).await;
    let gate = strict(Stage {
        gate: Some(Gate {
            severity: Severity::High,
            ..Gate::default()
        }),
        ..Stage::default()
    });
    let error = refusal(go(&store, &package, "production", &gate, &signer, &[]).await);
    assert!(error.contains("CVE-2026-1"), "{error}");
    // The policy's own gate lets a high one through.
    let signed = strict(Stage {
        signed: true,
        ..Stage::default()
    });
    let error = go(&store, &package, "production", &signed, &signer, &[])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("not signed"), "{error}");
    sign_package(&store, &package, &signer, &SignOptions::default())
        .await
        .unwrap();

    let air_gap = strict(Stage {
        air_gap: true,
        signed: true,
        ..Stage::default()
    });
    let error = refusal(go(&store, &package, "production", &air_gap, &signer, &[]).await);
    assert!(error.contains("without a network"), "{error}");
    let shown = Statement::about(
        "demo",
        &package.revision.digest,
        AIR_GAP_PREDICATE,
        serde_json::json!({}),
    );
    attest(&store, &package.revision, &shown, None)
        .await
        .unwrap();
    let error = refusal(go(&store, &package, "production", &air_gap, &signer, &[]).await);
    assert!(
        error.contains("without a network"),
        "a statement nobody signed counted: {error}"
    );
    attest(&store, &package.revision, &shown, Some(&signer))
        .await
        .unwrap();
    go(&store, &package, "production", &air_gap, &signer, &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn only_those_the_policy_names_promote_and_only_trusted_statements_count() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let (release, ci) = (key(Algorithm::EcdsaP256), key(Algorithm::EcdsaP256));
    let one = package(&store, "demo", "1.0.0").await;
    let two = package(&store, "demo", "2.0.0").await;
    let policy = Policy {
        stages: vec![Stage {
            name: "production".to_owned(),
            keys: vec![release.public().unwrap().to_pem().unwrap()],
            ..Stage::default()
        }],
        ..Policy::default()
    };
    let error = refusal(go(&store, &one, "production", &policy, &ci, &[]).await);
    assert!(error.contains("may not promote"), "{error}");
    go(&store, &one, "production", &policy, &release, &[])
        .await
        .unwrap();

    // Somebody else's statement does not count, and whoever does not trust the one that stands cannot go past it.
    let open = Policy {
        stages: vec![Stage {
            name: "production".to_owned(),
            ..Stage::default()
        }],
        ..Policy::default()
    };
    let error = refusal(go(&store, &two, "production", &open, &ci, &[]).await);
    assert!(error.contains("not trusted"), "{error}");
    assert_eq!(stands(&store, "production", &[&ci]).await, None);
    let (next, _) = go(&store, &two, "production", &open, &ci, &[&release])
        .await
        .unwrap();
    assert_eq!(next.promotion.number, 2);
    assert_eq!(
        stands(&store, "production", &[&release]).await,
        named(1, &one)
    );
    assert_eq!(
        stands(&store, "production", &[&release, &ci]).await,
        named(2, &two)
    );
}

#[tokio::test]
async fn a_replayed_or_swapped_statement_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let policy = Policy::default();
    let key = key(Algorithm::EcdsaP256);
    let one = package(&store, "demo", "1.0.0").await;
    let two = package(&store, "demo", "2.0.0").await;
    go(&store, &one, "dev", &policy, &key, &[]).await.unwrap();
    let old = store.referrers(&one.revision.digest, None).await.unwrap();
    let old = old
        .iter()
        .find(|r| r.annotation("predicateType").is_some())
        .unwrap();
    go(&store, &two, "dev", &policy, &key, &[]).await.unwrap();

    // The old statement once more, where it was: it is still the old one.
    let manifest = store.manifest(old).await.unwrap();
    store.attach(&manifest).await.unwrap();
    assert_eq!(stands(&store, "dev", &[&key]).await, named(2, &two));

    // The statement of one revision on another.
    let mut moved = manifest.clone();
    let subject = moved.subject.as_mut().unwrap();
    subject.digest = two.revision.digest.clone();
    subject.size = two.revision.size;
    store.attach(&moved).await.unwrap();
    let keys = [key.public().unwrap()];
    let error = refusal(standing(&store, &one.name, &policy, &keys).await);
    assert!(
        error.contains(&one.revision.digest.to_string()) && error.contains("taken from there"),
        "{error}"
    );
}

#[tokio::test]
async fn statements_travel_and_older_ones_are_refused_where_newer_stand() {
    let folder = tempfile::tempdir().unwrap();
    let store = made::store(&folder);
    let policy = Policy::default();
    let key = key(Algorithm::EcdsaP256);
    let keys = [key.public().unwrap()];
    let one = package(&store, "demo", "1.0.0").await;
    let two = package(&store, "demo", "2.0.0").await;
    let three = package(&store, "demo", "3.0.0").await;
    for package in [&one, &two, &three] {
        sign_package(&store, package, &key, &SignOptions::default())
            .await
            .unwrap();
        go(&store, package, "dev", &policy, &key, &[])
            .await
            .unwrap();
    }
    let export = |package: &Package| {
        let file = folder
            .path()
            .join(format!("{}.quench.tar", package.version));
        let (store, package) = (store.clone(), package.clone());
        async move {
            made::export(&store, &package, &file).await;
            file
        }
    };

    let elsewhere = tempfile::tempdir().unwrap();
    let other = made::store(&elsewhere);
    let context = Context::new(other.clone());
    import_trusted(&context, &export(&two).await, &keys)
        .await
        .unwrap();
    assert_eq!(stands(&other, "dev", &[&key]).await, named(2, &two));
    import_trusted(&context, &export(&three).await, &keys)
        .await
        .unwrap();
    assert_eq!(stands(&other, "dev", &[&key]).await, named(3, &three));
    // What was seen may come again.
    import_trusted(&context, &export(&two).await, &keys)
        .await
        .unwrap();
    assert_eq!(stands(&other, "dev", &[&key]).await, named(3, &three));
    let error = import_trusted(&context, &export(&one).await, &keys)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("statement 1 of stage dev") && error.contains("older than number 3"),
        "{error}"
    );
    assert!(
        Package::load(&other, &one.revision).await.is_err(),
        "a refused import left something"
    );

    // Made without knowing of what stands: another third statement, by the same key.
    let fork = tempfile::tempdir().unwrap();
    let fork = made::store(&fork);
    import_trusted(&Context::new(fork.clone()), &export(&two).await, &keys)
        .await
        .unwrap();
    let four = package(&fork, "demo", "4.0.0").await;
    sign_package(&fork, &four, &key, &SignOptions::default())
        .await
        .unwrap();
    go(&fork, &four, "dev", &policy, &key, &[]).await.unwrap();
    let file = folder.path().join("fork.quench.tar");
    made::export(&fork, &four, &file).await;
    let error = import_trusted(&context, &file, &keys)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("two statements claim to be number 3"),
        "{error}"
    );
    assert_eq!(stands(&other, "dev", &[&key]).await, named(3, &three));
}
