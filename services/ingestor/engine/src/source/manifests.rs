//! Plain Kubernetes manifests, wrapped into a chart.
//!
//! Every file becomes a template that renders to what it says: `{{` is escaped, so that helm reads no action into it.
//! Custom resource definitions go to `crds/`, which helm installs before anything of their kinds; helm does not render
//! that folder. The order and the content of the files decide the chart's bytes, nothing else does.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use quench_chart::chart::{MAX_ENTRIES, MAX_FILE_BYTES, MAX_TOTAL_BYTES};
use quench_chart::{Chart, yaml};
use quench_package::EngineError;
use serde_json::Value;

use super::tar_file::io_error;

/// Deepest folder read.
const DEPTH: usize = 32;
/// Most bytes of one template: helm refuses chart files of more than 5 MiB.
const TEMPLATE: usize = 1 << 20;

/// Where manifests are.
#[derive(Debug, Clone)]
pub(crate) enum Manifests {
    /// In a file, or in a folder at any depth.
    At(PathBuf),
    /// Here.
    Text(Vec<u8>),
}

/// Whether a folder holds manifests, at any depth.
pub(super) fn are_in(folder: &Path) -> bool {
    let mut files = BTreeMap::new();
    let mut walk = Walk {
        root: folder.to_owned(),
        entries: 0,
        stop_at_first: true,
    };
    walk.folder(folder, "", 0, &mut files).is_ok() && !files.is_empty()
}

impl Manifests {
    /// The name a chart of them gets where none is given: that of the folder or file.
    pub(crate) fn name(&self) -> Option<String> {
        let Self::At(path) = self else {
            return None;
        };
        let whole = path.canonicalize().ok()?;
        let stem = if whole.is_dir() {
            whole.file_name()
        } else {
            whole.file_stem()
        };
        Some(super::images_alone::name_of(&stem?.to_string_lossy()))
    }

    /// Makes a chart of them.
    ///
    /// # Errors
    /// A file that cannot be read, or holds what is no Kubernetes object; names file and document.
    pub(crate) fn wrap(&self, name: &str, version: &str) -> Result<Chart, EngineError> {
        let mut chart = Wrapped::default();
        for (path, content) in self.files()? {
            chart.file(&path, &content)?;
        }
        chart.finish(name, version)
    }

    fn files(&self) -> Result<BTreeMap<String, Bytes>, EngineError> {
        let mut files = BTreeMap::new();
        match self {
            Self::Text(text) => {
                files.insert("manifests.yaml".to_owned(), Bytes::from(text.clone()));
            }
            Self::At(path) if path.is_dir() => {
                let mut walk = Walk {
                    root: path.clone(),
                    entries: 0,
                    stop_at_first: false,
                };
                let mut found = BTreeMap::new();
                walk.folder(path, "", 0, &mut found)?;
                let mut total = 0;
                for (name, path) in found {
                    let content = read(&path)?;
                    total += content.len() as u64;
                    if total > MAX_TOTAL_BYTES {
                        return Err(walk.fault(&format!("more than {MAX_TOTAL_BYTES} bytes")));
                    }
                    files.insert(name, content);
                }
            }
            Self::At(path) => {
                let name = path.file_name().map_or_else(
                    || "manifests.yaml".to_owned(),
                    |name| name.to_string_lossy().into_owned(),
                );
                files.insert(name, read(path)?);
            }
        }
        Ok(files)
    }
}

fn read(path: &Path) -> Result<Bytes, EngineError> {
    let mut content = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content))
        .map_err(|e| io_error("read", path, e))?;
    if content.len() as u64 > MAX_FILE_BYTES {
        return Err(EngineError::Input(format!(
            "{}: more than {MAX_FILE_BYTES} bytes",
            path.display()
        )));
    }
    Ok(content.into())
}

struct Walk {
    root: PathBuf,
    entries: usize,
    stop_at_first: bool,
}

impl Walk {
    /// Files of manifests below a folder by their path in it. Links are not followed: they could lead anywhere.
    fn folder(
        &mut self,
        folder: &Path,
        prefix: &str,
        depth: usize,
        found: &mut BTreeMap<String, PathBuf>,
    ) -> Result<(), EngineError> {
        if depth > DEPTH {
            return Err(self.fault(&format!("folders are nested deeper than {DEPTH}")));
        }
        let entries = std::fs::read_dir(folder).map_err(|e| io_error("read", folder, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| io_error("read", folder, e))?;
            self.entries += 1;
            if self.entries > MAX_ENTRIES {
                return Err(self.fault(&format!("more than {MAX_ENTRIES} entries")));
            }
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                let reason = format!("{prefix}{}: its name is not UTF-8", name.display());
                return Err(self.fault(&reason));
            };
            if name.starts_with('.') {
                continue;
            }
            let kind = entry
                .file_type()
                .map_err(|e| io_error("read", &entry.path(), e))?;
            let path = format!("{prefix}{name}");
            let is_manifest = [".yaml", ".yml", ".json"]
                .iter()
                .any(|ending| name.ends_with(ending));
            if kind.is_dir() {
                self.folder(&entry.path(), &format!("{path}/"), depth + 1, found)?;
            } else if is_manifest && kind.is_file() {
                found.insert(path, entry.path());
            } else if is_manifest && !self.stop_at_first {
                let reason =
                    "is a link, a device or another special file; manifests are regular files";
                return Err(self.fault(&format!("{path}: {reason}")));
            }
            if self.stop_at_first && !found.is_empty() {
                return Ok(());
            }
        }
        Ok(())
    }

    fn fault(&self, reason: &str) -> EngineError {
        EngineError::Input(format!("{}: {reason}", self.root.display()))
    }
}

/// A chart being made.
#[derive(Default)]
struct Wrapped {
    files: BTreeMap<String, Bytes>,
    /// Names without ending, so that `a.yaml` and `a.json` do not become one template.
    taken: BTreeSet<String>,
    objects: usize,
}

impl Wrapped {
    fn file(&mut self, path: &str, content: &[u8]) -> Result<(), EngineError> {
        let fault = |reason: String| EngineError::Input(format!("{path}: {reason}"));
        let text = yaml::text(content).map_err(|e| fault(e.to_string()))?;
        let json;
        let documents = if path.ends_with(".json") {
            // JSON may be indented by tabs, which YAML refuses.
            let value: Value = serde_json::from_str(text).map_err(|e| fault(e.to_string()))?;
            json = serde_json::to_string_pretty(&value).map_err(|e| fault(e.to_string()))?;
            vec![json.as_str()]
        } else {
            yaml::documents(text)
        };
        let mut objects = String::new();
        let mut definitions = String::new();
        let name = self.free_name(path);
        let mut part = 0;
        for (at, document) in documents.into_iter().enumerate() {
            let fault = |reason: String| fault(format!("document {}: {reason}", at + 1));
            let value = yaml::parse(document).map_err(|e| fault(e.to_string()))?;
            let Some(kind) = kind(&value).map_err(fault)? else {
                continue;
            };
            self.objects += 1;
            let target = match kind {
                Kind::Definition => &mut definitions,
                Kind::Object => &mut objects,
            };
            target.push_str("---\n");
            match kind {
                Kind::Definition => target.push_str(document.trim_end()),
                Kind::Object => target.push_str(&escape(document.trim_end())),
            }
            target.push('\n');
            if objects.len() > TEMPLATE {
                part += 1;
                let path = format!("templates/{name}-part{part}.yaml");
                self.files.insert(path, std::mem::take(&mut objects).into());
            }
        }
        if !objects.is_empty() {
            let path = format!("templates/{name}.yaml");
            self.files.insert(path, objects.into());
        }
        if !definitions.is_empty() {
            self.files
                .insert(format!("crds/{name}.yaml"), definitions.into());
        }
        Ok(())
    }

    /// The name of a file's template: helm renders no file whose name begins with `_`, and ignores hidden ones.
    fn free_name(&mut self, path: &str) -> String {
        let stem = path.rsplit_once('.').map_or(path, |(stem, _)| stem);
        let parts: Vec<String> = stem
            .split('/')
            .map(|part| {
                let clean: String = part
                    .chars()
                    .map(|c| if c == '\\' || c.is_control() { '-' } else { c })
                    .collect();
                let clean = clean.trim_start_matches(['_', '.']);
                if clean.is_empty() {
                    "manifest".to_owned()
                } else {
                    clean.to_owned()
                }
            })
            .collect();
        let wanted = parts.join("/");
        let mut name = wanted.clone();
        let mut count = 1;
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{wanted}-{count}");
        }
        name
    }

    fn finish(mut self, name: &str, version: &str) -> Result<Chart, EngineError> {
        if self.objects == 0 {
            return Err(EngineError::Input(
                "there is no Kubernetes object in the manifests".to_owned(),
            ));
        }
        let metadata = super::images_alone::metadata(name, version, "Kubernetes manifests");
        self.files.insert("Chart.yaml".to_owned(), metadata);
        self.files
            .insert("values.yaml".to_owned(), Bytes::from_static(b"{}\n"));
        Chart::from_files(self.files).map_err(|e| EngineError::Input(e.to_string()))
    }
}

enum Kind {
    Object,
    Definition,
}

/// What a document is; none where it is empty.
fn kind(value: &Value) -> Result<Option<Kind>, String> {
    if value.is_null() {
        return Ok(None);
    }
    let text = |key: &str| {
        let found = value.get(key).and_then(Value::as_str);
        found.filter(|text| !text.is_empty())
    };
    let (Some(version), Some(kind)) = (text("apiVersion"), text("kind")) else {
        return Err("it is no Kubernetes object: apiVersion and kind are needed".to_owned());
    };
    if version.starts_with("kustomize.config.k8s.io/") {
        return Err(
            "it is a kustomization; build it first: kustomize build DIR | quench ingest - --name NAME".to_owned(),
        );
    }
    let is_definition =
        kind == "CustomResourceDefinition" && version.starts_with("apiextensions.k8s.io/");
    Ok(Some(if is_definition {
        Kind::Definition
    } else {
        Kind::Object
    }))
}

/// Text that a template renders to exactly this text.
fn escape(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrap(text: &str) -> Result<Chart, EngineError> {
        Manifests::Text(text.as_bytes().to_vec()).wrap("demo", "0.1.0")
    }

    #[test]
    fn actions_stay_text_and_definitions_come_first() {
        let chart = wrap(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: 'a {{ .b }} {{{c}}}'}\n---\n# nothing\n---\n\
             apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: '{{x}}'}\n",
        )
        .unwrap();
        let template = chart.text("templates/manifests.yaml").unwrap();
        assert!(
            template.contains(r#"'a {{ "{{" }} .b }} {{ "{{" }}{c}}}'"#),
            "{template}"
        );
        assert!(!template.contains("CustomResourceDefinition"));
        assert!(
            chart
                .text("crds/manifests.yaml")
                .unwrap()
                .contains("'{{x}}'")
        );
    }

    #[test]
    fn what_is_no_object_is_refused_by_file_and_document() {
        for (text, reason) in [
            (
                "a: 1",
                "manifests.yaml: document 1: it is no Kubernetes object",
            ),
            (
                "apiVersion: v1\nkind: A\n---\n- x",
                "document 2: it is no Kubernetes object",
            ),
            ("apiVersion: v1\nkind: [", "document 1: line"),
            ("# nothing\n", "no Kubernetes object in the manifests"),
            (
                "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization",
                "kustomize build",
            ),
        ] {
            let error = wrap(text).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn files_keep_apart_whatever_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let object = "apiVersion: v1\nkind: ConfigMap\n";
        std::fs::create_dir(folder.path().join("_sub")).unwrap();
        for name in [
            "a.yaml",
            "a.yml",
            "_a.yaml",
            "_sub/NOTES.yaml",
            "read.me",
            ".hidden.yaml",
        ] {
            std::fs::write(folder.path().join(name), object).unwrap();
        }
        std::fs::write(
            folder.path().join("b.json"),
            "{\"apiVersion\":\"v1\",\n\t\"kind\":\"A\"}",
        )
        .unwrap();
        let of = Manifests::At(folder.path().to_owned());
        let chart = of.wrap("demo", "0.1.0").unwrap();
        let templates: Vec<&String> = chart
            .files()
            .keys()
            .filter(|path| path.starts_with("templates/"))
            .collect();
        assert_eq!(
            templates,
            [
                "templates/a-2.yaml",
                "templates/a-3.yaml",
                "templates/a.yaml",
                "templates/b.yaml",
                "templates/sub/NOTES.yaml"
            ]
        );
        assert_eq!(chart, of.wrap("demo", "0.1.0").unwrap());
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("c.yaml")).unwrap();
        let error = of.wrap("demo", "0.1.0").unwrap_err().to_string();
        assert!(error.contains("c.yaml: is a link"), "{error}");
    }

    #[test]
    fn large_manifests_become_templates_that_helm_takes() {
        let line = format!(
            "apiVersion: v1\nkind: ConfigMap\ndata: {{a: '{}'}}\n---\n",
            "x".repeat(1000)
        );
        let chart = wrap(&line.repeat(3000)).unwrap();
        let sizes: Vec<usize> = chart
            .files()
            .iter()
            .filter(|(path, _)| path.starts_with("templates/"))
            .map(|(_, content)| content.len())
            .collect();
        assert!(
            sizes.len() >= 3 && sizes.iter().all(|size| *size < 2 << 20),
            "{sizes:?}"
        );
    }
}
