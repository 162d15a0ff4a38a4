//! Where charts and images come from.

mod chart_source;
mod charts;
mod docker_archive;
pub(crate) mod given;
mod helm_repositories;
mod image_source;
pub(crate) mod images_alone;
mod layout;
mod layout_attached;
pub(crate) mod manifests;
mod tar_file;

pub use chart_source::{ChartSource, SourceError};
pub(crate) use charts::Charts;
pub use image_source::ImageSource;
