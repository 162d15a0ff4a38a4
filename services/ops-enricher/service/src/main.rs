//! The ops-enricher: takes packages of level 3, gives them at level 4 ready to operate.

use std::process::ExitCode;

use quench_model::Level;
use quench_ops_enricher_engine::Engine;
use quench_runtime::{exit_code, serve_packages};

fn main() -> ExitCode {
    exit_code(serve_packages("ops-enricher", Level::Operable, |config| {
        let engine = Engine::new(config.renderer()?);
        Ok(move |package, context| {
            let engine = engine.clone();
            async move { engine.run(&package, &context).await }
        })
    }))
}
