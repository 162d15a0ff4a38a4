//! The scanner: takes packages of level 2, gives them at level 3 with SBOMs, findings and the gate's verdict.

use std::process::ExitCode;
use std::time::Duration;

use quench_advisories::in_force::{InForceError, in_force};
use quench_model::Level;
use quench_package::{Context, EngineError};
use quench_runtime::{exit_code, serve_packages};
use quench_scanner_engine::Engine;

fn main() -> ExitCode {
    exit_code(serve_packages("scanner", Level::Secured, |_| {
        Ok(|package, context: Context| async move {
            // Read anew for every package: an epoch that came in force a minute ago counts.
            let epoch = in_force(&context.store).await.map_err(unavailable)?;
            Engine::new(epoch).run(&package, &context).await
        })
    }))
}

/// Without its advisories nothing may be called checked: wait until they can be read.
fn unavailable(error: InForceError) -> EngineError {
    EngineError::Unavailable {
        reason: format!("the advisory epoch in force cannot be read: {error}"),
        retry_after: Duration::from_secs(10),
    }
}
