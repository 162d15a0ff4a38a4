//! `StatusService`: where packages are, answered from memory.

use std::pin::Pin;

use futures::{Stream, StreamExt, stream};
use quench_model::PackageName;
use quench_proto::v1::status_service_server::StatusService;
use quench_proto::v1::{
    GetPackageRequest, GetPackageResponse, ListPackagesRequest, ListPackagesResponse,
    WatchPackageRequest, WatchPackageResponse,
};
use quench_worker::StatusBoard;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::grpc::{invalid, missing_resource, unavailable};

/// Answers from the status bucket. The same in every service.
pub struct StatusApi {
    board: StatusBoard,
    stop: CancellationToken,
}

const PAGE: usize = 100;
const LARGEST_PAGE: usize = 1000;

impl StatusApi {
    /// Answers from `board`; watches end at `stop`.
    pub fn new(board: &StatusBoard, stop: &CancellationToken) -> Self {
        Self {
            board: board.clone(),
            stop: stop.clone(),
        }
    }

    fn ready(&self) -> Result<(), Status> {
        if self.board.is_ready() {
            Ok(())
        } else {
            Err(unavailable("the status bucket has not been read yet"))
        }
    }
}

fn valid_name(field: &str, text: &str) -> Result<(), Status> {
    text.parse::<PackageName>()
        .map(|_| ())
        .map_err(|error| invalid(field, &error.to_string()))
}

#[tonic::async_trait]
impl StatusService for StatusApi {
    async fn get_package(
        &self,
        request: Request<GetPackageRequest>,
    ) -> Result<Response<GetPackageResponse>, Status> {
        let name = request.into_inner().package;
        valid_name("package", &name)?;
        self.ready()?;
        match self.board.package(&name) {
            Some(package) => Ok(Response::new(GetPackageResponse {
                package: Some(package),
            })),
            None => Err(missing_resource(
                "package",
                &name,
                "it was never submitted here",
            )),
        }
    }

    async fn list_packages(
        &self,
        request: Request<ListPackagesRequest>,
    ) -> Result<Response<ListPackagesResponse>, Status> {
        let request = request.into_inner();
        self.ready()?;
        if !request.page_token.is_empty() {
            valid_name("page_token", &request.page_token)?;
        }
        let size = match usize::try_from(request.page_size).unwrap_or(usize::MAX) {
            0 => PAGE,
            size => size.min(LARGEST_PAGE),
        };
        let mut packages = self.board.packages(&request.page_token, size + 1);
        let more = packages.len() > size;
        packages.truncate(size);
        let next_page_token = packages
            .last()
            .filter(|_| more)
            .map(|last| last.package.clone())
            .unwrap_or_default();
        Ok(Response::new(ListPackagesResponse {
            packages,
            next_page_token,
        }))
    }

    type WatchPackageStream =
        Pin<Box<dyn Stream<Item = Result<WatchPackageResponse, Status>> + Send>>;

    async fn watch_package(
        &self,
        request: Request<WatchPackageRequest>,
    ) -> Result<Response<Self::WatchPackageStream>, Status> {
        let wanted = request.into_inner().package;
        if !wanted.is_empty() {
            valid_name("package", &wanted)?;
        }
        self.ready()?;
        let name = (!wanted.is_empty()).then_some(wanted);
        let watch = self.board.watch(name.as_deref());
        let sequence = watch.sequence;
        let snapshot = stream::iter(watch.snapshot).map(move |package| {
            Ok(WatchPackageResponse {
                package: Some(package),
                snapshot: true,
                sequence,
            })
        });
        let changes = stream::unfold(Some(watch.changes), move |receiver| {
            let name = name.clone();
            async move {
                let mut receiver = receiver?;
                loop {
                    match receiver.recv().await {
                        Ok(package) => {
                            if package.sequence <= sequence
                                || name.as_ref().is_some_and(|name| *name != package.package)
                            {
                                continue;
                            }
                            let response = WatchPackageResponse {
                                sequence: package.sequence,
                                package: Some(package),
                                snapshot: false,
                            };
                            return Some((Ok(response), Some(receiver)));
                        }
                        Err(RecvError::Lagged(missed)) => {
                            let status = Status::aborted(format!(
                                "this watch fell {missed} changes behind; start it again"
                            ));
                            return Some((Err(status), None));
                        }
                        Err(RecvError::Closed) => return None,
                    }
                }
            }
        });
        let stop = self.stop.clone();
        let all = snapshot
            .chain(changes)
            .take_until(async move { stop.cancelled().await });
        Ok(Response::new(Box::pin(all)))
    }
}
