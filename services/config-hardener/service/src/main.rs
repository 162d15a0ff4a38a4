//! The config-hardener: takes packages of level 1, gives them at level 2 with a chart that hardens itself.

use std::process::ExitCode;

use quench_config_hardener_engine::Engine;
use quench_model::Level;
use quench_runtime::{exit_code, serve_packages};

fn main() -> ExitCode {
    exit_code(serve_packages(
        "config-hardener",
        Level::Configured,
        |config| {
            let engine = Engine::new(config.renderer()?);
            Ok(move |package, context| {
                let engine = engine.clone();
                async move { engine.run(&package, &context).await }
            })
        },
    ))
}
