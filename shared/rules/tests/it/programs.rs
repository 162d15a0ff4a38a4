//! Helm programs, and charts to give them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use quench_chart::Chart;
use quench_chart::compare::Comparison;
use quench_chart::render::{Helm, Rendered, Request};
use quench_model::{FactsFile, ImageFacts, Level, PackageName, Policy, Target, WritablePath};
use quench_rules::Evidence;
use quench_rules::hardening::{Demands, HardenError, HardenedChart, harden_chart, verify};
use serde_json::Value;

/// Every helm there is; says so where there is none.
pub fn helms() -> Vec<Helm> {
    let found: Vec<Helm> = [("QUENCH_HELM", "helm"), ("QUENCH_HELM3", "helm3")]
        .into_iter()
        .filter_map(|(variable, name)| find(variable, name))
        .map(Helm::at)
        .collect();
    if found.is_empty() {
        eprintln!("SKIPPED: neither QUENCH_HELM, QUENCH_HELM3 nor PATH names a helm");
    }
    found
}

fn find(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return Some(path.into());
    }
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

/// A chart of these templates, with these values.
pub fn chart(values: &str, templates: &[(&str, &str)]) -> Chart {
    let mut files: BTreeMap<String, Bytes> = BTreeMap::from([
        (
            "Chart.yaml".to_owned(),
            Bytes::from_static(
                b"apiVersion: v2\nname: sample\nversion: 1.0.0\nappVersion: 2.1+b\n",
            ),
        ),
        ("values.yaml".to_owned(), values.to_owned().into()),
    ]);
    for (path, text) in templates {
        let path = if path.contains('/') {
            (*path).to_owned()
        } else {
            format!("templates/{path}")
        };
        files.insert(path, (*text).to_owned().into());
    }
    Chart::from_files(files).unwrap()
}

/// Facts of an image that is no trouble.
pub fn friendly() -> ImageFacts {
    ImageFacts {
        uid: Some(1001),
        gid: Some(0),
        user: Some("1001".to_owned()),
        writable: Some(vec![
            WritablePath::Plain("/tmp".to_owned()),
            WritablePath::Plain("/var/cache/app".to_owned()),
        ]),
        entrypoint: Some(vec!["/bin/app".to_owned()]),
        ..ImageFacts::default()
    }
}

/// The same facts for every image.
pub fn for_all(facts: ImageFacts) -> Evidence {
    Evidence::from_facts_file(&FactsFile {
        images: BTreeMap::from([("*".to_owned(), facts)]),
    })
}

/// What a chart is hardened for, owned.
#[derive(Clone)]
pub struct Case {
    pub evidence: Evidence,
    pub policy: Policy,
    pub target: Target,
    pub level: Level,
}

impl Default for Case {
    fn default() -> Self {
        Self {
            evidence: for_all(friendly()),
            policy: Policy::default(),
            target: Target::default(),
            level: Level::Operable,
        }
    }
}

impl Case {
    pub fn harden(
        &self,
        helm: &Helm,
        chart: &Chart,
        values: &str,
    ) -> Result<HardenedChart, HardenError> {
        self.with(values, async |demands| {
            harden_chart(helm, chart, self.level, demands).await
        })
    }

    /// Compares what a hardened chart does at these values with what the rules say.
    pub fn compare(
        &self,
        helm: &Helm,
        hardened: &Chart,
        values: &str,
    ) -> Result<Comparison, String> {
        self.with(values, async |demands| {
            verify(helm, hardened, self.level, demands).await
        })
        .map(|verified| verified.comparison)
        .map_err(|error| format!("{}: {values}: {error}", hardened.name()))
    }

    /// Asserts that a hardened chart does at these values what the rules say.
    pub fn assert_equal(&self, helm: &Helm, hardened: &Chart, values: &str) {
        let comparison = self
            .compare(helm, hardened, values)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(
            comparison.is_same(),
            "{}: {}: {values}: {comparison}",
            helm.program().display(),
            hardened.name()
        );
    }

    fn with<T>(&self, values: &str, work: impl AsyncFnOnce(Demands<'_>) -> T) -> T {
        let package: PackageName = "sample".parse().unwrap();
        let values = [values.as_bytes().to_vec()];
        let demands = Demands {
            package: &package,
            values: &values,
            policy: &self.policy,
            target: &self.target,
            evidence: &self.evidence,
        };
        block_on(work(demands))
    }
}

pub fn render(helm: &Helm, chart: &Chart, values: &str) -> Result<Rendered, String> {
    let request = Request {
        values: vec![values.to_owned()],
        ..Request::default()
    };
    block_on(helm.render(chart, &request)).map_err(|error| error.to_string())
}

/// The only object of a kind.
pub fn object<'r>(rendered: &'r Rendered, kind: &str) -> &'r Value {
    rendered
        .objects()
        .find(|object| object["kind"] == kind)
        .unwrap_or_else(|| panic!("no {kind} in {}", rendered.text))
}
