//! Rendering a chart with helm.
//!
//! [`Helm`] is a helm program; [`Helm::render`] runs `helm template` over a [`Chart`] for a [`Request`] and
//! returns what came out as [`Document`]s. The program runs without the caller's environment, without a cluster, without
//! DNS, and within [`Limits`], because a chart is a program of somebody else.

mod output;
mod process;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::chart::{Chart, ChartError};

/// A helm program and the limits it runs within.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    limits: Limits,
    /// What takes the network away, and its arguments; empty where it stays.
    isolation: &'static [&'static str],
}

/// Bounds of one run of helm.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Wall-clock time; then the run is killed.
    pub time: Duration,
    /// CPU time in seconds.
    pub cpu_seconds: u64,
    /// Memory the Go runtime tries to stay below, in bytes.
    pub soft_memory: u64,
    /// Address space in bytes. Go reserves far more than it uses, so this lies far above `soft_memory`.
    pub address_space: u64,
    /// Bytes helm may print.
    pub output: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(120),
            cpu_seconds: 120,
            soft_memory: 1 << 30,
            address_space: 4 << 30,
            output: 256 << 20,
        }
    }
}

/// What to render a chart with. `Request::default()` renders the defaults as release `release-name` in namespace `default`.
#[derive(Debug, Clone)]
pub struct Request {
    /// Name of the release.
    pub release: String,
    /// Namespace of the release.
    pub namespace: String,
    /// Texts of values files, later over earlier.
    pub values: Vec<String>,
    /// `--set` expressions, over the values files.
    pub set: Vec<String>,
    /// Kubernetes version charts see.
    pub kube_version: Option<String>,
    /// API versions charts see beside Helm's own.
    pub api_versions: Vec<String>,
    /// Whether the files of `crds/` are part of the output.
    pub include_crds: bool,
    /// Whether charts see an upgrade rather than an installation.
    pub is_upgrade: bool,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            release: "release-name".to_owned(),
            namespace: "default".to_owned(),
            values: Vec::new(),
            set: Vec::new(),
            kube_version: None,
            api_versions: Vec::new(),
            include_crds: false,
            is_upgrade: false,
        }
    }
}

/// What a chart renders to, hooks included.
#[derive(Debug, Clone, PartialEq)]
pub struct Rendered {
    /// Everything helm printed.
    pub text: String,
    /// Its documents, in the order printed.
    pub documents: Vec<Document>,
}

/// One rendered document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Path of the template it comes from, beginning with the chart's name: `nginx/templates/deployment.yaml`.
    /// Empty where helm did not say.
    pub source: String,
    /// Its text, without the separator and the line that names the source.
    pub text: String,
    /// The object, as Kubernetes would read it; `None` for a document of comments alone.
    pub object: Option<Value>,
}

impl Rendered {
    /// Takes apart what helm printed for chart `name`.
    ///
    /// # Errors
    /// [`RenderError::Output`] where it is not YAML.
    pub fn parse(text: String, name: &str) -> Result<Self, RenderError> {
        output::parse(text, name)
    }

    /// The documents in what helm printed, with the template each comes from, in the order printed; not parsed.
    pub fn split(text: &str) -> Vec<(&str, &str)> {
        output::split(text)
    }

    /// The objects of all documents, members of `List` objects one by one.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.documents
            .iter()
            .filter_map(|document| document.object.as_ref())
            .flat_map(crate::workload::objects)
    }
}

/// Why a chart could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// There is no helm.
    #[error("helm was not found: set QUENCH_HELM to the program, or put helm on PATH")]
    NoHelm,
    /// The program could not be started.
    #[error("{}: could not be started: {source}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The network cannot be taken away from helm.
    #[error(
        "helm cannot be run without a network here: {reason}; allow user namespaces, or run as root with CAP_SYS_ADMIN"
    )]
    NoIsolation {
        /// What the system said.
        reason: String,
    },
    /// Helm refused the chart or the values.
    #[error("helm could not render chart {chart}: {message}")]
    Helm {
        /// Name of the chart.
        chart: String,
        /// What helm said.
        message: String,
    },
    /// A limit was passed.
    #[error("rendering chart {chart} took more than its limit: {limit}")]
    Limit {
        /// Name of the chart.
        chart: String,
        /// The limit.
        limit: String,
    },
    /// What helm printed is not YAML.
    #[error("chart {chart}: {template} renders to text that is no YAML: {source}")]
    Output {
        /// Name of the chart.
        chart: String,
        /// Path of the template.
        template: String,
        /// Where and why.
        #[source]
        source: crate::yaml::YamlError,
    },
    /// The chart could not be put where helm can read it.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// Scratch space could not be had.
    #[error("{}: {source}", path.display())]
    Io {
        /// The folder or file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
}

impl Helm {
    /// The helm program that `QUENCH_HELM` names, else the one on `PATH`.
    ///
    /// # Errors
    /// [`RenderError::NoHelm`] where there is none.
    pub fn find() -> Result<Self, RenderError> {
        if let Some(program) = std::env::var_os("QUENCH_HELM").filter(|path| !path.is_empty()) {
            return Ok(Self::at(program));
        }
        on_path(Path::new("helm"))
            .map(Self::at)
            .ok_or(RenderError::NoHelm)
    }

    /// The helm program at a path; a bare name is looked up on `PATH`.
    pub fn at(program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        // Helm runs in a folder of its own, without the caller's PATH.
        let program = if program.components().count() == 1 {
            on_path(&program).unwrap_or(program)
        } else {
            std::path::absolute(&program).unwrap_or(program)
        };
        Self {
            program,
            limits: Limits::default(),
            isolation: &[],
        }
    }

    /// The same program within other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The same program in a network namespace of its own, in which not even the loopback interface is up: nothing that it
    /// asks of a network is answered.
    ///
    /// # Errors
    /// [`RenderError::NoIsolation`] where the system does not allow that.
    pub fn without_network(mut self) -> Result<Self, RenderError> {
        self.isolation = process::isolation()?;
        Ok(self)
    }

    /// Path of the program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Version of the program, such as `v4.2.3`.
    ///
    /// # Errors
    /// The program does not start, or does not tell.
    pub async fn version(&self) -> Result<String, RenderError> {
        let scratch = process::Scratch::new()?;
        let arguments = ["version", "--template={{.Version}}"].map(Into::into);
        let text = process::run(self, &scratch, &arguments, "").await?;
        Ok(text.trim().to_owned())
    }

    /// Renders a chart.
    ///
    /// # Errors
    /// [`RenderError::Helm`] with helm's own message where the chart does not render with these values.
    pub async fn render(&self, chart: &Chart, request: &Request) -> Result<Rendered, RenderError> {
        let scratch = process::Scratch::new()?;
        let folder = scratch.path().join("chart");
        let copy = chart.clone();
        let target = folder.clone();
        tokio::task::spawn_blocking(move || copy.write_to(&target))
            .await
            .map_err(|error| RenderError::Io {
                path: folder.clone(),
                source: std::io::Error::other(error),
            })??;
        self.render_in(&scratch, &folder, chart.name(), request)
            .await
    }

    /// Renders a chart that lies in a folder or archive already; for many renders of one chart.
    ///
    /// # Errors
    /// As [`Helm::render`].
    pub async fn render_path(
        &self,
        chart: &Path,
        request: &Request,
    ) -> Result<Rendered, RenderError> {
        let scratch = process::Scratch::new()?;
        let name = chart.file_name().map_or_else(
            || chart.display().to_string(),
            |name| name.display().to_string(),
        );
        let chart = std::path::absolute(chart).map_err(|source| RenderError::Io {
            path: chart.to_owned(),
            source,
        })?;
        self.render_in(&scratch, &chart, &name, request).await
    }

    /// What helm prints for a chart that lies in a folder or archive, as it is; `name` stands for the chart in errors.
    /// [`Rendered::parse`] takes it apart.
    ///
    /// # Errors
    /// As [`Helm::render`].
    pub async fn template(
        &self,
        chart: &Path,
        name: &str,
        request: &Request,
    ) -> Result<String, RenderError> {
        let scratch = process::Scratch::new()?;
        let arguments = process::arguments(&scratch, chart, request)?;
        process::run(self, &scratch, &arguments, name).await
    }

    async fn render_in(
        &self,
        scratch: &process::Scratch,
        folder: &Path,
        name: &str,
        request: &Request,
    ) -> Result<Rendered, RenderError> {
        let arguments = process::arguments(scratch, folder, request)?;
        let text = process::run(self, scratch, &arguments, name).await?;
        output::parse(text, name)
    }
}

fn on_path(name: &Path) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
        .and_then(|program| std::path::absolute(program).ok())
}
