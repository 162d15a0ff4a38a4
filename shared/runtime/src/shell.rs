//! Starting, running and stopping a service.

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use quench_content::registry::RegistryConfig;
use quench_content::{DirectoryStore, RegistryStore, Store, StoreError};
use quench_package::{Context, EngineError, Outcome, Package, Submission};
use quench_proto::v1::status_service_server::{SERVICE_NAME, StatusServiceServer};
use quench_worker::topology::{Topology, TopologyError};
use quench_worker::{
    Answer, Bus, BusError, DeadLetters, Job, JobError, Publisher, StatusBoard, Worker,
    WorkerSettings,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, RoutesBuilder};

use crate::config::{Config, ConfigError, StoreConfig};
use crate::grpc;
use crate::level::Level;
use crate::outbox::Outbox;
use crate::reconcile::Reconciler;
use crate::status_service::StatusApi;

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The bus cannot be used.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The content store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The built-in description of the bus cannot be read.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// gRPC cannot be served.
    #[error("cannot serve gRPC at {listen}: {reason}")]
    Grpc {
        /// Where.
        listen: SocketAddr,
        /// What is wrong.
        reason: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A signal cannot be listened for.
    #[error("cannot listen for signals: {0}")]
    Signal(std::io::Error),
    /// A tool the engine needs is missing.
    #[error("{0}")]
    Tool(String),
}

impl StartError {
    /// The exit code, in the words of sysexits.h: 64 a wrong setting, 69 something needed is not there.
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) => 64,
            _ => 69,
        }
    }
}

/// Runs a service's `serve` to its end and gives the exit code of the process.
pub fn exit_code(serve: impl Future<Output = Result<(), StartError>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: no threads can be started: {error}");
            return ExitCode::from(71);
        }
    };
    let result = runtime.block_on(serve);
    // An engine that does not heed its cancellation must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(error.code())
        }
    }
}

/// All of a service that brings packages to `level`: settings, telemetry, shell, then the work that `engine` makes of the
/// settings, until the service stops.
///
/// # Errors
/// A setting that is wrong, or something that cannot be opened or reached.
pub async fn serve_packages<W, F>(
    service: &'static str,
    level: quench_model::Level,
    engine: impl FnOnce(&Config) -> Result<W, StartError>,
) -> Result<(), StartError>
where
    W: Fn(Package, Context) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Outcome, EngineError>> + 'static,
{
    let config = Config::load(service)?;
    let telemetry = config.start_telemetry()?;
    let work = engine(&config)?;
    let done = Shell::start(config).await?.run_packages(level, work).await;
    telemetry.shutdown().await;
    done
}

/// What every service has: its store, the bus, and where packages are.
pub struct Shell {
    /// What was configured.
    pub config: Config,
    /// The content store.
    pub store: Store,
    /// The bus.
    pub bus: Bus,
    /// Publishes as this service.
    pub publisher: Publisher,
    /// Where packages are.
    pub board: StatusBoard,
    /// Cancelled when the service is to stop.
    pub stop: CancellationToken,
    topology: Topology,
    tasks: JoinSet<()>,
    routes: RoutesBuilder,
    served: Vec<String>,
}

impl Shell {
    /// Opens the store, connects to the bus, and begins to follow the status bucket.
    ///
    /// # Errors
    /// What cannot be opened or reached.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let stop = CancellationToken::new();
        stop_on_signal(&stop)?;
        let store = open_store(&config)?;
        let topology = Topology::embedded()?;
        let bus = tokio::select! {
            bus = Bus::connect(&config.bus) => bus?,
            () = stop.cancelled() => return Err(StartError::Bus(BusError::Connect {
                url: config.bus.url.clone(),
                reason: "stopped while waiting for it".to_owned(),
            })),
        };
        let publisher = Publisher::new(&bus, config.service, config.events);
        let board = StatusBoard::new(&bus, &publisher);
        let mut tasks = JoinSet::new();
        let (follower, until) = (board.clone(), stop.clone());
        tasks.spawn(async move { follower.follow(until).await });
        let mut shell = Self {
            config,
            store,
            bus,
            publisher,
            board,
            stop,
            topology,
            tasks,
            routes: Routes::builder(),
            served: Vec::new(),
        };
        let status = StatusApi::new(&shell.board, &shell.stop);
        shell.serve(SERVICE_NAME, |routes| {
            routes.add_service(StatusServiceServer::new(status));
        });
        Ok(shell)
    }

    /// Serves the gRPC service called `name`, which `add` adds, beside the status.
    pub fn serve(&mut self, name: &str, add: impl FnOnce(&mut RoutesBuilder)) {
        add(&mut self.routes);
        self.served.push(name.to_owned());
    }

    async fn run_packages<W, F>(
        mut self,
        level: quench_model::Level,
        work: W,
    ) -> Result<(), StartError>
    where
        W: Fn(Package, Context) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Outcome, EngineError>> + 'static,
    {
        let service = Level::new(level, &self.store, &self.board);
        self.reconcile(service.outbox(), Some(level));
        self.run(Some(level), service.of_packages(work)).await
    }

    /// Brings submissions to the first level with `work`, until the service stops.
    ///
    /// # Errors
    /// As [`Shell::run`].
    pub async fn run_submissions<W, F>(mut self, work: W) -> Result<(), StartError>
    where
        W: Fn(Submission, Context) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Result<Outcome, EngineError>> + 'static,
    {
        let level = quench_model::Level::Integrated;
        let service = Level::new(level, &self.store, &self.board);
        self.reconcile(service.outbox(), Some(level));
        self.run(Some(level), service.of_submissions(work)).await
    }

    /// Runs something beside the worker until the service stops.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Keeps telling what `outbox` holds and the bus does not.
    pub fn reconcile(&mut self, outbox: &Outbox, level: Option<quench_model::Level>) {
        let reconciler = Reconciler::new(&self.bus, &self.publisher, &self.board, outbox, level);
        let (every, stop) = (self.config.reconcile_every, self.stop.clone());
        self.spawn(reconciler.run(every, stop));
    }

    /// Works until SIGTERM or Ctrl-C; then finishes what is running, gives the rest back, and closes the connection.
    ///
    /// # Errors
    /// When the consumer is not there or gRPC cannot be served.
    pub async fn run<H, F>(
        mut self,
        level: Option<quench_model::Level>,
        handler: H,
    ) -> Result<(), StartError>
    where
        H: Fn(Job) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Answer, JobError>> + Send + 'static,
    {
        let service = self.config.service;
        let settings = WorkerSettings {
            service: service.to_owned(),
            level,
            concurrency: self.config.concurrency,
            deadline: self.config.deadline,
            stall: self.config.stall,
            grace: self.config.grace,
        };
        let (bus, publisher, board) = (&self.bus, &self.publisher, &self.board);
        let worker = Worker::bind(bus, publisher, board, &self.topology, settings, handler).await?;
        let dead = DeadLetters::bind(bus, publisher, board, &self.topology, service, level).await?;
        let (reporter, health) = tonic_health::server::health_reporter();
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(quench_proto::DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .build_v1()
            .map_err(|error| StartError::Grpc {
                listen: self.config.grpc.listen,
                reason: error.to_string(),
            })?;
        self.routes.add_service(health).add_service(reflection);
        let routes = std::mem::take(&mut self.routes).routes();
        let serving = grpc::serve(&self.config.grpc, routes, self.stop.clone()).await?;
        self.tasks.spawn(serving);
        self.tasks.spawn(dead.run(self.stop.clone()));
        let mut names = std::mem::take(&mut self.served);
        names.push(String::new());
        self.tasks.spawn(grpc::tell_health(
            reporter,
            names,
            self.bus.clone(),
            self.board.clone(),
            self.stop.clone(),
        ));
        worker.run(self.stop.clone()).await;
        while self.tasks.join_next().await.is_some() {}
        self.bus.close().await;
        tracing::info!("stopped");
        Ok(())
    }
}

fn open_store(config: &Config) -> Result<Store, StoreError> {
    match &config.store {
        StoreConfig::Directory(root) => Ok(Store::Directory(DirectoryStore::open(root)?)),
        StoreConfig::Registry { repository, cache } => {
            let config = RegistryConfig {
                repository: repository.clone(),
                cache: cache.clone(),
                access: config.registries.clone(),
            };
            Ok(Store::Registry(RegistryStore::open(config)?))
        }
    }
}

/// Stops at the first SIGTERM or Ctrl-C.
fn stop_on_signal(stop: &CancellationToken) -> Result<(), StartError> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(StartError::Signal)?;
    let stop = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}
