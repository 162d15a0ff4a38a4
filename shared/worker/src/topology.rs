//! Streams, consumers and users of the fleet, as `deploy/nats` describes them.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value};

/// Stream of package events.
pub const PACKAGES: &str = "QUENCH_PACKAGES";
/// Stream of finding events.
pub const FINDINGS: &str = "QUENCH_FINDINGS";
/// Stream of messages nobody could handle.
pub const DEAD: &str = "QUENCH_DEAD";
/// Stream of the server's advisories about given-up messages.
pub const ADVISORIES: &str = "QUENCH_ADVISORIES";
/// Stream behind the bucket of package states.
pub const STATUS: &str = "KV_quench_status";
/// Subject prefix of that bucket's keys.
pub const STATUS_KEY: &str = "$KV.quench_status.";
/// Subject prefix on which the server tells every change of that bucket.
pub const STATUS_CHANGE: &str = "quench.v1.status.";

const STREAMS: &str = include_str!("../../../deploy/nats/streams.toml");
const CONSUMERS: &str = include_str!("../../../deploy/nats/consumers.toml");
const USERS: &str = include_str!("../../../deploy/nats/users.toml");

/// Name of the durable consumer that follows what `service` gave up.
pub fn dead_consumer(service: &str) -> String {
    format!("{service}-dead")
}

/// What has to exist on the server, and who may do what.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Streams, in the order they are made.
    pub streams: Vec<Stream>,
    /// Durable consumers.
    pub consumers: Vec<Consumer>,
    /// Account everything lives in.
    pub account: String,
    /// Users of that account.
    pub users: Vec<User>,
}

/// A stream.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Its name.
    pub name: String,
    /// Its configuration as the JetStream API takes it.
    pub config: Map<String, Value>,
}

/// A durable pull consumer.
#[derive(Debug, Clone)]
pub struct Consumer {
    /// Stream it reads.
    pub stream: String,
    /// Its name.
    pub name: String,
    /// Its configuration as the JetStream API takes it.
    pub config: Map<String, Value>,
}

/// A user and what it may do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Its name: that of the service.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Subjects it may publish to, beside what `consume` and `read` imply.
    pub publish: Vec<String>,
    /// Subjects it may subscribe to, beside its inbox.
    pub subscribe: Vec<String>,
    /// Consumers it is bound to, `STREAM/consumer`.
    pub consume: Vec<String>,
    /// Streams it reads by sequence.
    pub read: Vec<String>,
}

/// Why the description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// A file cannot be read.
    #[error("cannot read {file}: {source}")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what it should be.
    #[error("{file}: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, and where.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StreamsFile {
    stream: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsumersFile {
    consumer: Vec<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UsersFile {
    account: String,
    user: Vec<User>,
}

/// Fields whose value is a duration with a unit here and a number of nanoseconds in the API.
const DURATIONS: [&str; 4] = [
    "max_age",
    "duplicate_window",
    "ack_wait",
    "inactive_threshold",
];

impl Topology {
    /// The description this build was made with.
    ///
    /// # Errors
    /// When it cannot be read; a test keeps that from happening.
    pub fn embedded() -> Result<Self, TopologyError> {
        Self::parse(STREAMS, CONSUMERS, USERS)
    }

    /// The description in a folder, in the form of `deploy/nats`.
    ///
    /// # Errors
    /// When a file is missing or wrong.
    pub fn load(folder: &Path) -> Result<Self, TopologyError> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read_to_string(&path).map_err(|source| TopologyError::Read {
                file: path.display().to_string(),
                source,
            })
        };
        Self::parse(
            &read("streams.toml")?,
            &read("consumers.toml")?,
            &read("users.toml")?,
        )
    }

    fn parse(streams: &str, consumers: &str, users: &str) -> Result<Self, TopologyError> {
        let streams: StreamsFile = from_toml("streams.toml", streams)?;
        let consumers: ConsumersFile = from_toml("consumers.toml", consumers)?;
        let users: UsersFile = from_toml("users.toml", users)?;
        Ok(Self {
            streams: streams
                .stream
                .into_iter()
                .map(|table| {
                    let config = in_nanoseconds("streams.toml", table)?;
                    let name = text("streams.toml", &config, "name")?;
                    Ok(Stream { name, config })
                })
                .collect::<Result<_, _>>()?,
            consumers: consumers
                .consumer
                .into_iter()
                .map(|table| {
                    let mut config = in_nanoseconds("consumers.toml", table)?;
                    let stream = text("consumers.toml", &config, "stream")?;
                    let name = text("consumers.toml", &config, "name")?;
                    config.remove("stream");
                    Ok(Consumer {
                        stream,
                        name,
                        config,
                    })
                })
                .collect::<Result<_, _>>()?,
            account: users.account,
            users: users.user,
        })
    }

    /// The consumer of `stream` that is called `name`.
    pub fn consumer(&self, stream: &str, name: &str) -> Option<&Consumer> {
        self.consumers
            .iter()
            .find(|consumer| consumer.stream == stream && consumer.name == name)
    }

    /// The same with another `ack_wait` for every consumer of package events. Tests use a short one, installations with a
    /// slow network a long one.
    #[must_use]
    pub fn with_ack_wait(mut self, ack_wait: Duration) -> Self {
        for consumer in &mut self.consumers {
            let nanoseconds = u64::try_from(ack_wait.as_nanos()).unwrap_or(u64::MAX);
            consumer
                .config
                .insert("ack_wait".to_owned(), Value::from(nanoseconds));
        }
        self
    }
}

impl User {
    /// Prefix of the subjects answers to this user come on.
    pub fn inbox(&self) -> String {
        inbox(&self.name)
    }

    /// Everything this user may publish to, sorted.
    pub fn may_publish(&self) -> Vec<String> {
        let mut subjects = self.publish.clone();
        for bound in &self.consume {
            let (stream, consumer) = bound.split_once('/').unwrap_or((bound, "*"));
            subjects.push(format!("$JS.API.CONSUMER.INFO.{stream}.{consumer}"));
            subjects.push(format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"));
            subjects.push(format!("$JS.ACK.{stream}.{consumer}.>"));
        }
        for stream in &self.read {
            subjects.push(format!("$JS.API.STREAM.INFO.{stream}"));
            subjects.push(format!("$JS.API.DIRECT.GET.{stream}"));
        }
        subjects.sort();
        subjects.dedup();
        subjects
    }

    /// Everything this user may subscribe to, sorted.
    pub fn may_subscribe(&self) -> Vec<String> {
        let mut subjects = self.subscribe.clone();
        subjects.push(format!("{}.>", self.inbox()));
        subjects.sort();
        subjects.dedup();
        subjects
    }
}

/// Prefix of the subjects answers to a user come on.
pub fn inbox(user: &str) -> String {
    format!("_INBOX_{user}")
}

/// Whether every subject that matches `subject` matches `pattern` (wildcards `*` and `>` as in NATS).
pub fn covers(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    let mut pattern = pattern.split('.');
    loop {
        match (pattern.next(), subject.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(wanted), Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
}

fn from_toml<T: serde::de::DeserializeOwned>(file: &str, text: &str) -> Result<T, TopologyError> {
    toml::from_str(text).map_err(|error| TopologyError::Malformed {
        file: file.to_owned(),
        reason: error.to_string(),
    })
}

fn text(file: &str, table: &Map<String, Value>, key: &str) -> Result<String, TopologyError> {
    table
        .get(key)
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| TopologyError::Malformed {
            file: file.to_owned(),
            reason: format!("an entry has no {key}"),
        })
}

fn in_nanoseconds(
    file: &str,
    mut table: Map<String, Value>,
) -> Result<Map<String, Value>, TopologyError> {
    for key in DURATIONS {
        if let Some(value) = table.get_mut(key) {
            let nanoseconds = value
                .as_str()
                .and_then(parse_duration)
                .and_then(|duration| u64::try_from(duration.as_nanos()).ok())
                .ok_or_else(|| TopologyError::Malformed {
                    file: file.to_owned(),
                    reason: format!("{key}: {value} is not a duration; write 30s, 5m, 1h or 90d"),
                })?;
            *value = Value::from(nanoseconds);
        }
    }
    Ok(table)
}

/// Reads a duration written as a whole number with the unit `ms`, `s`, `m`, `h` or `d`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use quench_model::Level;
    use quench_proto::subject;

    use super::*;

    #[test]
    fn every_level_has_its_consumers_and_its_user() {
        let topology = Topology::embedded().unwrap();
        for level in Level::ALL {
            let service = level.service();
            let consumer = topology.consumer(PACKAGES, service).unwrap();
            assert_eq!(consumer.config["filter_subject"], subject::input(level));
            assert_eq!(consumer.config["ack_policy"], "explicit");
            assert!(!consumer.config.contains_key("backoff"));
            assert!(
                topology
                    .consumer(ADVISORIES, &dead_consumer(service))
                    .is_some()
            );
            let user = topology.users.iter().find(|u| u.name == service).unwrap();
            let publish = user.may_publish();
            let may = |s: &str| publish.iter().any(|pattern| covers(pattern, s));
            assert!(may(subject::package(level)));
            assert!(may(&format!("{STATUS_KEY}{}.a.b", level.name())));
            assert!(!may(&format!("{STATUS_CHANGE}{}.a", level.name())));
            for other in Level::ALL.into_iter().filter(|other| *other != level) {
                assert!(!may(subject::package(other)), "{service} {other}");
            }
            assert!(!may("$JS.API.CONSUMER.CREATE.KV_quench_status"));
        }
    }

    #[test]
    fn one_event_subject_lives_in_one_stream() {
        let topology = Topology::embedded().unwrap();
        for event in [
            subject::SUBMITTED,
            subject::REJECTED,
            &subject::dead("scanner"),
        ] {
            let streams = topology
                .streams
                .iter()
                .filter(|stream| {
                    stream.config["subjects"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .any(|pattern| covers(pattern.as_str().unwrap(), event))
                })
                .count();
            assert_eq!(streams, 1, "{event}");
        }
    }

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(parse_duration("90d"), Some(Duration::from_secs(7_776_000)));
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
        for bad in ["", "30", "s", "-1s", "1 s", "1w", "99999999999999999999d"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn wildcards_cover_as_the_server_says() {
        assert!(covers("a.>", "a.b.c"));
        assert!(!covers("a.>", "a"));
        assert!(covers("a.*", "a.b"));
        assert!(!covers("a.*", "a.b.c"));
        assert!(!covers("a.*", "a.>"));
        assert!(covers("a.>", "a.*"));
    }
}
