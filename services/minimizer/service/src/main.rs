//! The minimizer: takes packages of level 4, gives them at level 5 with images that hold only what the chart makes them need.

use std::process::ExitCode;

use quench_minimizer_engine::Engine;
use quench_model::Level;
use quench_runtime::{exit_code, serve_packages};

fn main() -> ExitCode {
    exit_code(serve_packages("minimizer", Level::Minimized, |config| {
        let engine = Engine::new(config.renderer()?);
        Ok(move |package, context| {
            let engine = engine.clone();
            async move { engine.run(&package, &context).await }
        })
    }))
}
