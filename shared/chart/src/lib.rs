//! What a chart is: load it, vendor its dependencies, render it with helm, rewrite it so that it hardens
//! itself.
//!
//! Start with [`Chart`]: a chart in memory, all of its subcharts unpacked, always valid. [`render::Helm`]
//! turns one into [`render::Rendered`] documents, [`workload`] finds the pod specs and images in them,
//! [`rewrite::rewrite`] makes a chart that passes whatever it renders through a template library, and
//! [`value_space`] lists the values that make it render something else, and
//! [`compare`] tells whether two renders mean the same.
//!
//! [`yaml`] reads YAML exactly as Helm and Kubernetes do (YAML 1.1, resolved as go-yaml v2 resolves it), which
//! is not how most Rust YAML crates read it: `mode: 0644` is 420 and `on: yes` is `{"true": true}`.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use quench_chart::render::{Helm, Request};
//! use quench_chart::{Chart, rewrite, workload};
//!
//! let chart = Chart::load("charts/nginx".as_ref())?;
//! let helm = Helm::find()?;
//! for object in helm.render(&chart, &Request::default()).await?.objects() {
//!     for image in workload::images(object) {
//!         println!("{} runs {}", image.place, image.image);
//!     }
//! }
//! let library = rewrite::driver::library("{{ define \"@quench@.object\" }}{{ end }}");
//! rewrite::rewrite(&chart, &library)?.write_to("charts/nginx-hardened".as_ref())?;
//! # Ok(())
//! # }
//! ```
//!
//! A chart is untrusted input everywhere here: archives, links, aliases, render time and render output are bounded.

pub mod chart;
pub mod compare;
pub mod index;
pub mod render;
pub mod rewrite;
mod template;
pub mod value_space;
pub mod values_documentation;
pub mod version_range;
pub mod workload;
pub mod yaml;

pub use chart::{Chart, ChartError};
