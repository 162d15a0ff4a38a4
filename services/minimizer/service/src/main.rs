//! The minimizer: takes packages of level 4, gives them at level 5 with images that hold only what the chart makes them need.

use std::process::ExitCode;

use quench_minimizer_engine::Engine;
use quench_model::Level;
use quench_runtime::{Config, Shell, StartError};

fn main() -> ExitCode {
    quench_runtime::exit_code(serve())
}

async fn serve() -> Result<(), StartError> {
    let config = Config::load("minimizer")?;
    let telemetry = config.start_telemetry()?;
    let engine = Engine::new(config.renderer()?);
    let done = Shell::start(config)
        .await?
        .run_packages(Level::Minimized, move |package, context| {
            let engine = engine.clone();
            async move { engine.run(&package, &context).await }
        })
        .await;
    telemetry.shutdown().await;
    done
}
