//! `ReschedulerService`.

use quench_model::PackageName;
use quench_package::{Disposition, EngineError};
use quench_proto::v1::rescheduler_service_server::ReschedulerService;
use quench_proto::v1::{
    ApplyEpochRequest, ApplyEpochResponse, HistoryRequest, HistoryResponse, TriggerRequest,
    TriggerResponse,
};
use quench_runtime::{invalid, unavailable};
use quench_worker::Meter;
use tonic::{Request, Response, Status};

use crate::watch::Watch;

/// Answers for the rescheduler.
pub struct ReschedulerApi {
    watch: Watch,
}

const PAGE: usize = 20;
const LARGEST_PAGE: usize = 1000;

impl ReschedulerApi {
    /// Answers with what `watch` does.
    pub fn new(watch: Watch) -> Self {
        Self { watch }
    }
}

#[tonic::async_trait]
impl ReschedulerService for ReschedulerApi {
    async fn apply_epoch(
        &self,
        request: Request<ApplyEpochRequest>,
    ) -> Result<Response<ApplyEpochResponse>, Status> {
        let text = request.into_inner().epoch_digest;
        let digest = text
            .parse()
            .map_err(|error| invalid("epoch_digest", &format!("{error}")))?;
        let run = self
            .watch
            .look(Some(digest), "epoch", Meter::default())
            .await
            .map_err(|error| refused("epoch_digest", &error))?;
        Ok(Response::new(ApplyEpochResponse { run: Some(run) }))
    }

    async fn trigger(
        &self,
        request: Request<TriggerRequest>,
    ) -> Result<Response<TriggerResponse>, Status> {
        let package = request.into_inner().package;
        // Looking at one package costs as much as asking which ones changed: all of them are asked.
        if !package.is_empty() {
            package
                .parse::<PackageName>()
                .map_err(|error| invalid("package", &error.to_string()))?;
        }
        let run = self
            .watch
            .look(None, "manual", Meter::default())
            .await
            .map_err(|error| refused("package", &error))?;
        Ok(Response::new(TriggerResponse { run: Some(run) }))
    }

    async fn history(
        &self,
        request: Request<HistoryRequest>,
    ) -> Result<Response<HistoryResponse>, Status> {
        let limit = match usize::try_from(request.into_inner().limit).unwrap_or(usize::MAX) {
            0 => PAGE,
            limit => limit.min(LARGEST_PAGE),
        };
        Ok(Response::new(HistoryResponse {
            runs: self.watch.history(limit),
        }))
    }
}

fn refused(field: &str, error: &EngineError) -> Status {
    match error.disposition() {
        Disposition::Retry { .. } => unavailable(&error.to_string()),
        Disposition::Reject { reason } => invalid(field, &reason),
    }
}
