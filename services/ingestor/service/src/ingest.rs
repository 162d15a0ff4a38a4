//! `IngestService`: blobs in, submissions accepted.

use std::io::Write;

use futures::StreamExt;
use futures::stream;
use prost::Message;
use quench_content::{BlobWriter, MANIFEST_LIMIT, Store, StoreError};
use quench_model::{Descriptor, Digest, Hasher, Level, PackageName};
use quench_package::{PackageError, Submission, closure, read_chart};
use quench_proto::subject::Tenant;
use quench_proto::v1::ingest_service_server::IngestService;
use quench_proto::v1::put_blob_request::Part;
use quench_proto::v1::{
    BlobDescriptor, HasBlobsRequest, HasBlobsResponse, LevelState, PackageEvent, PutBlobRequest,
    PutBlobResponse, RunContext, SubmissionStatus, SubmitRequest, SubmitResponse,
};
use quench_runtime::{Outbox, Shell, Told, invalid, level, missing_resource, unavailable};
use quench_worker::{Event, Publisher, StatusBoard};
use tonic::{Request, Response, Status, Streaming};

/// Takes submissions in.
pub struct IngestApi {
    store: Store,
    board: StatusBoard,
    publisher: Publisher,
    outbox: Outbox,
    tenant: Tenant,
}

/// Most descriptors of one question.
const MOST_BLOBS: usize = 10_000;
/// Most bytes of one chunk.
const LARGEST_CHUNK: usize = 1 << 20;
/// Blobs asked for at once.
const AT_ONCE: usize = 16;

impl IngestApi {
    /// Takes submissions into the shell's store.
    pub fn new(shell: &Shell) -> Self {
        Self {
            store: shell.store.clone(),
            board: shell.board.clone(),
            publisher: shell.publisher.clone(),
            outbox: Outbox::new(&shell.store, "submitted"),
            tenant: shell.config.tenant.clone(),
        }
    }

    /// What was accepted.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The submission and the chart's name and version, when everything it names is there.
    async fn complete(&self, digest: &Digest) -> Result<(Descriptor, PackageName, String), Status> {
        let mut descriptor = level::submission_descriptor(digest, 0);
        let manifest = self
            .store
            .read(&descriptor, MANIFEST_LIMIT)
            .await
            .map_err(|error| refused("submission_digest", &error))?;
        descriptor.size = manifest.len() as u64;
        let submission = Submission::load(&self.store, &descriptor)
            .await
            .map_err(|error| refused("submission_digest", &error))?;
        let named = closure(&self.store, &descriptor)
            .await
            .map_err(|error| Status::failed_precondition(error.to_string()))?;
        let mut checks = stream::iter(named)
            .map(|blob| async move {
                let there = self.store.contains(&blob).await;
                (blob, there)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((blob, there)) = checks.next().await {
            if !there.map_err(|error| refused("submission_digest", &error))? {
                return Err(missing_resource(
                    "blob",
                    &blob.digest.to_string(),
                    &format!("submission {digest} names it; put it first"),
                ));
            }
        }
        let chart = read_chart(&self.store, &submission.parts.chart)
            .await
            .map_err(|error| match error {
                PackageError::Store(error) => refused("submission_digest", &error),
                error => invalid("submission_digest", &format!("its chart: {error}")),
            })?;
        let name = chart
            .name()
            .parse()
            .map_err(|error| invalid("submission_digest", &format!("its chart: {error}")))?;
        Ok((descriptor, name, chart.version().to_owned()))
    }

    async fn tell(&self, status: &SubmissionStatus) -> Result<(), Status> {
        self.board
            .write_submission(status.clone())
            .await
            .map_err(|error| unavailable(&error.to_string()))
    }

    /// The run of this submission that is under way or done, or what a new run has to be told apart by.
    fn known(&self, name: &str, digest: &Digest) -> Result<RunContext, u64> {
        let Some(status) = self.board.package(name) else {
            return Err(0);
        };
        if status.submission_digest != digest.to_string() {
            return Err(0);
        }
        let run = self
            .board
            .submission(name)
            .and_then(|submission| RunContext::decode(submission.run).ok())
            .unwrap_or_default();
        match status.state() {
            LevelState::Rejected | LevelState::Dead => {
                let rejection = status
                    .levels
                    .iter()
                    .filter(|level| {
                        matches!(level.state(), LevelState::Rejected | LevelState::Dead)
                    })
                    .map(|level| level.event_sequence)
                    .max();
                Err(rejection.unwrap_or_default())
            }
            _ => Ok(run),
        }
    }
}

#[tonic::async_trait]
impl IngestService for IngestApi {
    async fn has_blobs(
        &self,
        request: Request<HasBlobsRequest>,
    ) -> Result<Response<HasBlobsResponse>, Status> {
        let blobs = request.into_inner().blobs;
        if blobs.len() > MOST_BLOBS {
            return Err(invalid(
                "blobs",
                &format!(
                    "{} were asked for; ask for at most {MOST_BLOBS}",
                    blobs.len()
                ),
            ));
        }
        let asked: Vec<(BlobDescriptor, Descriptor)> = blobs
            .into_iter()
            .map(|blob| descriptor(&blob).map(|descriptor| (blob, descriptor)))
            .collect::<Result<_, _>>()?;
        let mut answers = stream::iter(asked)
            .map(|(blob, descriptor)| async move { (blob, self.store.contains(&descriptor).await) })
            .buffered(AT_ONCE);
        let mut missing = Vec::new();
        while let Some((blob, there)) = answers.next().await {
            if !there.map_err(|error| refused("blobs", &error))? {
                missing.push(blob);
            }
        }
        Ok(Response::new(HasBlobsResponse { missing }))
    }

    async fn put_blob(
        &self,
        request: Request<Streaming<PutBlobRequest>>,
    ) -> Result<Response<PutBlobResponse>, Status> {
        let caller = request
            .remote_addr()
            .map_or_else(|| "the caller".to_owned(), |address| address.to_string());
        let mut parts = request.into_inner();
        let Some(Part::Descriptor(blob)) = parts.message().await?.and_then(|first| first.part)
        else {
            return Err(invalid(
                "descriptor",
                "the first message must name the blob",
            ));
        };
        let expected = descriptor(&blob)?;
        let existed = self
            .store
            .contains(&expected)
            .await
            .map_err(|error| refused("descriptor", &error))?;
        if !existed {
            let mut writer = self
                .store
                .writer()
                .map_err(|error| refused("descriptor", &error))?;
            while let Some(message) = parts.message().await? {
                let Some(Part::Chunk(chunk)) = message.part else {
                    return Err(invalid(
                        "chunk",
                        "every message after the first carries bytes",
                    ));
                };
                append(&mut writer, &chunk, &expected)?;
            }
            self.store
                .commit_expected(writer, &expected, &caller)
                .await
                .map_err(|error| refused("descriptor", &error))?;
        }
        Ok(Response::new(PutBlobResponse {
            descriptor: Some(blob),
            existed,
        }))
    }

    async fn submit(
        &self,
        request: Request<SubmitRequest>,
    ) -> Result<Response<SubmitResponse>, Status> {
        let text = request.into_inner().submission_digest;
        let digest: Digest = text
            .parse()
            .map_err(|error| invalid("submission_digest", &format!("{error}")))?;
        if !self.board.is_ready() {
            return Err(unavailable("the status bucket has not been read yet"));
        }
        let (descriptor, name, version) = self.complete(&digest).await?;
        let attempt = match self.known(name.as_str(), &digest) {
            Ok(run) => {
                return Ok(Response::new(SubmitResponse {
                    package: name.to_string(),
                    version,
                    tracking_id: run.tracking_id,
                    existed: true,
                }));
            }
            Err(attempt) => attempt,
        };
        let run = RunContext {
            tracking_id: tracking_id(&digest, attempt),
            tenant: self.tenant.to_string(),
            submission_digest: digest.to_string(),
            attempt,
        };
        let told = Told {
            event: PackageEvent {
                package: name.to_string(),
                version: version.clone(),
                input_digest: digest.to_string(),
                input_size: descriptor.size,
                run: run.encode_to_vec().into(),
                ..PackageEvent::default()
            },
            findings: Vec::new(),
        };
        // Written down before it is told: from here on the reconciler sees to it that it is told.
        self.outbox
            .write(&told)
            .await
            .map_err(|error| unavailable(&error.to_string()))?;
        let event = Event::package(&told.event);
        let mut status = SubmissionStatus {
            package: name.to_string(),
            version: version.clone(),
            run: told.event.run.clone(),
            event_sequence: 0,
            event_id: event.id.clone(),
            updated: None,
        };
        // Before the event: who works on it must not take its run for one that another has replaced.
        self.tell(&status).await?;
        let published = self
            .publisher
            .publish(&event)
            .await
            .map_err(|error| unavailable(&error.to_string()))?;
        status.event_sequence = published.sequence;
        self.tell(&status).await?;
        tracing::info!(package = %name, %digest, level = Level::Integrated.name(), "accepted");
        Ok(Response::new(SubmitResponse {
            package: name.to_string(),
            version,
            tracking_id: run.tracking_id,
            existed: published.duplicate,
        }))
    }
}

/// Names a run: the same for the same submission and try.
fn tracking_id(submission: &Digest, attempt: u64) -> String {
    let mut hasher = Hasher::new();
    hasher.field(submission.as_bytes());
    hasher.field(&attempt.to_be_bytes());
    let mut hex = hasher.finish().hex();
    hex.truncate(24);
    hex
}

fn append(writer: &mut BlobWriter, chunk: &[u8], expected: &Descriptor) -> Result<(), Status> {
    if chunk.len() > LARGEST_CHUNK {
        return Err(invalid(
            "chunk",
            &format!(
                "{} bytes; send at most {LARGEST_CHUNK} at once",
                chunk.len()
            ),
        ));
    }
    if writer.written() + chunk.len() as u64 > expected.size {
        return Err(invalid(
            "chunk",
            &format!(
                "{} has {} bytes, more were sent",
                expected.digest, expected.size
            ),
        ));
    }
    writer
        .write_all(chunk)
        .map_err(|error| unavailable(&format!("cannot stage {}: {error}", expected.digest)))
}

fn descriptor(blob: &BlobDescriptor) -> Result<Descriptor, Status> {
    let digest = blob
        .digest
        .parse()
        .map_err(|error| invalid("digest", &format!("{error}")))?;
    if blob.media_type.is_empty() || blob.media_type.len() > 255 {
        return Err(invalid("media_type", "1 to 255 characters are needed"));
    }
    Ok(Descriptor {
        media_type: blob.media_type.clone(),
        digest,
        size: blob.size,
        artifact_type: None,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
    })
}

/// A failure of the store as the caller sees it.
fn refused(field: &str, error: &StoreError) -> Status {
    match error {
        StoreError::NotFound { digest, .. } => {
            Status::failed_precondition(format!("{digest} is not in the store; put it first"))
        }
        StoreError::WrongDigest { .. }
        | StoreError::WrongSize { .. }
        | StoreError::TooLarge { .. }
        | StoreError::Malformed { .. } => invalid(field, &error.to_string()),
        _ => unavailable(&error.to_string()),
    }
}
