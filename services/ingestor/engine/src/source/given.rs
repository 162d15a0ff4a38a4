//! Images given beside a chart: read from where they lie, into the store.

use std::collections::BTreeMap;
use std::path::Path;

use quench_content::blocking;
use quench_model::{Descriptor, ImageReference};
use quench_package::{Context, EngineError, GivenAttachment, ImageTable, UnnamedImage};

use super::layout::{self, Blobs};
use super::tar_file::TarFile;
use super::{ImageSource, docker_archive};

/// Reads every image of the sources into the store and tells what there is.
pub(crate) async fn read(
    sources: &[ImageSource],
    context: &Context,
) -> Result<ImageTable, EngineError> {
    let mut given = Given::default();
    for source in sources {
        context.check_cancelled()?;
        let label = source.to_string();
        given.begin(&label, source.path());
        match source {
            ImageSource::Layout(path) => {
                layout::read(Blobs::Folder(path.clone()), &mut given, context).await?;
            }
            ImageSource::LayoutArchive(path) => {
                let archive = open(path, context).await?;
                layout::read(Blobs::archive(archive), &mut given, context).await?;
            }
            ImageSource::DockerArchive(path) => {
                let archive = open(path, context).await?;
                docker_archive::read(archive, &mut given, context).await?;
            }
        }
        given.end()?;
    }
    Ok(given.table)
}

async fn open(path: &Path, context: &Context) -> Result<TarFile, EngineError> {
    let path = path.to_owned();
    let scratch = context.store.cache_dir();
    blocking(move || TarFile::open(&path, &scratch)).await
}

/// The images seen so far, and which source gave them.
#[derive(Default)]
pub(crate) struct Given {
    table: ImageTable,
    origins: BTreeMap<String, String>,
    source: String,
    stem: String,
    found: usize,
}

impl Given {
    fn begin(&mut self, label: &str, path: &Path) {
        label.clone_into(&mut self.source);
        self.stem = stem(path);
        self.found = 0;
    }

    fn end(&mut self) -> Result<(), EngineError> {
        if self.found == 0 {
            return Err(EngineError::Input(format!(
                "{}: it holds no image",
                self.source
            )));
        }
        let key = |image: &UnnamedImage| {
            (
                image.source.clone(),
                image.tag.clone(),
                image.descriptor.digest.clone(),
            )
        };
        self.table.unnamed.sort_by_key(key);
        self.table.unnamed.dedup();
        self.table.attached.sort_by(|a, b| {
            let key = |given: &GivenAttachment| {
                (
                    given.subject.clone(),
                    given.suffix.clone(),
                    given.descriptor.digest.clone(),
                )
            };
            key(a).cmp(&key(b))
        });
        self.table.attached.dedup();
        Ok(())
    }

    /// The source being read, for messages.
    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    /// Notes what is attached to an image, or to what is attached to one.
    pub(crate) fn attach(&mut self, attachment: GivenAttachment) {
        self.table.attached.push(attachment);
    }

    /// Notes an image. A name with a `/` or a `:` is a full reference, any other a tag.
    pub(crate) fn add(
        &mut self,
        name: Option<&str>,
        descriptor: &Descriptor,
    ) -> Result<(), EngineError> {
        self.found += 1;
        let descriptor = Descriptor {
            artifact_type: None,
            platform: None,
            annotations: BTreeMap::new(),
            ..descriptor.clone()
        };
        let Some(name) = name.filter(|name| name.contains(['/', ':'])) else {
            self.table.unnamed.push(UnnamedImage {
                source: self.stem.clone(),
                tag: name.map(str::to_owned),
                descriptor,
            });
            return Ok(());
        };
        let reference: ImageReference = name
            .parse()
            .map_err(|e| EngineError::Input(format!("{}: {e}", self.source)))?;
        let key = reference.to_string();
        if let Some(other) = self.table.images.get(&key)
            && other.digest != descriptor.digest
        {
            return Err(EngineError::Input(format!(
                "{key} is given twice: {} by {} and {} by {}; give it once",
                other.digest,
                self.origins.get(&key).map_or("", String::as_str),
                descriptor.digest,
                self.source
            )));
        }
        self.table.images.insert(key.clone(), descriptor);
        self.origins.insert(key, self.source.clone());
        Ok(())
    }
}

/// The name of a folder or file without its ending.
fn stem(path: &Path) -> String {
    // `oci:.` is the folder one stands in.
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    for ending in [".tar.gz", ".tgz", ".tar"] {
        if let Some(stem) = name.strip_suffix(ending) {
            return stem.to_owned();
        }
    }
    name
}
