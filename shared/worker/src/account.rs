//! What is said of a job: its status, and the event that ends it.

use quench_proto::v1::{LevelStatus, PackageEvent, Rejection, RejectionCode};

/// The status of a level that works on `event`, its state still to be filled in.
pub(crate) fn level_status(event: &PackageEvent, delivery: u32) -> LevelStatus {
    LevelStatus {
        package: event.package.clone(),
        version: event.version.clone(),
        run: event.run.clone(),
        input_digest: if event.revision_digest.is_empty() {
            event.input_digest.clone()
        } else {
            event.revision_digest.clone()
        },
        delivery,
        ..LevelStatus::default()
    }
}

/// The event that says that a job's package goes no further.
pub(crate) fn rejection(
    event: &PackageEvent,
    level: i32,
    code: RejectionCode,
    reason: String,
    event_id: &str,
) -> PackageEvent {
    let status = level_status(event, 0);
    PackageEvent {
        package: event.package.clone(),
        version: event.version.clone(),
        level,
        input_digest: status.input_digest,
        rejection: Some(Rejection {
            code: code.into(),
            reason,
            event_id: event_id.to_owned(),
        }),
        run: event.run.clone(),
        ..PackageEvent::default()
    }
}
