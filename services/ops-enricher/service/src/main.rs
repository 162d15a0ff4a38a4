//! The ops-enricher: takes packages of level 3, gives them at level 4 ready to operate.

use std::process::ExitCode;

use quench_chart::render::Helm;
use quench_model::Level;
use quench_ops_enricher_engine::Engine;
use quench_runtime::{Config, Shell, StartError};

fn main() -> ExitCode {
    quench_runtime::exit_code(serve())
}

async fn serve() -> Result<(), StartError> {
    let config = Config::load("ops-enricher")?;
    let telemetry = config.start_telemetry()?;
    let engine = Engine::new(helm(&config)?);
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

/// The helm program configured, or the one `quench` itself would find.
fn helm(config: &Config) -> Result<Helm, StartError> {
    match &config.helm {
        Some(program) => Ok(Helm::at(program)),
        None => Helm::find().map_err(|error| StartError::Tool(error.to_string())),
    }
}
