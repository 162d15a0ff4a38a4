//! What a chart makes an image do: commands, probes, hooks, environment, mounts.

use std::collections::{BTreeMap, BTreeSet};

use quench_chart::workload::{Container, Pod, pods};
use quench_image::RunConfig;
use quench_model::{Digest, ImageReference};
use serde_json::{Map, Value};

/// Most bytes of one ConfigMap entry that is looked into. Kubernetes allows 1 MiB for all of them.
const TEXT_LIMIT: usize = 1 << 20;

/// A command an image is made to run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Command {
    pub argv: Vec<String>,
    /// Folder it runs in; empty for the root.
    pub folder: String,
    /// Value of `PATH`.
    pub search: String,
    /// Where the chart says so: `Deployment/web/nginx: command`.
    pub place: String,
}

/// Everything that is asked of one image, over all containers that use it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Demand {
    pub commands: BTreeSet<Command>,
    /// Values of environment variables, with where they are set.
    pub environment: BTreeSet<(String, String)>,
    /// Folders that volumes are mounted on.
    pub mounts: BTreeSet<String>,
    /// Texts that ConfigMaps put into the file system, by path.
    pub texts: BTreeMap<String, String>,
    /// Numeric users it is run as, beside the image's own.
    pub users: BTreeSet<u32>,
    /// Containers that use it.
    pub places: BTreeSet<String>,
}

/// What of a package an image is matched by.
pub(crate) struct ImageNames<'a> {
    pub reference: &'a ImageReference,
    pub digests: Vec<&'a Digest>,
}

impl ImageNames<'_> {
    /// Whether a rendered reference means the image: by digest where it has one; else by registry, repository
    /// and tag. A registry that the chart rewrites for a target does not matter.
    fn means(&self, rendered: &str) -> bool {
        let Ok(reference) = rendered.parse::<ImageReference>() else {
            return false;
        };
        match reference.digest() {
            Some(digest) => {
                self.digests.contains(&digest) && same_repository(&reference, self.reference)
            }
            None => {
                reference.tag() == self.reference.tag()
                    && same_repository(&reference, self.reference)
            }
        }
    }
}

/// Whether one repository is the other, possibly below another registry's prefix.
fn same_repository(rendered: &ImageReference, wanted: &ImageReference) -> bool {
    let (rendered, wanted) = (rendered.repository(), wanted.repository());
    rendered == wanted
        || rendered
            .strip_suffix(wanted)
            .is_some_and(|prefix| prefix.ends_with('/'))
}

impl Demand {
    /// What rendered objects ask of an image.
    pub fn of(objects: &[Value], image: &ImageNames<'_>, config: &RunConfig) -> Self {
        let mut demand = Self::default();
        let maps = config_maps(objects);
        for object in objects {
            for pod in pods(object) {
                for container in pod.containers() {
                    if container.image.is_some_and(|name| image.means(name)) {
                        demand.add(&pod, &container, config, &maps);
                    }
                }
            }
        }
        demand
    }

    /// Adds what another render asks.
    pub fn merge(&mut self, other: Self) {
        self.commands.extend(other.commands);
        self.environment.extend(other.environment);
        self.mounts.extend(other.mounts);
        self.texts.extend(other.texts);
        self.users.extend(other.users);
        self.places.extend(other.places);
    }

    /// What the image does when nobody says otherwise.
    pub fn of_image(config: &RunConfig) -> Self {
        let mut demand = Self::default();
        let argv: Vec<String> = config
            .entrypoint
            .iter()
            .chain(&config.cmd)
            .cloned()
            .collect();
        demand.add_command(argv, config, &BTreeMap::new(), "", "image configuration");
        demand.add_environment(config, &BTreeMap::new(), "image configuration");
        demand
    }

    fn add(
        &mut self,
        pod: &Pod<'_>,
        container: &Container<'_>,
        config: &RunConfig,
        maps: &BTreeMap<String, &Map<String, Value>>,
    ) {
        let place = format!("{}/{}/{}", pod.owner.kind, pod.owner.name, container.name);
        self.places.insert(place.clone());
        let variables = variables(container.spec);
        let folder = text(container.spec.get("workingDir"));
        let words = |key: &str| words(container.spec.get(key), &variables);
        let argv = match (words("command"), words("args")) {
            (Some(command), args) => [command, args.unwrap_or_default()].concat(),
            (None, Some(args)) => [config.entrypoint.clone(), args].concat(),
            (None, None) => [config.entrypoint.clone(), config.cmd.clone()].concat(),
        };
        self.add_command(
            argv,
            config,
            &variables,
            folder,
            &format!("{place}: command"),
        );
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            self.add_exec(
                container.spec.get(probe),
                config,
                &variables,
                folder,
                &format!("{place}: {probe}"),
            );
        }
        for hook in ["postStart", "preStop"] {
            let handler = container.spec.get("lifecycle").and_then(|l| l.get(hook));
            self.add_exec(
                handler,
                config,
                &variables,
                folder,
                &format!("{place}: {hook}"),
            );
        }
        self.add_environment(config, &variables, &place);
        for spec in [Some(pod.spec), Some(container.spec)] {
            let user = spec
                .and_then(|spec| spec.get("securityContext"))
                .and_then(|context| context.get("runAsUser"))
                .and_then(Value::as_u64)
                .and_then(|user| u32::try_from(user).ok());
            self.users.extend(user);
        }
        self.add_mounts(pod, container, maps);
    }

    fn add_exec(
        &mut self,
        handler: Option<&Value>,
        config: &RunConfig,
        variables: &BTreeMap<String, String>,
        folder: &str,
        place: &str,
    ) {
        let command = handler
            .and_then(|h| h.get("exec"))
            .and_then(|e| e.get("command"));
        // Probes and hooks are run as they are written: no variables are put in.
        if let Some(argv) = words(command, &BTreeMap::new()) {
            self.add_command(argv, config, variables, folder, place);
        }
    }

    fn add_command(
        &mut self,
        argv: Vec<String>,
        config: &RunConfig,
        variables: &BTreeMap<String, String>,
        folder: &str,
        place: &str,
    ) {
        let search = variables
            .get("PATH")
            .map(String::as_str)
            .or_else(|| config.variable("PATH"))
            .unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        let folder = if folder.is_empty() {
            &config.working_dir
        } else {
            folder
        };
        self.commands.insert(Command {
            argv,
            folder: folder.to_owned(),
            search: search.to_owned(),
            place: place.to_owned(),
        });
    }

    fn add_environment(
        &mut self,
        config: &RunConfig,
        variables: &BTreeMap<String, String>,
        place: &str,
    ) {
        let of_image = config.env.iter().filter_map(|entry| entry.split_once('='));
        let of_chart = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in of_image.chain(of_chart) {
            if name != "PATH" {
                let place = format!("{place}: environment {name}");
                self.environment.insert((value.to_owned(), place));
            }
        }
    }

    fn add_mounts(
        &mut self,
        pod: &Pod<'_>,
        container: &Container<'_>,
        maps: &BTreeMap<String, &Map<String, Value>>,
    ) {
        for mount in list(container.spec, "volumeMounts") {
            let path = text(mount.get("mountPath")).trim_end_matches('/');
            if !path.starts_with('/') {
                continue;
            }
            self.mounts.insert(path.to_owned());
            let name = text(mount.get("name"));
            let volume = list(pod.spec, "volumes").find(|volume| text(volume.get("name")) == name);
            let Some(volume) = volume else { continue };
            let projected = volume
                .get("projected")
                .and_then(|p| p.get("sources"))
                .and_then(Value::as_array);
            let sources = std::iter::once(volume).chain(projected.into_iter().flatten());
            for map in sources.filter_map(|source| source.get("configMap")) {
                let Some(data) = maps.get(text(map.get("name"))) else {
                    continue;
                };
                for (key, file) in items(map, data) {
                    let Some(content) = data.get(key).and_then(Value::as_str) else {
                        continue;
                    };
                    let at = match text(mount.get("subPath")) {
                        "" => format!("{path}/{file}"),
                        wanted if wanted == file => path.to_owned(),
                        _ => continue,
                    };
                    if content.len() <= TEXT_LIMIT {
                        self.texts.insert(at, content.to_owned());
                    }
                }
            }
        }
    }
}

/// Keys of a ConfigMap and the files a volume makes of them.
fn items<'a>(map: &'a Value, data: &'a Map<String, Value>) -> Vec<(&'a str, &'a str)> {
    match map.get("items").and_then(Value::as_array) {
        Some(items) => items
            .iter()
            .map(|item| (text(item.get("key")), text(item.get("path"))))
            .collect(),
        None => data
            .keys()
            .map(|key| (key.as_str(), key.as_str()))
            .collect(),
    }
}

/// Data of rendered ConfigMaps by name.
fn config_maps(objects: &[Value]) -> BTreeMap<String, &Map<String, Value>> {
    objects
        .iter()
        .flat_map(quench_chart::workload::objects)
        .filter(|object| text(object.get("kind")) == "ConfigMap")
        .filter_map(|object| {
            let name = text(object.get("metadata")?.get("name"));
            Some((name.to_owned(), object.get("data")?.as_object()?))
        })
        .collect()
}

/// Variables with a literal value; later ones may use earlier ones.
fn variables(container: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut variables = BTreeMap::new();
    for entry in list(container, "env") {
        if let Some(value) = entry.get("value").and_then(Value::as_str) {
            let value = expand(value, &variables);
            variables.insert(text(entry.get("name")).to_owned(), value);
        }
    }
    variables
}

/// Puts variables in as Kubernetes does: `$(NAME)`, with `$$` for a plain `$`; unknown names stay as written.
fn expand(word: &str, variables: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
            continue;
        }
        let name = after
            .strip_prefix('(')
            .and_then(|inner| inner.split_once(')'));
        match name.and_then(|(name, rest)| Some((variables.get(name)?, rest))) {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out + rest
}

fn words(value: Option<&Value>, variables: &BTreeMap<String, String>) -> Option<Vec<String>> {
    let words = value?.as_array()?;
    (!words.is_empty()).then(|| {
        words
            .iter()
            .map(|word| match word {
                Value::String(word) => expand(word, variables),
                other => other.to_string(),
            })
            .collect()
    })
}

fn text(value: Option<&Value>) -> &str {
    value.and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(object: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a Value> {
    object
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn demand(pod: &Value, extra: Vec<Value>) -> Demand {
        let reference: ImageReference = "registry.example.org/demo/nginx:1.22".parse().unwrap();
        let digest = Digest::of(b"image");
        let names = ImageNames {
            reference: &reference,
            digests: vec![&digest],
        };
        let config = RunConfig {
            entrypoint: vec!["/entry".into()],
            cmd: vec!["run".into()],
            working_dir: "/srv".into(),
            ..RunConfig::default()
        };
        let mut objects = extra;
        objects.push(
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": pod}),
        );
        Demand::of(&objects, &names, &config)
    }

    fn argvs(demand: &Demand) -> Vec<Vec<String>> {
        demand.commands.iter().map(|c| c.argv.clone()).collect()
    }

    #[test]
    fn command_replaces_all_and_args_replace_the_rest() {
        let image = "registry.example.org/demo/nginx:1.22";
        let one = |extra: Value| {
            let mut container = json!({"name": "c", "image": image});
            for (key, value) in extra.as_object().unwrap() {
                container[key] = value.clone();
            }
            argvs(&demand(&json!({"containers": [container]}), vec![]))
        };
        assert_eq!(one(json!({})), [["/entry", "run"]]);
        assert_eq!(one(json!({"args": ["x"]})), [["/entry", "x"]]);
        assert_eq!(one(json!({"command": ["y"]})), [["y"]]);
        assert_eq!(
            one(json!({"command": ["y", "$(A)$$(A)$(B)"], "env": [{"name": "A", "value": "1"}]})),
            [["y", "1$(A)$(B)"]]
        );
    }

    #[test]
    fn probes_hooks_users_and_configmaps_count() {
        let digest = Digest::of(b"image");
        let pod = json!({
            "securityContext": {"runAsUser": 5},
            "containers": [{
                "name": "c", "image": format!("internal/mirror/demo/nginx@{digest}"),
                "livenessProbe": {"exec": {"command": ["check"]}},
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "sleep 1"]}}},
                "volumeMounts": [{"name": "v", "mountPath": "/scripts/"}, {"name": "v", "mountPath": "/a.sh", "subPath": "a.sh"}],
            }, {"name": "other", "image": "busybox", "command": ["no"]}],
            "volumes": [{"name": "v", "configMap": {"name": "m"}}],
        });
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a.sh": "#!/bin/sh"}});
        let demand = demand(&pod, vec![map]);
        assert_eq!(
            argvs(&demand),
            [
                vec!["/entry", "run"],
                vec!["check"],
                vec!["sh", "-c", "sleep 1"]
            ]
        );
        assert_eq!(demand.users, BTreeSet::from([5]));
        let texts: Vec<_> = demand.texts.keys().map(String::as_str).collect();
        assert_eq!(texts, ["/a.sh", "/scripts/a.sh"]);
        assert_eq!(demand.places.len(), 1);
    }
}
