//! Which of the references found are images of the package.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::stream::{self, StreamExt as _};
use quench_content::RegistryClient;
use quench_model::ImageReference;
use quench_package::{Context, ImageClass, ImageEvidence, ImageTable, LeftOut};

use super::text::Certainty;
use super::{Discovered, Sighting};

/// Registries asked at the same time.
const PARALLEL: usize = 8;
/// Longest wait for an answer about what may be no image at all.
const WAIT: Duration = Duration::from_secs(5);

/// What is known of a reference that text holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Confirmed {
    /// It is an image: its registry has it.
    Yes,
    /// Nothing shows that it is, with the reason.
    No(String),
}

/// An image of the package.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    pub(crate) class: ImageClass,
    /// Spellings.
    pub(crate) spelled: BTreeSet<String>,
    pub(crate) evidence: Vec<ImageEvidence>,
}

/// Images, by how sure it is that the chart uses them.
#[derive(Debug, Default)]
pub(crate) struct Classified {
    /// Required and optional images.
    pub(crate) images: BTreeMap<ImageReference, Image>,
    /// What seems to be an image.
    pub(crate) possible: BTreeMap<ImageReference, LeftOut>,
}

impl Discovered {
    /// Decides which references are images: what is certain, and what is confirmed by being given, or by its registry if a client
    /// to ask it is there.
    pub(crate) async fn classify(
        &self,
        given: &ImageTable,
        client: Option<&RegistryClient>,
        context: &Context,
    ) -> Classified {
        let mut open: Vec<(&ImageReference, &Sighting)> = Vec::new();
        let mut result = Classified::default();
        // A name without tag that is that of a known image is where an operator takes the rest from.
        let mut also: Vec<(&ImageReference, &Sighting)> = Vec::new();
        for (reference, sighting) in &self.sightings {
            if sighting.certainty == Certainty::Certain || is_given(reference, given) {
                result.images.insert(reference.clone(), image(sighting));
            } else if sighting.certainty == Certainty::Likely {
                if is_bare(sighting) && self.certain().any(|known| known.name() == reference.name())
                {
                    also.push((reference, sighting));
                } else {
                    open.push((reference, sighting));
                }
            }
        }
        for (reference, sighting) in also {
            for (known, image) in &mut result.images {
                if known.name() == reference.name() {
                    image.evidence.extend(sighting.evidence());
                    image.evidence.sort();
                }
            }
        }
        let answers = match client {
            Some(client) => ask(client, &open, context).await,
            None => open
                .iter()
                .map(|_| Confirmed::No("its registry was not asked".to_owned()))
                .collect(),
        };
        for ((reference, sighting), answer) in open.into_iter().zip(answers) {
            match answer {
                Confirmed::Yes => {
                    let image = image(sighting);
                    result.images.insert(reference.clone(), image);
                }
                Confirmed::No(reason) => {
                    let left_out = LeftOut {
                        rendered: sighting.spelled.iter().cloned().collect(),
                        class: ImageClass::Possible,
                        reason,
                        evidence: sighting.evidence(),
                    };
                    result.possible.insert(reference.clone(), left_out);
                }
            }
        }
        result
    }
}

fn image(sighting: &Sighting) -> Image {
    Image {
        class: if sighting.is_given {
            ImageClass::Required
        } else {
            ImageClass::Optional
        },
        spelled: sighting.spelled.clone(),
        evidence: sighting.evidence(),
    }
}

/// Whether it is never written with a tag or digest.
fn is_bare(sighting: &Sighting) -> bool {
    sighting.spelled.iter().all(|text| {
        let last = text.rsplit('/').next().unwrap_or(text);
        !last.contains([':', '@'])
    })
}

fn is_given(reference: &ImageReference, given: &ImageTable) -> bool {
    given.images.contains_key(&reference.to_string())
        || reference.digest().is_some_and(|digest| {
            given
                .descriptors()
                .any(|descriptor| descriptor.digest == *digest)
        })
}

/// Asks the registries about references, some at a time. A registry that cannot be reached is not asked again.
async fn ask(
    client: &RegistryClient,
    open: &[(&ImageReference, &Sighting)],
    context: &Context,
) -> Vec<Confirmed> {
    if open.is_empty() {
        return Vec::new();
    }
    context
        .progress
        .start("ask registries about references in text", open.len() as u64);
    let mut hosts: BTreeMap<&str, Vec<&ImageReference>> = BTreeMap::new();
    for (reference, _) in open {
        hosts
            .entry(reference.registry())
            .or_default()
            .push(reference);
    }
    let mut asked = Vec::with_capacity(hosts.len());
    for references in hosts.into_values() {
        asked.push(async move {
            let mut answers = Vec::with_capacity(references.len());
            let mut unreachable: Option<String> = None;
            for reference in references {
                let answer = match &unreachable {
                    Some(reason) => Confirmed::No(reason.clone()),
                    None => match tokio::time::timeout(WAIT, one(client, reference)).await {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(reason)) => {
                            // What one registry refuses for one name it may allow for another; what does not answer, does not.
                            Confirmed::No(format!("its registry does not tell: {reason}"))
                        }
                        Err(_) => {
                            let reason = format!(
                                "{} does not answer within {} s",
                                reference.registry(),
                                WAIT.as_secs()
                            );
                            unreachable = Some(reason.clone());
                            Confirmed::No(reason)
                        }
                    },
                };
                context.progress.advance(1);
                answers.push((reference, answer));
            }
            answers
        });
    }
    let answers: BTreeMap<&ImageReference, Confirmed> = stream::iter(asked)
        .buffer_unordered(PARALLEL)
        .flat_map(stream::iter)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .collect();
    context.progress.finish();
    open.iter()
        .map(|(reference, _)| {
            answers
                .get(*reference)
                .cloned()
                .unwrap_or_else(|| Confirmed::No("its registry was not asked".to_owned()))
        })
        .collect()
}

async fn one(client: &RegistryClient, reference: &ImageReference) -> Result<Confirmed, String> {
    let repository = client.repository(reference.registry(), reference.repository());
    let wanted = match (reference.digest(), reference.tag()) {
        (Some(digest), _) => digest.to_string(),
        (None, tag) => tag.unwrap_or("latest").to_owned(),
    };
    match repository.resolve(&wanted).await {
        Ok(Some(_)) => Ok(Confirmed::Yes),
        Ok(None) => Ok(Confirmed::No(format!(
            "{} has no {wanted}",
            repository.place()
        ))),
        Err(error) => Err(error.to_string()),
    }
}
