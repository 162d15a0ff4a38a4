//! The rescheduler: keeps watch over finished packages.

use std::process::ExitCode;

use quench_package::Package;
use quench_runtime::{Config, Shell, StartError};
use quench_worker::{Answer, JobError};

fn main() -> ExitCode {
    quench_runtime::exit_code(serve())
}

async fn serve() -> Result<(), StartError> {
    let config = Config::load("rescheduler")?;
    let telemetry = config.start_telemetry()?;
    let shell = Shell::start(config).await?;
    let store = shell.store.clone();
    let done = shell
        .run(None, move |job| {
            let store = store.clone();
            async move {
                let (digest, _) = job.input()?;
                let package = Package::load_digest(&store, &digest)
                    .await
                    .map_err(|error| JobError::Retry {
                        after: std::time::Duration::from_secs(2),
                        reason: error.to_string(),
                    })?;
                tracing_package(&package);
                Ok(Answer::default())
            }
        })
        .await;
    telemetry.shutdown().await;
    done
}

fn tracing_package(_package: &Package) {}
