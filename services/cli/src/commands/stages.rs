//! `quench stages`.

use std::collections::BTreeMap;

use anyhow::Result;
use quench_content::Store;
use quench_model::{PackageName, Policy};
use quench_package::Package;
use quench_package::signing::PublicKey;
use quench_package::staging::{
    Promoted, Standing, promoted_packages, standing, unnoted_promotions,
};
use serde_json::{Value, json};

use crate::args::StagesArgs;
use crate::commands::promote;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::{inputs, keys, style};

/// Shows what stands where.
pub async fn run(session: &Session, args: &StagesArgs) -> Result<Exit> {
    let store = session.open_store()?;
    let trusted = keys::trusted(&args.trust)?;
    let policy = inputs::policy_file(args.trust.policy.as_deref())?;
    let packages: Vec<PackageName> = match &args.package {
        Some(name) => vec![name.parse().map_err(|e| Failure::usage(format!("{e}")))?],
        None => promoted_packages(&store).await?.into_iter().collect(),
    };
    let mut unnoted = Vec::new();
    for name in store.names("package-").await? {
        let Some(newest) = store.resolve(&name).await? else {
            continue;
        };
        let package = Package::load(&store, &newest).await?;
        if args.package.is_some() && !packages.contains(&package.name) {
            continue;
        }
        match unnoted_promotions(&store, &package).await? {
            0 => {}
            number => unnoted.push((package.name, number)),
        }
    }
    let mut found = Vec::new();
    for package in packages {
        let standing = one(&store, &package, &policy, &trusted).await?;
        found.push((package, standing));
    }
    // What came by an import that nobody vouched for may be all there is of a package.
    for (name, _) in &unnoted {
        if found.iter().all(|(package, _)| package != name) {
            found.push((name.clone(), Standing::default()));
        }
    }
    let unnoted: BTreeMap<PackageName, usize> = unnoted.into_iter().collect();
    let checked = !trusted.is_empty() || policy.stages.iter().any(|s| !s.keys.is_empty());
    if session.json {
        session.print_json(
            &found
                .iter()
                .map(|(package, standing)| {
                    json!({
                        "package": package,
                        "checked": checked,
                        "stages": standing.stages.iter().map(|(stage, statements)| (
                            stage.clone(),
                            json!({
                                "current": statements.last().map(as_json),
                                "history": statements.iter().map(as_json).collect::<Vec<_>>(),
                            }),
                        )).collect::<serde_json::Map<_, _>>(),
                        "untrusted": standing.untrusted.iter().map(as_json).collect::<Vec<_>>(),
                        "uncounted": unnoted.get(package).copied().unwrap_or_default(),
                    })
                })
                .collect::<Vec<_>>(),
        )?;
        return Ok(Exit::Done);
    }
    print(&found, &policy, args.history, checked);
    for (package, number) in &unnoted {
        let text = format!(
            "{} of {package} came by an import without keys and {} not count: import the file again with --key PUB",
            style::count(*number, "promotion", "promotions"),
            if *number == 1 { "does" } else { "do" },
        );
        anstream::println!("{}", style::paint(style::UNSURE, text));
    }
    Ok(Exit::Done)
}

async fn one(
    store: &Store,
    package: &PackageName,
    policy: &Policy,
    trusted: &[PublicKey],
) -> Result<Standing> {
    standing(store, package, policy, trusted)
        .await
        .map_err(promote::failure)
}

fn as_json(promoted: &Promoted) -> Value {
    json!({
        "promotion": promoted.promotion,
        "statement": promoted.statement,
        "keys": promoted.keys,
    })
}

fn print(found: &[(PackageName, Standing)], policy: &Policy, history: bool, checked: bool) {
    let mut table = style::table(&[
        "package",
        "stage",
        "no",
        "version",
        "level",
        "revision",
        "since",
        "signed by",
    ]);
    let mut untrusted = 0;
    for (package, standing) in found {
        untrusted += standing.untrusted.len();
        let order: Vec<String> = policy.stages().into_iter().map(|s| s.name).collect();
        let position = |name: &String| order.iter().position(|other| other == name);
        let mut stages: Vec<_> = standing.stages.iter().collect();
        stages.sort_by_key(|(name, _)| (position(name).unwrap_or(usize::MAX), (*name).clone()));
        for (stage, statements) in stages {
            let skip = if history {
                0
            } else {
                statements.len().saturating_sub(1)
            };
            for promoted in statements.iter().skip(skip) {
                let promotion = &promoted.promotion;
                let rollback = if promotion.rollback { " (back)" } else { "" };
                table.add_row([
                    package.to_string(),
                    stage.clone(),
                    format!("{}{rollback}", promotion.number),
                    promotion.version.clone(),
                    promotion.level.to_string(),
                    promotion.revision.short(),
                    promotion.time.clone(),
                    match promoted.keys.first() {
                        Some(key) => style::paint(style::GOOD, key.short()),
                        None => style::paint(style::UNSURE, "not checked"),
                    },
                ]);
            }
        }
    }
    if table.row_count() == 0 {
        anstream::println!("no package stands in a stage");
    } else {
        anstream::println!("{}", style::lines(&table));
    }
    if !checked && table.row_count() > 0 {
        anstream::println!(
            "{}",
            style::paint(
                style::UNSURE,
                "who signed was not checked: say whom to trust with --key or --policy"
            )
        );
    }
    if untrusted > 0 {
        anstream::println!(
            "{}",
            style::paint(
                style::UNSURE,
                format!(
                    "{} by keys that are not trusted left out",
                    style::count(untrusted, "statement", "statements")
                )
            )
        );
    }
}
