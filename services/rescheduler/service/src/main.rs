//! The rescheduler: tells what a new advisory epoch changes in stored packages, and looks at every package once it is
//! finished.

mod api;
mod watch;

use std::process::ExitCode;

use api::ReschedulerApi;
use quench_proto::v1::rescheduler_service_server::{ReschedulerServiceServer, SERVICE_NAME};
use quench_runtime::{Config, Shell, StartError};
use watch::Watch;

fn main() -> ExitCode {
    quench_runtime::exit_code(serve())
}

async fn serve() -> Result<(), StartError> {
    let config = Config::load("rescheduler")?;
    let telemetry = config.start_telemetry()?;
    let mut shell = Shell::start(config).await?;
    let watch = Watch::new(&shell);
    let api = ReschedulerApi::new(watch.clone());
    shell.serve(SERVICE_NAME, |routes| {
        routes.add_service(ReschedulerServiceServer::new(api));
    });
    let done = shell
        .run(None, move |job| {
            let watch = watch.clone();
            async move { watch.finished(job).await }
        })
        .await;
    telemetry.shutdown().await;
    done
}
