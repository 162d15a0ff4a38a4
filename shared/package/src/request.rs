//! The demands a package was submitted with; they stay with it through every level.

use quench_content::artefact::Manifest;
use quench_content::{Store, StoreError};
use quench_model::{Descriptor, FactsFile, Policy, Target, media_type};

/// The demands a package was submitted with.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Request {
    /// Values files of the user, as bytes, in the order they apply.
    pub values: Vec<Vec<u8>>,
    /// The team's policy.
    pub policy: Policy,
    /// The environment's facts.
    pub target: Target,
    /// Facts the user states for images that are not fetched.
    pub facts: Option<FactsFile>,
}

impl Request {
    /// Most bytes of a values file, policy, target or other document of a request.
    pub const DOCUMENT_LIMIT: u64 = 16 << 20;

    /// Stores the request as an artefact.
    ///
    /// # Errors
    /// When the store refuses.
    pub async fn store(&self, store: &Store) -> Result<Descriptor, StoreError> {
        let layers = self.layers(store).await?;
        store
            .put_manifest(&Manifest::artefact(media_type::REQUEST, layers))
            .await
    }

    /// Stores each document and gives their descriptors in a fixed order.
    pub(crate) async fn layers(&self, store: &Store) -> Result<Vec<Descriptor>, StoreError> {
        let mut layers = Vec::with_capacity(self.values.len() + 3);
        for values in &self.values {
            layers.push(store.put(media_type::VALUES, values).await?);
        }
        layers.push(store.put_json(media_type::POLICY, &self.policy).await?);
        layers.push(store.put_json(media_type::TARGET, &self.target).await?);
        if let Some(facts) = &self.facts {
            layers.push(store.put_json(media_type::FACTS, facts).await?);
        }
        Ok(layers)
    }

    /// Reads a request's documents out of an artefact's layers; other layers are passed over.
    pub(crate) async fn from_layers(
        store: &Store,
        layers: &[Descriptor],
    ) -> Result<Self, StoreError> {
        let mut request = Self::default();
        for layer in layers {
            match layer.media_type.as_str() {
                media_type::VALUES => {
                    request
                        .values
                        .push(store.read(layer, Self::DOCUMENT_LIMIT).await?);
                }
                media_type::POLICY => {
                    request.policy = store.read_json(layer, Self::DOCUMENT_LIMIT).await?;
                }
                media_type::TARGET => {
                    request.target = store.read_json(layer, Self::DOCUMENT_LIMIT).await?;
                }
                media_type::FACTS => {
                    request.facts = Some(store.read_json(layer, Self::DOCUMENT_LIMIT).await?);
                }
                _ => {}
            }
        }
        Ok(request)
    }

    /// Loads a stored request.
    ///
    /// # Errors
    /// Not there, or not what its digest names.
    pub async fn load(store: &Store, descriptor: &Descriptor) -> Result<Self, StoreError> {
        let manifest = store.manifest(descriptor).await?;
        Self::from_layers(store, &manifest.layers).await
    }
}
