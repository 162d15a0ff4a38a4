//! `quench install`: helm, told where everything lies.

use std::process::Command;

use anyhow::{Context as _, Result};
use quench_chart::render::Helm;
use quench_content::Store;
use quench_model::{Level, media_type};
use quench_package::{Destination, Package};
use serde_json::json;

use crate::args::InstallArgs;
use crate::commands::push::destination;
use crate::exit::{Exit, Failure};
use crate::session::Session;
use crate::style;

/// Prints or runs the helm command that installs a package from a registry.
pub async fn run(session: &Session, args: &InstallArgs) -> Result<Exit> {
    let store = session.open_store()?;
    let package = session.find(&store, &args.package).await?;
    if package.level < Level::Configured {
        return Err(Failure::usage(format!(
            "package {} stands at level {}: its chart does not pull from another registry by itself yet; run \
             `quench harden` to level {} at least",
            package.name,
            package.level,
            Level::Configured
        )));
    }
    let destination = destination(&args.registry)?;
    let arguments = arguments(&store, &package, &destination, args).await?;
    if args.print {
        if session.json {
            session.print_json(&json!({ "command": "helm", "arguments": arguments }))?;
        } else {
            let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
            anstream::println!("helm {}", words.join(" "));
        }
        return Ok(Exit::Done);
    }
    check_pushed(&destination, &package).await?;
    let helm = Helm::find().map_err(|error| Failure::missing(error.to_string()))?;
    if !session.quiet {
        let words: Vec<String> = arguments.iter().map(|word| quoted(word)).collect();
        anstream::eprintln!(
            "{}",
            style::paint(style::DIM, format!("helm {}", words.join(" ")))
        );
    }
    let status = Command::new(helm.program())
        .args(&arguments)
        .status()
        .with_context(|| format!("cannot start {}", helm.program().display()))?;
    if status.success() {
        Ok(Exit::Done)
    } else {
        // Helm has said why.
        Ok(Exit::Refused)
    }
}

/// What helm is called with.
async fn arguments(
    store: &Store,
    package: &Package,
    destination: &Destination,
    args: &InstallArgs,
) -> Result<Vec<String>> {
    let release = args.release.as_deref().unwrap_or(package.name.as_str());
    let mut words: Vec<String> = ["upgrade", "--install", release].map(str::to_owned).into();
    words.push(destination.chart(package));
    words.extend(["--version".to_owned(), package.version.clone()]);
    if args.registry.plain_http || is_loopback(destination.host()) {
        words.push("--plain-http".to_owned());
    }
    if let Some(ca) = &args.registry.registry_ca {
        words.extend(["--ca-file".to_owned(), ca.display().to_string()]);
    }
    if let Some(namespace) = &args.namespace {
        words.extend(["--namespace".to_owned(), namespace.clone()]);
    }
    if args.create_namespace {
        words.push("--create-namespace".to_owned());
    }
    if !args.no_package_values {
        // The values files lie in the store under their digests, so the command can be kept and run again.
        for layer in store.manifest(&package.request).await?.layers {
            if layer.media_type == media_type::VALUES {
                let path = store.file(&layer).await?;
                let path = std::path::absolute(&path).unwrap_or(path);
                words.extend(["--values".to_owned(), path.display().to_string()]);
            }
        }
    }
    words.extend([
        "--set-string".to_owned(),
        format!("global.hardening.registry={}", destination.place()),
    ]);
    words.extend(args.helm.iter().cloned());
    Ok(words)
}

/// Refuses where the registry has no such chart, or another one: helm would install that.
async fn check_pushed(destination: &Destination, package: &Package) -> Result<()> {
    let place = format!("{}:{}", destination.chart(package), package.version);
    match destination.resolve_chart(package).await? {
        Some(found) if found.digest == package.chart.manifest.digest => Ok(()),
        Some(found) => Err(Failure::usage(format!(
            "{place} is another chart ({}) than that of the package ({}); run `quench push` again",
            found.digest.short(),
            package.chart.manifest.digest.short()
        ))),
        None => Err(Failure::missing(format!(
            "{place} is not there; run `quench push {} --registry {}` first",
            package.name,
            destination.place()
        ))),
    }
}

fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost"
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("--set=a.b=c:1"), "--set=a.b=c:1");
        assert_eq!(quoted("two words"), "'two words'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("$(x)"), "'$(x)'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn loopback_is_told_by_its_address() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.0.0.9"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "registry.internal",
            "localhost.example.org:5000",
            "10.0.0.1:5000",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
