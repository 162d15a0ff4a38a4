//! `quench submit`: hands a chart and its images to a fleet.

use anyhow::{Context as _, Result};
use quench_content::Store;
use quench_ingestor_engine::pack;
use quench_model::Descriptor;
use quench_package::{Context, closure};
use quench_proto::v1::ingest_service_client::IngestServiceClient;
use quench_proto::v1::{
    BlobDescriptor, HasBlobsRequest, PutBlobRequest, SubmitRequest, put_blob_request::Part,
};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::args::SubmitArgs;
use crate::commands::status;
use crate::exit::Exit;
use crate::session::Session;
use crate::{fleet, inputs};

/// Digests asked about at a time; the fleet takes ten times as many.
const BATCH: usize = 1_000;
/// Bytes of a chunk: well below the fleet's 1 MiB, so that framing fits too.
const CHUNK: usize = 512 << 10;

/// Packs a submission, sends what the fleet lacks, and submits it.
pub async fn run(session: &Session, args: &SubmitArgs) -> Result<Exit> {
    let options = inputs::pack_options(&args.source)?;
    let store = session.open_store()?;
    let context = session.context(&store);
    let submission = pack(&options, inputs::today(), &context).await?;
    let channel = fleet::connect(&args.fleet).await?;
    let mut client = IngestServiceClient::new(channel.clone());
    let sent = send(&store, &submission.descriptor, &mut client, &context).await?;
    let accepted = client
        .submit(SubmitRequest {
            submission_digest: submission.descriptor.digest.to_string(),
        })
        .await
        .map_err(|status| fleet::refused(&status))?
        .into_inner();
    if session.json && !args.watch {
        session.print_json(&json!({
            "package": accepted.package,
            "version": accepted.version,
            "trackingId": accepted.tracking_id,
            "submission": submission.descriptor.digest,
            "existed": accepted.existed,
            "blobsSent": sent,
        }))?;
    } else if !session.quiet && !session.json {
        anstream::println!(
            "{} {} {} ({sent} blobs sent), tracked as {}",
            accepted.package,
            accepted.version,
            if accepted.existed {
                "was submitted before"
            } else {
                "is submitted"
            },
            accepted.tracking_id
        );
    }
    if args.watch {
        return status::follow(
            session,
            channel,
            &accepted.package,
            Some(&accepted.tracking_id),
        )
        .await;
    }
    Ok(Exit::Done)
}

/// Sends whatever the fleet lacks of what a manifest names, the manifest last; gives the number of blobs sent.
pub async fn send(
    store: &Store,
    manifest: &Descriptor,
    client: &mut IngestServiceClient<Channel>,
    context: &Context,
) -> Result<usize> {
    let blobs = closure(store, manifest).await?;
    let mut missing = Vec::new();
    for batch in blobs.chunks(BATCH) {
        let request = HasBlobsRequest {
            blobs: batch.iter().map(named).collect(),
        };
        let answer = client
            .has_blobs(request)
            .await
            .map_err(|status| fleet::refused(&status))?
            .into_inner();
        // In the order of the closure: what a manifest names goes before the manifest.
        missing.extend(batch.iter().filter(|blob| {
            let digest = blob.digest.to_string();
            answer.missing.iter().any(|m| m.digest == digest)
        }));
    }
    let total = missing.iter().map(|blob| blob.size).sum();
    context.progress.start("sending", total);
    for blob in &missing {
        context.check_cancelled()?;
        put(store, blob, client, context).await?;
    }
    context.progress.finish();
    Ok(missing.len())
}

async fn put(
    store: &Store,
    blob: &Descriptor,
    client: &mut IngestServiceClient<Channel>,
    context: &Context,
) -> Result<()> {
    let path = store.file(blob).await?;
    let mut file = tokio::fs::File::open(&path)
        .await
        .with_context(|| format!("cannot read {}", path.display()))?;
    let (sender, receiver) = tokio::sync::mpsc::channel(4);
    let first = PutBlobRequest {
        part: Some(Part::Descriptor(named(blob))),
    };
    let progress = context.progress.clone();
    let feed = async move {
        // A closed channel means that the fleet has answered already: its answer says why.
        if sender.send(first).await.is_err() {
            return Ok(());
        }
        let mut buffer = vec![0; CHUNK];
        loop {
            let count = file.read(&mut buffer).await?;
            if count == 0 {
                return std::io::Result::Ok(());
            }
            let chunk = buffer.get(..count).unwrap_or_default().to_vec();
            let message = PutBlobRequest {
                part: Some(Part::Chunk(chunk.into())),
            };
            if sender.send(message).await.is_err() {
                return Ok(());
            }
            progress.advance(count as u64);
        }
    };
    let (fed, answered) = tokio::join!(feed, client.put_blob(ReceiverStream::new(receiver)));
    answered.map_err(|status| fleet::refused(&status))?;
    fed.with_context(|| format!("cannot read {}", path.display()))?;
    Ok(())
}

fn named(blob: &Descriptor) -> BlobDescriptor {
    BlobDescriptor {
        media_type: blob.media_type.clone(),
        digest: blob.digest.to_string(),
        size: blob.size,
    }
}
