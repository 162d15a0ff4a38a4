//! What the file and the variables say, and what follows from it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use quench_content::registry::{Credentials, RegistryAccess};
use quench_proto::subject::Tenant;
use quench_telemetry::{LogFormat, Otlp, Settings};
use quench_worker::topology::parse_duration;
use quench_worker::{BodyFormat, BusSettings};
use serde::Deserialize;

use super::{Config, ConfigError, GrpcConfig, StoreConfig, Tls, wrong};

/// What was written, in the form of the file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Written {
    tenant: Option<String>,
    helm: Option<PathBuf>,
    nats: WrittenNats,
    events: WrittenEvents,
    grpc: WrittenGrpc,
    store: WrittenStore,
    registry: WrittenRegistry,
    log: WrittenLog,
    otlp: WrittenOtlp,
    job: WrittenJob,
    reconcile: WrittenReconcile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenNats {
    url: Option<String>,
    seed_file: Option<PathBuf>,
    ca: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    connect_within: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenEvents {
    format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenGrpc {
    listen: Option<String>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    client_ca: Option<PathBuf>,
    plaintext: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenStore {
    directory: Option<PathBuf>,
    repository: Option<String>,
    cache: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenRegistry {
    plain_http: Option<String>,
    ca: Option<PathBuf>,
    credentials_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenLog {
    filter: Option<String>,
    format: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenOtlp {
    endpoint: Option<String>,
    ca: Option<PathBuf>,
    instance: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenJob {
    concurrency: Option<usize>,
    deadline: Option<String>,
    stall: Option<String>,
    grace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenReconcile {
    every: Option<String>,
}

impl Written {
    pub(super) fn resolve(self, service: &'static str) -> Result<Config, ConfigError> {
        let bus = self.nats.resolve(service)?;
        let grpc = self.grpc.resolve()?;
        let store = self.store.resolve()?;
        let (log, otlp) = (self.log, self.otlp);
        let filter = log.filter.unwrap_or_else(|| "info".to_owned());
        quench_telemetry::check_filter(&filter)
            .map_err(|error| wrong("log.filter", error.to_string()))?;
        let format = log
            .format
            .map_or(Ok(LogFormat::default()), |text| text.parse())
            .map_err(|error| wrong("log.format", error.to_string()))?;
        let telemetry = Settings {
            service: format!("quench-{service}"),
            instance: otlp.instance,
            filter,
            format,
            otlp: otlp
                .endpoint
                .map(|endpoint| {
                    if endpoint.starts_with("http://") || endpoint.starts_with("https://") {
                        Ok(Otlp {
                            endpoint,
                            ca: otlp.ca.map(|f| readable("otlp.ca", f)).transpose()?,
                        })
                    } else {
                        Err(wrong(
                            "otlp.endpoint",
                            format!("{endpoint:?} is no URL; write http://host:4317 or https://…"),
                        ))
                    }
                })
                .transpose()?,
        };
        let events = match self.events.format.as_deref() {
            None | Some("protobuf") => BodyFormat::Protobuf,
            Some("json") => BodyFormat::Json,
            Some(other) => {
                return Err(wrong(
                    "events.format",
                    format!("{other:?} is not a format; write protobuf or json"),
                ));
            }
        };
        let concurrency = self.job.concurrency.unwrap_or(2);
        if !(1..=1024).contains(&concurrency) {
            return Err(wrong(
                "job.concurrency",
                format!("{concurrency} is out of range; write 1 to 1024"),
            ));
        }
        Ok(Config {
            service,
            tenant: self
                .tenant
                .map_or(Ok(Tenant::default()), |text| text.parse())
                .map_err(|error| wrong("tenant", error.to_string()))?,
            bus,
            events,
            grpc,
            store,
            registries: self.registry.resolve()?,
            telemetry,
            concurrency,
            deadline: duration("job.deadline", self.job.deadline, 3600)?,
            stall: duration("job.stall", self.job.stall, 600)?,
            grace: duration("job.grace", self.job.grace, 25)?,
            reconcile_every: duration("reconcile.every", self.reconcile.every, 300)?,
            helm: self.helm.map(|path| readable("helm", path)).transpose()?,
        })
    }
}

impl WrittenNats {
    fn resolve(self, service: &str) -> Result<BusSettings, ConfigError> {
        let url = self.url.ok_or_else(|| {
            wrong(
                "nats.url",
                "missing; write nats://host:4222 or tls://host:4222",
            )
        })?;
        let schemes = ["nats://", "tls://"];
        if !schemes.iter().any(|scheme| url.starts_with(scheme)) {
            return Err(wrong(
                "nats.url",
                format!("{url:?} is no URL; write nats://host:4222 or tls://host:4222"),
            ));
        }
        let seed = self
            .seed_file
            .map(|file| {
                std::fs::read_to_string(&file)
                    .map(|text| text.trim().to_owned())
                    .map_err(|error| {
                        wrong(
                            "nats.seed_file",
                            format!("cannot read {}: {error}", file.display()),
                        )
                    })
            })
            .transpose()?;
        let certificate = pair("nats.certificate", self.certificate, "nats.key", self.key)?;
        Ok(BusSettings {
            url,
            user: service.to_owned(),
            seed,
            ca: self.ca.map(|file| readable("nats.ca", file)).transpose()?,
            certificate,
            connect_within: duration("nats.connect_within", self.connect_within, 60)?,
        })
    }
}

impl WrittenGrpc {
    fn resolve(self) -> Result<GrpcConfig, ConfigError> {
        let text = self.listen.unwrap_or_else(|| "127.0.0.1:0".to_owned());
        let listen: SocketAddr = text.parse().map_err(|_| {
            wrong(
                "grpc.listen",
                format!("{text:?} is not an address; write 0.0.0.0:7443"),
            )
        })?;
        let tls = pair("grpc.certificate", self.certificate, "grpc.key", self.key)?;
        if tls.is_none() && !listen.ip().is_loopback() && self.plaintext != Some(true) {
            return Err(wrong(
                "grpc.certificate",
                format!(
                    "missing, and {listen} can be reached from outside; give one, or set grpc.plaintext = true where something else encrypts"
                ),
            ));
        }
        if tls.is_none() && self.client_ca.is_some() {
            return Err(wrong(
                "grpc.client_ca",
                "means nothing without grpc.certificate",
            ));
        }
        let client_ca = self
            .client_ca
            .map(|file| readable("grpc.client_ca", file))
            .transpose()?;
        Ok(GrpcConfig {
            listen,
            tls: tls.map(|(certificate, key)| Tls {
                certificate,
                key,
                client_ca,
            }),
        })
    }
}

impl WrittenStore {
    fn resolve(self) -> Result<StoreConfig, ConfigError> {
        match (self.directory, self.repository) {
            (Some(directory), None) => Ok(StoreConfig::Directory(directory)),
            (None, Some(repository)) => Ok(StoreConfig::Registry {
                repository,
                cache: self
                    .cache
                    .ok_or_else(|| wrong("store.cache", "missing; name a folder for the cache"))?,
            }),
            (Some(_), Some(_)) => Err(wrong(
                "store.repository",
                "given together with store.directory; choose one",
            )),
            (None, None) => Err(wrong(
                "store.repository",
                "missing; write host[:port]/path, or store.directory for a folder",
            )),
        }
    }
}

impl WrittenRegistry {
    fn resolve(self) -> Result<RegistryAccess, ConfigError> {
        Ok(RegistryAccess {
            insecure: self
                .plain_http
                .map(|hosts| {
                    hosts
                        .split(',')
                        .map(|host| host.trim().to_owned())
                        .filter(|host| !host.is_empty())
                        .collect()
                })
                .unwrap_or_default(),
            ca_file: self
                .ca
                .map(|file| readable("registry.ca", file))
                .transpose()?,
            credentials: self
                .credentials_file
                .map(|file| readable("registry.credentials_file", file))
                .transpose()?
                .map_or(Credentials::default(), Credentials::File),
            ..RegistryAccess::default()
        })
    }
}

fn duration(key: &str, text: Option<String>, default: u64) -> Result<Duration, ConfigError> {
    match text {
        None => Ok(Duration::from_secs(default)),
        Some(text) => parse_duration(&text)
            .filter(|duration| !duration.is_zero())
            .ok_or_else(|| {
                wrong(
                    key,
                    format!("{text:?} is not a duration; write 30s, 5m or 1h"),
                )
            }),
    }
}

fn readable(key: &str, file: PathBuf) -> Result<PathBuf, ConfigError> {
    match std::fs::File::open(&file) {
        Ok(_) => Ok(file),
        Err(error) => Err(wrong(
            key,
            format!("cannot read {}: {error}", file.display()),
        )),
    }
}

fn pair(
    first_key: &str,
    first: Option<PathBuf>,
    second_key: &str,
    second: Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, ConfigError> {
    match (first, second) {
        (None, None) => Ok(None),
        (Some(first), Some(second)) => Ok(Some((
            readable(first_key, first)?,
            readable(second_key, second)?,
        ))),
        (Some(_), None) => Err(wrong(
            second_key,
            format!("missing, but {first_key} is given"),
        )),
        (None, Some(_)) => Err(wrong(
            first_key,
            format!("missing, but {second_key} is given"),
        )),
    }
}
