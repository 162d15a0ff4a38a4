//! The config-hardener: takes packages of level 1, gives them at level 2 with a chart that hardens itself.

use std::process::ExitCode;

use quench_config_hardener_engine::Engine;
use quench_model::Level;
use quench_runtime::{Config, Shell, StartError};

fn main() -> ExitCode {
    quench_runtime::exit_code(serve())
}

async fn serve() -> Result<(), StartError> {
    let config = Config::load("config-hardener")?;
    let telemetry = config.start_telemetry()?;
    let engine = Engine::new(config.renderer()?);
    let done = Shell::start(config)
        .await?
        .run_packages(Level::Configured, move |package, context| {
            let engine = engine.clone();
            async move { engine.run(&package, &context).await }
        })
        .await;
    telemetry.shutdown().await;
    done
}
