//! Configuration of a service: a TOML file and `QUENCH_*` variables, checked before anything starts.
//!
//! What was written (`Written`, every field optional) and what holds ([`Config`], everything decided) are different types,
//! so nothing behind the start has to think of defaults. The key `nats.url` is the variable `QUENCH_NATS_URL`; a variable wins
//! over the file.

mod written;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quench_chart::render::Helm;
use quench_content::registry::RegistryAccess;
use quench_proto::subject::Tenant;
use quench_telemetry::{Settings, Telemetry};
use quench_worker::{BodyFormat, BusSettings};

use crate::StartError;
use written::Written;

/// A setting that cannot be used. Ends the process with 64 (`EX_USAGE` of sysexits.h).
#[derive(Debug, thiserror::Error)]
#[error("configuration: {key}: {reason}")]
pub struct ConfigError {
    /// The key, as the file writes it.
    pub key: String,
    /// What is wrong and what to write.
    pub reason: String,
}

fn wrong(key: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError {
        key: key.to_owned(),
        reason: reason.into(),
    }
}

/// Everything a service needs to know to start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Name of the service.
    pub service: &'static str,
    /// Whom packages submitted here belong to.
    pub tenant: Tenant,
    /// How the bus is reached.
    pub bus: BusSettings,
    /// How event bodies are written.
    pub events: BodyFormat,
    /// Where gRPC is served.
    pub grpc: GrpcConfig,
    /// Where content is kept.
    pub store: StoreConfig,
    /// How registries, of the store and of images, are reached.
    pub registries: RegistryAccess,
    /// Logs and traces.
    pub telemetry: Settings,
    /// Jobs at once.
    pub concurrency: usize,
    /// Longest a job may take.
    pub deadline: Duration,
    /// Longest a job may show no step.
    pub stall: Duration,
    /// Longest running jobs may go on after SIGTERM.
    pub grace: Duration,
    /// How often the store is compared with the bus.
    pub reconcile_every: Duration,
    /// The helm program, where one is named.
    pub helm: Option<PathBuf>,
}

/// Where gRPC is served.
#[derive(Debug, Clone)]
pub struct GrpcConfig {
    /// Address and port; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Certificate and key, and who may call.
    pub tls: Option<Tls>,
}

/// A certificate, and who may call.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Certificate (PEM).
    pub certificate: PathBuf,
    /// Its key (PEM).
    pub key: PathBuf,
    /// Authority (PEM) every caller's certificate must come from; without one nobody is asked for a certificate.
    pub client_ca: Option<PathBuf>,
}

/// Where content is kept.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// A folder, shared by all services of one machine.
    Directory(PathBuf),
    /// A repository of a registry, with a folder as its cache.
    Registry {
        /// `host[:port]/path`.
        repository: String,
        /// The cache.
        cache: PathBuf,
    },
}

/// Every key there is. Variables are looked up for these alone, so that other `QUENCH_*` variables (of the command line, of
/// tests) mean nothing here.
const KEYS: [&str; 30] = [
    "tenant",
    "helm",
    "nats.url",
    "nats.seed_file",
    "nats.ca",
    "nats.certificate",
    "nats.key",
    "nats.connect_within",
    "events.format",
    "grpc.listen",
    "grpc.certificate",
    "grpc.key",
    "grpc.client_ca",
    "grpc.plaintext",
    "store.directory",
    "store.repository",
    "store.cache",
    "registry.plain_http",
    "registry.ca",
    "registry.credentials_file",
    "log.filter",
    "log.format",
    "otlp.endpoint",
    "otlp.ca",
    "otlp.instance",
    "job.concurrency",
    "job.deadline",
    "job.stall",
    "job.grace",
    "reconcile.every",
];

/// The variable of a key.
fn variable(key: &str) -> String {
    format!("QUENCH_{}", key.replace('.', "_").to_ascii_uppercase())
}

impl Config {
    /// The configuration of `service`: the file given by `--config FILE` or `QUENCH_CONFIG`, if one is, and the
    /// variables of this process.
    ///
    /// # Errors
    /// The first key that is unknown, missing or wrong.
    pub fn load(service: &'static str) -> Result<Self, ConfigError> {
        let file = file_argument(std::env::args_os().skip(1))?
            .or_else(|| std::env::var_os("QUENCH_CONFIG").map(PathBuf::from));
        Self::read(service, file.as_deref(), |name| std::env::var(name).ok())
    }

    /// What renders charts: the helm program configured, or the one `quench` itself would find.
    ///
    /// # Errors
    /// None is configured, and there is none to be found.
    pub fn renderer(&self) -> Result<Helm, StartError> {
        match &self.helm {
            Some(program) => Ok(Helm::at(program)),
            None => Helm::find().map_err(|error| StartError::Tool(error.to_string())),
        }
    }

    /// As [`Config::load`], of a given file and variables.
    ///
    /// # Errors
    /// The first key that is unknown, missing or wrong.
    pub fn read(
        service: &'static str,
        file: Option<&Path>,
        variable_value: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(file) = file {
            builder = builder.add_source(
                config::File::from(file)
                    .format(config::FileFormat::Toml)
                    .required(true),
            );
        }
        for key in KEYS {
            if let Some(value) = variable_value(&variable(key)) {
                builder = builder
                    .set_override(key, value)
                    .map_err(|error| wrong(key, error.to_string()))?;
            }
        }
        let place = file.map_or_else(|| "environment".to_owned(), |f| f.display().to_string());
        let written: Written = builder
            .build()
            .and_then(config::Config::try_deserialize)
            .map_err(|error| unreadable(&error, &place))?;
        written.resolve(service)
    }

    /// Starts logging and tracing.
    ///
    /// # Errors
    /// When a setting cannot be used.
    pub fn start_telemetry(&self) -> Result<Telemetry, ConfigError> {
        quench_telemetry::start(&self.telemetry).map_err(|error| wrong("otlp", error.to_string()))
    }
}

/// The key a reading error is about, where it names one.
fn unreadable(error: &config::ConfigError, place: &str) -> ConfigError {
    let text = error.to_string();
    let key = KEYS
        .iter()
        .find(|key| text.contains(&format!("`{key}`")))
        .map(|key| (*key).to_owned())
        .or_else(|| {
            // "unknown field `colour`, expected …"
            let (_, rest) = text.split_once("unknown field `")?;
            rest.split('`').next().map(str::to_owned)
        })
        .unwrap_or_else(|| place.to_owned());
    wrong(&key, format!("{text} ({place})"))
}

fn file_argument(
    mut arguments: impl Iterator<Item = OsString>,
) -> Result<Option<PathBuf>, ConfigError> {
    let usage = "give --config FILE, or nothing";
    match arguments.next() {
        None => Ok(None),
        Some(flag) if flag == "--config" => match (arguments.next(), arguments.next()) {
            (Some(file), None) => Ok(Some(PathBuf::from(file))),
            _ => Err(wrong("--config", usage)),
        },
        Some(other) => Err(wrong(
            &other.to_string_lossy(),
            format!("unknown argument; {usage}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scanner.toml");
        std::fs::write(&file, text).unwrap();
        Config::read("scanner", Some(&file), |name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    const LEAST: &str =
        "[nats]\nurl = \"nats://127.0.0.1:4222\"\n[store]\ndirectory = \"/tmp/s\"\n";

    #[test]
    fn a_variable_wins_over_the_file() {
        let config = read(
            LEAST,
            &[
                ("QUENCH_NATS_URL", "tls://bus:4222"),
                ("QUENCH_JOB_CONCURRENCY", "7"),
                ("QUENCH_JOB_GRACE", "2m"),
                ("QUENCH_CONFORMANCE", "elsewhere"),
            ],
        )
        .unwrap();
        assert_eq!(config.bus.url, "tls://bus:4222");
        assert_eq!(config.concurrency, 7);
        assert_eq!(config.grace, Duration::from_secs(120));
        assert_eq!(config.tenant.as_str(), "default");
    }

    #[test]
    fn a_wrong_setting_is_named_by_its_key() {
        let refused = |text: &str, variables: &[(&str, &str)], key: &str| {
            let error = read(text, variables).unwrap_err();
            assert_eq!(error.key, key, "{error}");
        };
        refused("", &[], "nats.url");
        refused("[nats]\nurl = \"bus\"\n", &[], "nats.url");
        refused("[nats]\nurl = \"nats://b\"\n", &[], "store.repository");
        refused("[nats]\nurl = \"nats://b\"\ncolour = 1\n", &[], "colour");
        for (variable, value, key) in [
            ("QUENCH_JOB_CONCURRENCY", "many", "job.concurrency"),
            ("QUENCH_JOB_CONCURRENCY", "0", "job.concurrency"),
            ("QUENCH_JOB_DEADLINE", "30", "job.deadline"),
            ("QUENCH_GRPC_LISTEN", "here", "grpc.listen"),
            ("QUENCH_GRPC_LISTEN", "0.0.0.0:1", "grpc.certificate"),
            ("QUENCH_GRPC_CLIENT_CA", "/ca", "grpc.client_ca"),
            ("QUENCH_GRPC_KEY", "/key", "grpc.certificate"),
            ("QUENCH_NATS_CA", "/not/there", "nats.ca"),
            ("QUENCH_NATS_SEED_FILE", "/not/there", "nats.seed_file"),
            ("QUENCH_TENANT", "a.b", "tenant"),
            ("QUENCH_LOG_FORMAT", "xml", "log.format"),
            ("QUENCH_LOG_FILTER", "a=b=c", "log.filter"),
            ("QUENCH_OTLP_ENDPOINT", "collector", "otlp.endpoint"),
            ("QUENCH_EVENTS_FORMAT", "xml", "events.format"),
            ("QUENCH_STORE_REPOSITORY", "r/x", "store.repository"),
        ] {
            refused(LEAST, &[(variable, value)], key);
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error =
            Config::read("scanner", Some(Path::new("/no/such.toml")), |_| None).unwrap_err();
        assert!(error.to_string().contains("/no/such.toml"), "{error}");
    }

    #[test]
    fn the_example_of_a_configuration_shows_every_key() {
        let text: String = include_str!("../../../deploy/systemd/service.toml")
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(setting) if setting.contains(" = ") && !setting.contains(". Each") => setting,
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let written: config::Config = config::Config::builder()
            .add_source(config::File::from_str(&text, config::FileFormat::Toml))
            .build()
            .unwrap();
        for key in KEYS {
            assert!(written.get::<String>(key).is_ok(), "{key} is not shown");
        }
        let parsed: Result<Written, _> = written.try_deserialize();
        assert!(parsed.is_ok(), "{parsed:?}");
    }
}
