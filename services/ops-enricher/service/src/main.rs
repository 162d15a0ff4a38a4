//! The ops-enricher: takes packages of level 3, gives them at level 4 ready to operate.

use std::process::ExitCode;

use quench_model::Level;
use quench_ops_enricher_engine::Engine;
use quench_runtime::{Config, Shell, StartError};

fn main() -> ExitCode {
    quench_runtime::exit_code(serve())
}

async fn serve() -> Result<(), StartError> {
    let config = Config::load("ops-enricher")?;
    let telemetry = config.start_telemetry()?;
    let engine = Engine::new(config.renderer()?);
    let done = Shell::start(config)
        .await?
        .run_packages(Level::Operable, move |package, context| {
            let engine = engine.clone();
            async move { engine.run(&package, &context).await }
        })
        .await;
    telemetry.shutdown().await;
    done
}
