//! The helm programs at hand, and small charts to feed them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use quench_chart::Chart;
use quench_chart::render::{Helm, Rendered, Request};
use quench_chart::rewrite::{Library, driver};

fn on_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

fn program(variable: &str, name: &str) -> Option<Helm> {
    std::env::var_os(variable)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| on_path(name))
        .map(Helm::at)
}

/// Every helm program there is; says so where one is missing.
pub fn helms() -> Vec<(&'static str, Helm)> {
    let mut found = Vec::new();
    for (variable, name) in [("QUENCH_HELM", "helm"), ("QUENCH_HELM3", "helm3")] {
        match program(variable, name) {
            Some(helm) => found.push((name, helm)),
            None => eprintln!("SKIPPED: no {name}: set {variable} or put {name} on PATH"),
        }
    }
    found
}

/// A chart of a few files; `Chart.yaml` is made up where it is not among them.
pub fn chart(files: &[(&str, &str)]) -> Chart {
    let mut all: BTreeMap<String, Bytes> = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), Bytes::from((*text).to_owned())))
        .collect();
    all.entry("Chart.yaml".to_owned())
        .or_insert_with(|| "apiVersion: v2\nname: demo\nversion: 0.1.0\n".into());
    Chart::from_files(all).unwrap()
}

pub fn block_on<F: std::future::Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

pub fn render(helm: &Helm, chart: &Chart, request: &Request) -> Rendered {
    block_on(helm.render(chart, request)).unwrap_or_else(|error| panic!("{error}"))
}

pub fn with(set: &[&str]) -> Request {
    Request {
        set: set.iter().map(|s| (*s).to_owned()).collect(),
        ..Request::default()
    }
}

pub const OFF: &str = "global.hardening.enabled=false";

/// A library that changes nothing: whatever differs is the driver's doing.
pub fn idle() -> Library {
    driver::library("{{- define \"@quench@.object\" -}}{{- end -}}")
}

/// A library that marks each object, with the settings it was given.
pub fn marking() -> Library {
    driver::library(
        "{{- define \"@quench@.object\" -}}\n\
         {{- $_ := set .object \"seen\" (dict \"template\" .template \"mark\" (index .settings \"mark\")) -}}\n\
         {{- end -}}",
    )
}
