//! Engines are libraries anybody may call: no bus, no gRPC, no service configuration below them.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use quench_it::tools::{run, workspace};
use serde_json::Value;

const FORBIDDEN: [&str; 3] = ["async-nats", "tonic", "config"];

#[test]
fn no_engine_depends_on_bus_grpc_or_service_configuration() -> Result<()> {
    let metadata =
        run(cargo().args(["metadata", "--format-version", "1", "--no-deps", "--locked"]))?;
    let metadata: Value = serde_json::from_slice(&metadata)?;
    let packages = metadata
        .get("packages")
        .and_then(Value::as_array)
        .context("no packages")?;
    let engines: Vec<&str> = packages
        .iter()
        .filter_map(|package| package.get("name")?.as_str())
        .filter(|name| name.starts_with("quench-") && name.ends_with("-engine"))
        .collect();
    ensure!(
        engines.len() == 6,
        "six levels, {} engines: {engines:?}",
        engines.len()
    );

    let mut wrong = Vec::new();
    for engine in engines {
        let tree = run(cargo().args([
            "tree",
            "--locked",
            "--package",
            engine,
            "--edges",
            "normal,build",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--target",
            "all",
        ]))?;
        let tree = String::from_utf8(tree)?;
        let crates = tree
            .lines()
            .filter_map(|line| line.split_whitespace().next());
        for name in crates {
            if FORBIDDEN.contains(&name) || name.starts_with("tonic-") {
                wrong.push(format!(
                    "{engine} depends on {name}: see `cargo tree -p {engine} -i {name}`"
                ));
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace());
    command
}
