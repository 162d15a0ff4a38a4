//! Level 5, *minimized*: images hold only what the chart makes them need.
//!
//! Start with [`Engine::run`]. For each image it gathers what the rendered chart asks of it (`demand`), follows that
//! through the image to a fixpoint in which each kept file has its reason (`closure`), writes the result as one
//! layer (`output`), and proves by the loader's own rules that every program still finds its libraries (`check`).
//! What cannot be followed is never guessed: the image then falls back to a higher [`Tier`], and the [`Report`]
//! says why.

mod check;
mod closure;
mod demand;
mod documents;
mod elf;
mod engine;
mod keep;
mod libraries;
mod minimize;
mod output;
mod packages;
mod repin;
mod report;
mod shell;
mod tiers;

pub use engine::Engine;
pub use report::{Extent, ImageReport, Report};
pub use tiers::Tier;

/// Changes whenever the same input would give another result.
pub const ENGINE_VERSION: &str = "2";
