//! `quench images`: which images a chart may use, or a package holds, and why.

use std::path::Path;

use anyhow::Result;
use quench_content::Store;
use quench_ingestor_engine::{Engine, EngineOptions, Survey, SurveyedImage, pack};
use quench_model::{Digest, Finding, Platform};
use quench_package::{
    ImageClass, ImageEvidence, ImageOrigin, Package, ValuesTried, current_findings,
};
use serde::Serialize;

use crate::args::ImagesArgs;
use crate::exit::Exit;
use crate::inputs;
use crate::session::Session;
use crate::style;

/// The images of a chart or package.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Images {
    package: String,
    version: String,
    /// By class, then by reference.
    pub images: Vec<Row>,
    /// Which values were tried; nothing for a package made without looking.
    values: Option<ValuesTried>,
    /// What could not be looked at or decided.
    findings: Vec<Finding>,
}

/// An image.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    reference: String,
    /// The reference as the chart has it, in each of its spellings.
    rendered: Vec<String>,
    pub class: ImageClass,
    /// Whether the package holds it; of a chart nothing is held.
    included: bool,
    /// Why it is not held, or could not be looked up.
    reason: Option<String>,
    evidence: Vec<ImageEvidence>,
    digest: Option<Digest>,
    platforms: Vec<Platform>,
    size: Option<u64>,
    origin: Option<ImageOrigin>,
}

/// Lists the images of a chart or package.
pub async fn run(session: &Session, args: &ImagesArgs) -> Result<Exit> {
    let source = &args.source.source;
    let store = session.open_store()?;
    let is_word = args.source.repo.is_none() && source != "-";
    let images = if is_word && is_package(session, &store, source).await? {
        of_package(&store, &session.find(&store, source).await?).await?
    } else {
        of_source(session, &store, args).await?
    };
    if session.json {
        session.print_json(&images)?;
    } else {
        images.print();
    }
    Ok(Exit::Done)
}

/// Whether a word means a package of the store: a digest, or a name that is there. `./demo` is the chart beside a package `demo`.
async fn is_package(session: &Session, store: &Store, word: &str) -> Result<bool> {
    if word.starts_with("sha256:") {
        return Ok(true);
    }
    if word.contains(['/', ':']) {
        return Ok(false);
    }
    let names = store.names("package-").await?;
    let wanted = format!("package-{word}");
    if names.iter().any(|name| name.as_str() == wanted) {
        return Ok(true);
    }
    if Path::new(word).exists() {
        return Ok(false);
    }
    // Neither: `find` says so better than a chart that is not there.
    session.find(store, word).await.map(|_| true)
}

async fn of_source(session: &Session, store: &Store, args: &ImagesArgs) -> Result<Images> {
    let options = inputs::pack_options(&args.source)?;
    let context = session.context(store);
    let submission = pack(&options, inputs::today(), &context).await?;
    let engine = Engine::new(EngineOptions::default());
    let survey = engine.survey(&submission, args.look_up, &context).await?;
    Ok(Images::of_survey(survey))
}

/// What the lock of a package says.
///
/// # Errors
/// When the lock cannot be read.
pub async fn of_package(store: &Store, package: &Package) -> Result<Images> {
    let lock = package.load_lock(store).await?;
    let mut images: Vec<Row> = lock
        .images
        .into_iter()
        .map(|(reference, locked)| Row {
            reference,
            rendered: locked.rendered,
            class: locked.class,
            included: true,
            reason: None,
            evidence: locked.evidence,
            digest: Some(locked.digest),
            platforms: locked.platforms,
            size: Some(locked.total_size),
            origin: Some(locked.origin),
        })
        .collect();
    for (reference, what) in lock.left_out {
        images.push(Row {
            reference,
            rendered: what.rendered,
            class: what.class,
            included: false,
            reason: Some(what.reason),
            evidence: what.evidence,
            digest: None,
            platforms: Vec::new(),
            size: None,
            origin: None,
        });
    }
    images.sort_by(|a, b| (a.class, &a.reference).cmp(&(b.class, &b.reference)));
    Ok(Images {
        package: package.name.to_string(),
        version: package.version.clone(),
        images,
        values: lock.values,
        findings: current_findings(store, package)
            .await?
            .into_iter()
            .filter(|finding| finding.level == quench_model::Level::Integrated)
            .collect(),
    })
}

impl Images {
    fn of_survey(survey: Survey) -> Self {
        Self {
            package: survey.name.to_string(),
            version: survey.version,
            images: survey.images.into_iter().map(Row::of_surveyed).collect(),
            values: Some(survey.values),
            findings: survey.findings,
        }
    }

    /// Number of images of a class; of a package only of those it holds, or does not.
    pub fn count(&self, class: ImageClass, included: Option<bool>) -> usize {
        self.images
            .iter()
            .filter(|row| {
                row.class == class && included.is_none_or(|wanted| row.included == wanted)
            })
            .count()
    }

    fn print(&self) {
        let known = self.images.iter().any(|row| row.digest.is_some());
        let header: &[&str] = if known {
            &["image", "class", "why", "digest", "platforms", "size"]
        } else {
            &["image", "class", "why"]
        };
        let mut table = style::table(header);
        for row in &self.images {
            let mut cells = vec![row.reference.clone(), row.class_cell(), row.why()];
            if known {
                cells.push(
                    row.digest
                        .as_ref()
                        .map_or_else(|| "-".to_owned(), Digest::short),
                );
                let platforms: Vec<String> =
                    row.platforms.iter().map(Platform::to_string).collect();
                cells.push(if platforms.is_empty() {
                    "-".to_owned()
                } else {
                    platforms.join(" ")
                });
                cells.push(row.size.map_or_else(|| "-".to_owned(), style::bytes));
            }
            table.add_row(cells);
        }
        if !self.images.is_empty() {
            anstream::println!("{}\n", style::lines(&table));
        }
        anstream::println!("{}", self.headline());
        print_findings(&self.findings);
    }

    /// Prints how the images were searched for, and what is not sure about them.
    pub fn print_search(&self) {
        if let Some(values) = &self.values {
            anstream::println!("  {}", tried(values));
        }
        print_findings(&self.findings);
    }

    fn headline(&self) -> String {
        let mut text = format!(
            "{} {}: {} required, {} optional, {} possible",
            self.package,
            self.version,
            self.count(ImageClass::Required, None),
            self.count(ImageClass::Optional, None),
            self.count(ImageClass::Possible, None),
        );
        if let Some(values) = &self.values {
            text.push_str(&format!("; {}", tried(values)));
        }
        text
    }
}

/// At how many value sets a chart was rendered.
fn tried(values: &ValuesTried) -> String {
    let mut text = format!(
        "rendered at {}",
        style::count(values.rendered, "value set", "value sets")
    );
    if !values.failed.is_empty() {
        text.push_str(&format!(", {} of them do not render", values.failed.len()));
    }
    text
}

/// Completeness findings, a line each.
fn print_findings(findings: &[Finding]) {
    for finding in findings.iter().filter(|finding| finding.state.is_open()) {
        anstream::println!(
            "{}  {}: {}",
            style::paint(style::UNSURE, "not sure"),
            finding.title,
            finding.message
        );
    }
}

impl Row {
    fn of_surveyed(image: SurveyedImage) -> Self {
        let available = image.available;
        Self {
            reference: image.reference.to_string(),
            rendered: image.rendered,
            class: image.class,
            included: false,
            reason: image.reason.or(image.unavailable),
            evidence: image.evidence,
            digest: available
                .as_ref()
                .map(|available| available.digest.clone())
                .or_else(|| image.reference.digest().cloned()),
            size: available.as_ref().map(|available| available.total_size),
            platforms: available
                .map(|available| available.platforms)
                .unwrap_or_default(),
            origin: None,
        }
    }

    fn class_cell(&self) -> String {
        match self.class {
            ImageClass::Required => style::paint(style::BOLD, self.class.name()),
            ImageClass::Optional => self.class.name().to_owned(),
            ImageClass::Possible => style::paint(style::UNSURE, self.class.name()),
        }
    }

    fn why(&self) -> String {
        // What is there at the given values says most; then what takes the least to be there.
        let best = self.evidence.iter().min_by_key(|place| place.values.len());
        let mut text = best.map(ToString::to_string).unwrap_or_default();
        if let Some(more) = self.evidence.len().checked_sub(1).filter(|more| *more > 0) {
            text.push_str(&format!(" and {more} more"));
        }
        if let Some(reason) = &self.reason {
            text.push_str(&format!(" ({reason})"));
        }
        text
    }
}
