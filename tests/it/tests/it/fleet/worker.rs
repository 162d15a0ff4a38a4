//! The worker's rules, each on a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use prost::Message as _;
use quench_it::need;
use quench_model::{Digest, Level};
use quench_proto::subject;
use quench_proto::v1::{
    self, FindingEvent, LevelState, PackageEvent, RejectionCode, SubmissionStatus,
};
use quench_worker::topology::{PACKAGES, Topology};
use quench_worker::{Answer, DeadLetters, Event, Job, JobError, Worker, WorkerSettings, provision};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::bus::{FleetBus, eventually, messages, package_events, submit, submitted};

const LIMIT: Duration = Duration::from_secs(30);

fn settings(service: &str) -> WorkerSettings {
    WorkerSettings {
        service: service.to_owned(),
        level: Some(Level::Integrated),
        concurrency: 4,
        deadline: Duration::from_secs(60),
        stall: Duration::from_secs(60),
        grace: Duration::from_secs(5),
    }
}

/// The answer a level would give: a revision that depends on the input alone, and a finding.
fn integrated(job: &Job) -> Answer {
    let revision = Digest::of(format!("integrated {}", job.event.input_digest)).to_string();
    Answer {
        event: Some(PackageEvent {
            level: v1::Level::Integrated.into(),
            revision_digest: revision.clone(),
            ..job.event.clone()
        }),
        findings: vec![FindingEvent {
            finding_id: job.event.package.clone(),
            kind: v1::FindingKind::Completeness.into(),
            state: v1::FindingState::Opened.into(),
            severity: v1::Severity::Low.into(),
            affected: vec![v1::AffectedPackage {
                package: job.event.package.clone(),
                revision_digest: revision,
                ..v1::AffectedPackage::default()
            }],
            ..FindingEvent::default()
        }],
        ..Answer::default()
    }
}

/// A worker of the ingestor that runs until `stop`.
async fn start<H, F>(
    fleet: &FleetBus,
    settings: WorkerSettings,
    stop: &CancellationToken,
    handler: H,
) -> Result<JoinHandle<()>>
where
    H: Fn(Job) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Answer, JobError>> + Send + 'static,
{
    let (bus, publisher, board) = fleet.member("ingestor", stop).await?;
    let topology = &fleet.topology;
    let dead = DeadLetters::bind(
        &bus,
        &publisher,
        &board,
        topology,
        "ingestor",
        Some(Level::Integrated),
    )
    .await?;
    tokio::spawn(dead.run(stop.clone()));
    let worker = Worker::bind(&bus, &publisher, &board, topology, settings, handler).await?;
    let stop = stop.clone();
    Ok(tokio::spawn(async move {
        worker.run(stop).await;
        bus.close().await;
    }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_delivered_twice_ends_in_one_event() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(5)).await?;
    let stop = CancellationToken::new();
    let calls = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&calls);
    let worker = start(&fleet, settings("ingestor"), &stop, move |job| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move { Ok(integrated(&job)) }
    })
    .await?;
    let (bus, publisher, board) = fleet.member("ingestor", &stop).await?;
    let event = submitted("demo");
    let message = Event::package(&event);
    submit(&publisher, &event).await?;
    let again = Event {
        id: "the same under another id".to_owned(),
        ..message
    };
    publisher.publish(&again).await?;
    eventually("both deliveries", LIMIT, || async {
        Ok((calls.load(Ordering::Relaxed) >= 2).then_some(()))
    })
    .await?;
    let status = eventually("the status", LIMIT, || async {
        Ok(board
            .level("demo", Level::Integrated)
            .filter(|status| status.state() == LevelState::Done))
    })
    .await?;
    stop.cancel();
    worker.await?;
    let told = package_events(&bus, subject::package(Level::Integrated)).await?;
    ensure!(told.len() == 1, "{} events were told", told.len());
    ensure!(told[0].revision_digest == status.revision_digest);
    ensure!(
        told[0].run == event.run,
        "the run is forwarded byte for byte"
    );
    let reader = fleet.connect("subscriber").await?;
    ensure!(messages(&reader, "QUENCH_FINDINGS").await?.len() == 1);
    ensure!(messages(&reader, "QUENCH_DEAD").await?.is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn poison_is_rejected_ended_and_kept() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(5)).await?;
    let stop = CancellationToken::new();
    let worker = start(&fleet, settings("ingestor"), &stop, |job| async move {
        if job.event.package == "bad" {
            return Err(JobError::Reject {
                code: RejectionCode::Input,
                reason: "its chart does not render".to_owned(),
            });
        }
        Ok(integrated(&job))
    })
    .await?;
    let (bus, publisher, board) = fleet.member("ingestor", &stop).await?;
    let poison = b"\xff\xff no message".to_vec();
    bus.jetstream
        .publish(subject::SUBMITTED, poison.clone().into())
        .await?
        .await?;
    submit(&publisher, &submitted("bad")).await?;
    submit(&publisher, &submitted("good")).await?;
    eventually("the good one", LIMIT, || async {
        Ok(board
            .level("good", Level::Integrated)
            .filter(|status| status.state() == LevelState::Done))
    })
    .await?;
    let reader = fleet.connect("subscriber").await?;
    let dead = eventually("two dead letters", LIMIT, || async {
        let dead = messages(&reader, "QUENCH_DEAD").await?;
        Ok((dead.len() == 2).then_some(dead))
    })
    .await?;
    ensure!(
        dead.iter().any(|(_, _, body)| *body == poison),
        "the poison is kept as it came"
    );
    let mut rejected = package_events(&bus, subject::REJECTED).await?;
    rejected.sort_by(|a, b| a.package.cmp(&b.package));
    ensure!(rejected.len() == 2, "{rejected:?}");
    let reason = |index: usize| rejected[index].rejection.clone().unwrap_or_default();
    ensure!(reason(0).code() == RejectionCode::MalformedEvent);
    ensure!(reason(1).reason == "its chart does not render");
    let status = board.package("bad").context("no status")?;
    ensure!(status.state() == LevelState::Rejected && status.reason == reason(1).reason);
    stop.cancel();
    worker.await?;
    let info = bus
        .ask(&format!("CONSUMER.INFO.{PACKAGES}.ingestor"), &Value::Null)
        .await;
    // The connection of `member` outlives the worker's, so this can still be asked.
    let info = info?;
    ensure!(
        info.get("num_ack_pending").and_then(Value::as_u64) == Some(0),
        "nothing is left to be delivered again: {info}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn long_jobs_are_kept_alive_and_stuck_ones_are_not() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(1)).await?;
    let stop = CancellationToken::new();
    let patient = WorkerSettings {
        stall: Duration::from_millis(1500),
        ..settings("ingestor")
    };
    let long = Arc::new(AtomicU32::new(0));
    let stuck = Arc::new(AtomicU32::new(0));
    let (long_calls, stuck_calls) = (Arc::clone(&long), Arc::clone(&stuck));
    let worker = start(&fleet, patient, &stop, move |job| {
        let (long, stuck) = (Arc::clone(&long_calls), Arc::clone(&stuck_calls));
        async move {
            if job.event.package == "long" {
                long.fetch_add(1, Ordering::Relaxed);
                for _ in 0..40 {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    job.meter.tick();
                }
            } else if stuck.fetch_add(1, Ordering::Relaxed) == 0 {
                job.cancel.cancelled().await;
                return Err(JobError::Retry {
                    after: Duration::ZERO,
                    reason: "cancelled".to_owned(),
                });
            }
            Ok(integrated(&job))
        }
    })
    .await?;
    let (bus, publisher, _board) = fleet.member("ingestor", &stop).await?;
    submit(&publisher, &submitted("long")).await?;
    submit(&publisher, &submitted("stuck")).await?;
    eventually("both done", LIMIT, || async {
        let told = package_events(&bus, subject::package(Level::Integrated)).await?;
        Ok((told.len() == 2).then_some(()))
    })
    .await?;
    stop.cancel();
    worker.await?;
    ensure!(
        long.load(Ordering::Relaxed) == 1,
        "four seconds of work under an ack_wait of one second were delivered once"
    );
    ensure!(
        stuck.load(Ordering::Relaxed) == 2,
        "the stuck job was tried again"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_always_fails_ends_dead_and_told() -> Result<()> {
    let mut topology = Topology::embedded()?.with_ack_wait(Duration::from_secs(5));
    for consumer in &mut topology.consumers {
        if consumer.stream == PACKAGES {
            consumer
                .config
                .insert("max_deliver".to_owned(), Value::from(2));
        }
    }
    let fleet = FleetBus::start_with(&need!("nats-server"), topology).await?;
    let stop = CancellationToken::new();
    let worker = start(&fleet, settings("ingestor"), &stop, |_job| async move {
        Err(JobError::Retry {
            after: Duration::ZERO,
            reason: "registry r.example is away".to_owned(),
        })
    })
    .await?;
    let (bus, publisher, board) = fleet.member("ingestor", &stop).await?;
    let event = submitted("demo");
    submit(&publisher, &event).await?;
    let status = eventually("the end", LIMIT, || async {
        Ok(board
            .package("demo")
            .filter(|status| status.state() == LevelState::Dead))
    })
    .await?;
    ensure!(
        status.reason.contains("registry r.example is away"),
        "{}",
        status.reason
    );
    let rejected = package_events(&bus, subject::REJECTED).await?;
    ensure!(rejected.len() == 1);
    ensure!(rejected[0].rejection.clone().unwrap_or_default().code() == RejectionCode::Exhausted);
    let reader = fleet.connect("subscriber").await?;
    let dead = messages(&reader, "QUENCH_DEAD").await?;
    ensure!(dead.len() == 1 && dead[0].2 == event.encode_to_vec());
    stop.cancel();
    worker.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_worker_gives_its_job_back_at_once() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(30)).await?;
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let hasty = WorkerSettings {
        grace: Duration::from_millis(200),
        ..settings("ingestor")
    };
    let (begun, mut has_begun) = tokio::sync::watch::channel(false);
    let leaving = start(&fleet, hasty, &first, move |job| {
        begun.send_replace(true);
        async move {
            job.cancel.cancelled().await;
            Err(JobError::Retry {
                after: Duration::ZERO,
                reason: "cancelled".to_owned(),
            })
        }
    })
    .await?;
    let (bus, publisher, _board) = fleet.member("ingestor", &second).await?;
    submit(&publisher, &submitted("demo")).await?;
    has_begun.wait_for(|begun| *begun).await?;
    first.cancel();
    let since = Instant::now();
    leaving.await?;
    let staying = start(&fleet, settings("ingestor"), &second, |job| async move {
        Ok(integrated(&job))
    })
    .await?;
    eventually("the other worker's event", LIMIT, || async {
        let told = package_events(&bus, subject::package(Level::Integrated)).await?;
        Ok((told.len() == 1).then_some(()))
    })
    .await?;
    ensure!(
        since.elapsed() < Duration::from_secs(20),
        "the job waited for its ack_wait"
    );
    second.cancel();
    staying.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_after_the_server_was_killed() -> Result<()> {
    let mut fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(2)).await?;
    let stop = CancellationToken::new();
    let worker = start(&fleet, settings("ingestor"), &stop, |job| async move {
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(integrated(&job))
    })
    .await?;
    let (bus, publisher, board) = fleet.member("ingestor", &stop).await?;
    for package in ["one", "two", "three", "four", "five", "six"] {
        submit(&publisher, &submitted(package)).await?;
    }
    fleet.server.kill()?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    fleet.server.restart()?;
    eventually("all six", Duration::from_secs(60), || async {
        let done = board.packages("", 100).into_iter().filter(|package| {
            package
                .levels
                .first()
                .is_some_and(|level| level.state() == LevelState::Done)
        });
        Ok((done.count() == 6).then_some(()))
    })
    .await?;
    let told = package_events(&bus, subject::package(Level::Integrated)).await?;
    ensure!(told.len() == 6, "{} events for six packages", told.len());
    stop.cancel();
    worker.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_deleted_live_is_noticed_and_found_again() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(2)).await?;
    let stop = CancellationToken::new();
    let (bus, publisher, board) = fleet.member("ingestor", &stop).await?;
    let worker = Worker::bind(
        &bus,
        &publisher,
        &board,
        &fleet.topology,
        settings("ingestor"),
        |job: Job| async move { Ok(integrated(&job)) },
    )
    .await?;
    let running = tokio::spawn(worker.run(stop.clone()));
    let admin = fleet.connect("admin").await?;
    admin
        .ask(
            &format!("CONSUMER.DELETE.{PACKAGES}.ingestor"),
            &Value::Null,
        )
        .await?;
    let problem = eventually("unreadiness", LIMIT, || async { Ok(bus.health.problem()) }).await?;
    ensure!(problem.contains("QUENCH_PACKAGES/ingestor"), "{problem}");
    provision(&admin, &fleet.topology).await?;
    submit(&publisher, &submitted("demo")).await?;
    eventually("work", LIMIT, || async {
        let told = package_events(&bus, subject::package(Level::Integrated)).await?;
        Ok((told.len() == 1).then_some(()))
    })
    .await?;
    ensure!(bus.health.problem().is_none());
    stop.cancel();
    running.await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_differs_is_refused_at_bind() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(5)).await?;
    let bus = fleet.connect("scanner").await?;
    let mut wanted = fleet
        .topology
        .consumer(PACKAGES, "scanner")
        .context("no such consumer")?
        .clone();
    ensure!(bus.check(&wanted).await? == Duration::from_secs(5));
    wanted.config.insert(
        "filter_subject".to_owned(),
        Value::from("quench.v1.package.operable"),
    );
    let error = bus.check(&wanted).await.unwrap_err().to_string();
    ensure!(error.contains("filter_subject"), "{error}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_is_a_snapshot_and_then_every_change() -> Result<()> {
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(5)).await?;
    let stop = CancellationToken::new();
    let (_bus, _publisher, board) = fleet.member("ingestor", &stop).await?;
    let write = async |package: String| {
        board
            .write_submission(SubmissionStatus {
                package,
                ..SubmissionStatus::default()
            })
            .await
    };
    // More than one page of direct gets.
    for number in 0..300 {
        write(format!("p{number:03}")).await?;
    }
    let (_late_bus, _late_publisher, late) = fleet.member("minimizer", &stop).await?;
    let mut watch = late.watch(None);
    ensure!(watch.snapshot.len() == 300 && watch.sequence == 300);
    ensure!(late.packages("p100", 2)[0].package == "p101");
    for number in 0..50 {
        write(format!("q{number}")).await?;
    }
    for expected in 301..=350 {
        let change = tokio::time::timeout(LIMIT, watch.changes.recv()).await??;
        ensure!(
            change.sequence == expected,
            "{} after {expected}",
            change.sequence
        );
    }
    stop.cancel();
    Ok(())
}

/// Prints, asserts only that nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_do_nothing_show_the_overhead() -> Result<()> {
    const JOBS: u32 = 2_000;
    let fleet = FleetBus::start(&need!("nats-server"), Duration::from_secs(30)).await?;
    let stop = CancellationToken::new();
    let (bus, publisher, board) = fleet.member("ingestor", &stop).await?;
    for number in 0..JOBS {
        submit(&publisher, &submitted(&format!("p{number}"))).await?;
    }
    let done = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&done);
    let wide = WorkerSettings {
        concurrency: 64,
        level: None,
        ..settings("ingestor")
    };
    let worker = Worker::bind(
        &bus,
        &publisher,
        &board,
        &fleet.topology,
        wide,
        move |job: Job| {
            let done = Arc::clone(&counted);
            async move {
                let answer = Answer {
                    findings: Vec::new(),
                    ..integrated(&job)
                };
                done.fetch_add(1, Ordering::Relaxed);
                Ok(answer)
            }
        },
    )
    .await?;
    let begun = Instant::now();
    let running = tokio::spawn(worker.run(stop.clone()));
    eventually("all jobs", Duration::from_secs(120), || async {
        Ok((done.load(Ordering::Relaxed) >= JOBS).then_some(()))
    })
    .await?;
    let rate = f64::from(JOBS) / begun.elapsed().as_secs_f64();
    println!("{rate:.0} jobs/s that do nothing (64 at once, file storage, one worker)");
    stop.cancel();
    running.await?;
    let info = bus.ask("STREAM.INFO.QUENCH_PACKAGES", &Value::Null).await?;
    let messages = info.pointer("/state/messages").and_then(Value::as_u64);
    ensure!(messages == Some(u64::from(JOBS) * 2), "{messages:?}");
    Ok(())
}
