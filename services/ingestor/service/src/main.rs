//! The ingestor: accepts submissions, makes them packages of level 1.

mod ingest;

use std::process::ExitCode;

use ingest::IngestApi;
use quench_ingestor_engine::{Engine, EngineOptions};
use quench_proto::v1::ingest_service_server::{IngestServiceServer, SERVICE_NAME};
use quench_runtime::{Config, Shell, StartError};

fn main() -> ExitCode {
    quench_runtime::exit_code(serve())
}

async fn serve() -> Result<(), StartError> {
    let config = Config::load("ingestor")?;
    let telemetry = config.start_telemetry()?;
    let engine = Engine::new(EngineOptions {
        access: config.registries.clone(),
        helm: Some(config.renderer()?),
        ..EngineOptions::default()
    });
    let mut shell = Shell::start(config).await?;
    let api = IngestApi::new(&shell);
    shell.reconcile(api.outbox(), None);
    shell.serve(SERVICE_NAME, |routes| {
        routes.add_service(IngestServiceServer::new(api));
    });
    let done = shell
        .run_submissions(move |submission, context| {
            let engine = engine.clone();
            async move { engine.run(&submission, &context).await }
        })
        .await;
    telemetry.shutdown().await;
    done
}
