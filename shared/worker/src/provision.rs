//! Making streams and consumers as described: the admin step.

use serde_json::{Value, json};

use crate::bus::{Bus, BusError, same};
use crate::topology::Topology;

/// What the admin step did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// Which stream or consumer.
    pub what: String,
    /// Whether it was made now, rather than brought up to date.
    pub created: bool,
}

/// Makes or updates every stream and consumer, and checks that the server echoes all that was asked for. Running it
/// again changes nothing.
///
/// # Errors
/// What the server refuses, or echoes otherwise than asked.
pub async fn provision(bus: &Bus, topology: &Topology) -> Result<Vec<Provisioned>, BusError> {
    let mut done = Vec::new();
    for stream in &topology.streams {
        let known = bus
            .ask(&format!("STREAM.INFO.{}", stream.name), &Value::Null)
            .await;
        let created = match known {
            Ok(_) => false,
            Err(BusError::Request { reason, .. }) if reason.contains("not found") => true,
            Err(error) => return Err(error),
        };
        let verb = if created { "CREATE" } else { "UPDATE" };
        let request = format!("STREAM.{verb}.{}", stream.name);
        let answer = bus
            .ask(&request, &Value::Object(stream.config.clone()))
            .await?;
        let found = answer.get("config").cloned().unwrap_or_default();
        for (field, wanted) in &stream.config {
            same(&format!("stream {}", stream.name), field, wanted, &found)?;
        }
        done.push(Provisioned {
            what: format!("stream {}", stream.name),
            created,
        });
    }
    for consumer in &topology.consumers {
        let name = format!("{}/{}", consumer.stream, consumer.name);
        let known = bus
            .ask(
                &format!("CONSUMER.INFO.{}.{}", consumer.stream, consumer.name),
                &Value::Null,
            )
            .await;
        let created = known.is_err();
        let answer = bus
            .ask(
                &format!("CONSUMER.CREATE.{}.{}", consumer.stream, consumer.name),
                &json!({ "stream_name": consumer.stream, "config": consumer.config }),
            )
            .await?;
        let found = answer.get("config").cloned().unwrap_or_default();
        for (field, wanted) in &consumer.config {
            same(&format!("consumer {name}"), field, wanted, &found)?;
        }
        done.push(Provisioned {
            what: format!("consumer {name}"),
            created,
        });
    }
    Ok(done)
}
