//! One image: from what is asked of it to what is left of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use quench_content::blocking;
use quench_image::{Image, ImageError, facts};
use quench_model::Descriptor;
use quench_package::{Context, EngineError};

use crate::check;
use crate::closure::{self, Closure};
use crate::demand::Demand;
use crate::keep::Keep;
use crate::output::{self, Written};
use crate::packages::Packages;
use crate::report::{Extent, ImageReport};
use crate::tiers::{self, Tier};

/// What is known after one platform's image was minimised.
pub(crate) struct Minimized {
    pub manifest: Descriptor,
    pub report: ImageReport,
    /// Names and source names of packages before, and whether the package is still there.
    pub packages: Vec<PackageState>,
    pub image: Image,
}

/// A package of the original.
pub(crate) struct PackageState {
    pub name: String,
    pub source: String,
    pub left: bool,
}

struct Attempt {
    tier: Tier,
    keep: Keep,
    package_reasons: BTreeMap<String, String>,
}

/// Minimises one platform's image.
pub(crate) async fn minimize(
    context: &Context,
    reference: &str,
    descriptor: &Descriptor,
    demand: &dyn Fn(&Image) -> Demand,
) -> Result<Minimized, EngineError> {
    let store = &context.store;
    let image = Image::open(store, descriptor).await.map_err(unreadable)?;
    let mut demand = demand(&image);
    let image = Arc::new(image);
    let mut fallbacks = Vec::new();
    let mut start = Tier::Distroless;
    if demand.commands.is_empty() {
        fallbacks.push(
            "no workload that the chart renders uses it: what runs it, and how, is not known"
                .to_owned(),
        );
        start = Tier::Packages;
        demand.merge(Demand::of_image(&image.config.run));
    }
    let database = Packages::read(image.tree());
    if let Some(reason) = foreign(&image) {
        fallbacks.push(reason);
        start = Tier::Original;
    }
    let packages = Arc::new(match database {
        Ok(packages) => packages,
        Err(reason) => {
            fallbacks.push(format!("its package database cannot be read: {reason}"));
            start = Tier::Original;
            Packages::default()
        }
    });
    let demand = Arc::new(demand);
    let closure = follow(&image, &packages, &demand).await?;
    fallbacks.extend(closure.obstacles.iter().cloned());
    if !closure.obstacles.is_empty() {
        start = start.max(Tier::Packages);
    } else if closure.shell {
        start = start.max(Tier::Shell);
    }
    if start == Tier::Packages && packages.is_empty() {
        fallbacks.push("it has no package database to prune by".to_owned());
        start = Tier::Original;
    }
    let closure = Arc::new(closure);
    let mut tier = start;
    loop {
        context.check_cancelled()?;
        let attempt = Arc::new(attempt(&image, &packages, &closure, tier).await?);
        let keep = Arc::new(attempt.keep.clone());
        let written = output::write(store, &image, &packages, &keep).await?;
        let result = Image::open(store, &written.manifest)
            .await
            .map_err(unreadable)?;
        let result = Arc::new(result);
        let failures = check_loader(&image, &result).await?;
        if failures.is_empty() || tier == Tier::Original {
            fallbacks.extend(failures);
            let report = report(
                reference, &image, &result, &packages, &demand, &closure, &attempt, &written,
                fallbacks,
            );
            let states = packages
                .all
                .iter()
                .enumerate()
                .map(|(number, package)| PackageState {
                    name: package.name.clone(),
                    source: package.source.clone(),
                    left: u32::try_from(number)
                        .is_ok_and(|number| written.packages.contains(&number)),
                });
            let states = states.collect();
            let image = Arc::try_unwrap(result).map_err(|_| {
                EngineError::Input("the minimised image is still in use".to_owned())
            })?;
            return Ok(Minimized {
                manifest: written.manifest,
                report,
                packages: states,
                image,
            });
        }
        let shown = failures.into_iter().take(20);
        fallbacks.extend(shown.map(|failure| format!("tier {}: {failure}", tier.number())));
        tier = match tier {
            Tier::Distroless | Tier::Shell if !packages.is_empty() => Tier::Packages,
            _ => Tier::Original,
        };
    }
}

/// Why an image is of a sort that is left nearly as it is.
fn foreign(image: &Image) -> Option<String> {
    let os = &image.config.platform.os;
    if !os.is_empty() && os != "linux" {
        return Some(format!("it is for {os}"));
    }
    // Removing files under a database that goes on claiming them would hide what is there from scanners.
    let databases = [
        ("/lib/apk/db/installed", "apk"),
        ("/usr/lib/apk/db/installed", "apk"),
        ("/var/lib/rpm", "rpm"),
        ("/usr/lib/sysimage/rpm", "rpm"),
        ("/var/lib/pacman", "pacman"),
    ];
    databases
        .iter()
        .find(|(path, _)| image.tree().resolve(path).is_ok())
        .map(|(_, name)| format!("its package database is {name}'s, which is not rewritten yet"))
}

async fn follow(
    image: &Arc<Image>,
    packages: &Arc<Packages>,
    demand: &Arc<Demand>,
) -> Result<Closure, EngineError> {
    let (image, packages, demand) = (image.clone(), packages.clone(), demand.clone());
    blocking(move || {
        Ok(closure::build(
            image.tree(),
            &packages,
            &demand,
            &facts(&image),
        ))
    })
    .await
}

async fn attempt(
    image: &Arc<Image>,
    packages: &Arc<Packages>,
    closure: &Arc<Closure>,
    tier: Tier,
) -> Result<Attempt, EngineError> {
    let (image, packages, closure) = (image.clone(), packages.clone(), closure.clone());
    blocking(move || {
        let tree = image.tree();
        let mut package_reasons = BTreeMap::new();
        let keep = match tier {
            Tier::Distroless | Tier::Shell => tiers::by_file(tree, &packages, &closure),
            Tier::Packages => {
                let (keep, reasons) = tiers::by_package(tree, &packages, &closure);
                package_reasons = reasons;
                keep
            }
            Tier::Original => tiers::without_manager(tree, &packages, closure.keep.named.clone()),
        };
        Ok(Attempt {
            tier,
            keep,
            package_reasons,
        })
    })
    .await
}

async fn check_loader(
    original: &Arc<Image>,
    minimized: &Arc<Image>,
) -> Result<Vec<String>, EngineError> {
    let (original, minimized) = (original.clone(), minimized.clone());
    blocking(move || Ok(check::loader(original.tree(), minimized.tree()))).await
}

pub(crate) fn unreadable(error: ImageError) -> EngineError {
    match error {
        ImageError::Store(error) => EngineError::Store(error),
        other => EngineError::Input(other.to_string()),
    }
}

#[expect(clippy::too_many_arguments, reason = "everything the report tells of")]
fn report(
    reference: &str,
    original: &Image,
    minimized: &Image,
    packages: &Packages,
    demand: &Demand,
    closure: &Closure,
    attempt: &Attempt,
    written: &Written,
    fallbacks: Vec<String>,
) -> ImageReport {
    let extent = |image: &Image, packages: usize| {
        let contents = image.contents();
        Extent {
            bytes: contents.bytes,
            files: contents.files,
            packages: packages as u64,
        }
    };
    let tree = original.tree();
    let mut left = BTreeMap::new();
    let mut removed = BTreeSet::new();
    for (number, package) in packages.all.iter().enumerate() {
        if u32::try_from(number).is_ok_and(|number| written.packages.contains(&number)) {
            left.insert(package.name.clone(), package.version.clone());
        } else {
            removed.insert(package.name.clone());
        }
    }
    let mut files = BTreeMap::new();
    if attempt.tier <= Tier::Shell {
        for (number, reason) in &attempt.keep.entries {
            if let Some(entry) = tree.entry_at(*number) {
                files.insert(entry.path(), reason.text(tree));
            }
        }
    }
    ImageReport {
        reference: reference.to_owned(),
        platform: original.descriptor.platform.clone(),
        original: original.descriptor.digest.clone(),
        minimized: written.manifest.digest.clone(),
        tier: attempt.tier.number(),
        tier_name: attempt.tier.name().to_owned(),
        fallbacks,
        notes: closure.notes.clone(),
        used_by: demand.places.iter().cloned().collect(),
        commands: demand.commands.iter().map(|c| c.argv.clone()).collect(),
        before: extent(original, packages.all.len()),
        after: extent(minimized, written.packages.len()),
        packages: left,
        removed_packages: removed.into_iter().collect(),
        package_reasons: attempt.package_reasons.clone(),
        files,
    }
}
