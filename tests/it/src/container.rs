//! Runs a pod's containers under runc as a node would: user, capabilities, read-only root, volumes and mounts of the
//! rendered pod, in network and process namespaces of its own. Needs root.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::confinement::{capabilities, seccomp};
use crate::environment::Environment;
use crate::pod::{Objects, list, string};
use crate::process::{Process, START, wait_until};
use crate::tools::run;
use crate::volumes::{self, Claims, Volume};

/// An image ready to run: its unpacked root and the `config` object of its configuration.
#[derive(Debug, Clone)]
pub struct Image {
    /// Root folder; runc adds missing mount points to it, so it must be a copy nobody else needs.
    pub root: PathBuf,
    /// `User`, `Entrypoint`, `Cmd`, `Env`, `WorkingDir` as OCI names them.
    pub config: Value,
}

/// A pod being run: its volumes, and the containers started so far.
#[derive(Debug)]
pub struct Pod {
    runc: PathBuf,
    folder: TempDir,
    template: Value,
    objects: Objects,
    volumes: BTreeMap<String, Volume>,
}

/// A running container. Dropping it kills it.
#[derive(Debug)]
pub struct Container {
    runc: PathBuf,
    state: PathBuf,
    id: String,
    process: Process,
    pid: u32,
}

impl Pod {
    /// Prepares the volumes of a pod template; `objects` are the ConfigMaps and Secrets it may refer to, `claims` the
    /// persistent volumes, which stay when the pod goes.
    pub fn prepare(
        runc: &Path,
        template: &Value,
        objects: &Objects,
        claims: &Claims,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("quench-pod-").tempdir()?;
        let spec = template.get("spec").unwrap_or(&Value::Null);
        let volumes = volumes::prepare(&folder.path().join("volumes"), spec, objects, claims)?;
        Ok(Self {
            runc: runc.to_path_buf(),
            folder,
            template: template.clone(),
            objects: objects.clone(),
            volumes,
        })
    }

    /// Runs the init containers in order, each to its end.
    pub fn run_init_containers(&self, image: &Image) -> Result<()> {
        for container in list(self.spec(), "initContainers") {
            let mut running = self.start(container, image)?;
            let name = running.id.clone();
            let status = wait_until(&name, Duration::from_secs(30), || {
                running.process.ended().ok().flatten()
            })?;
            ensure!(
                status.success(),
                "init container {name} ended with {status}:\n{}",
                running.log()
            );
        }
        Ok(())
    }

    /// Starts the only container of the pod.
    pub fn start_only_container(&self, image: &Image) -> Result<Container> {
        match list(self.spec(), "containers") {
            [container] => self.start(container, image),
            others => bail!("the pod has {} containers, not one", others.len()),
        }
    }

    fn spec(&self) -> &Value {
        self.template.get("spec").unwrap_or(&Value::Null)
    }

    fn start(&self, container: &Value, image: &Image) -> Result<Container> {
        let name = string(container, "/name").context("a container has no name")?;
        let id = format!("quench-{}-{name}", std::process::id());
        let bundle = self.folder.path().join("bundles").join(&name);
        fs::create_dir_all(&bundle)?;
        let config = self.oci_config(container, image)?;
        fs::write(
            bundle.join("config.json"),
            serde_json::to_vec_pretty(&config)?,
        )?;
        let state = self.folder.path().join("runc");
        let pid_file = bundle.join("pid");
        let mut process = Process::start(
            &name,
            Command::new(&self.runc)
                .arg("--root")
                .arg(&state)
                .args(["run", "--bundle"])
                .arg(&bundle)
                .arg("--pid-file")
                .arg(&pid_file)
                .arg(&id),
            &bundle.join("log"),
        )?;
        // A short-lived container may be gone before its file is read; then there is no process to look into.
        let pid = process
            .wait_for(|_| {
                fs::read_to_string(&pid_file)
                    .ok()?
                    .trim()
                    .parse::<u32>()
                    .ok()
            })
            .or_else(|error| match process.ended() {
                Ok(Some(status)) if status.success() => Ok(0),
                _ => Err(error),
            })?;
        Ok(Container {
            runc: self.runc.clone(),
            state,
            id,
            process,
            pid,
        })
    }

    fn oci_config(&self, container: &Value, image: &Image) -> Result<Value> {
        let pod_context = self.spec().get("securityContext").unwrap_or(&Value::Null);
        let context = container.get("securityContext").unwrap_or(&Value::Null);
        let setting = |key: &str| context.get(key).or_else(|| pod_context.get(key));
        let (image_uid, image_gid) = image_user(image)?;
        let uid = setting("runAsUser").and_then(Value::as_u64).or(image_uid);
        let uid = uid.context("neither the pod nor the image says which user to run as")?;
        if setting("runAsNonRoot").and_then(Value::as_bool) == Some(true) {
            ensure!(uid != 0, "the pod says runAsNonRoot and the user is 0");
        }
        let gid = setting("runAsGroup")
            .and_then(Value::as_u64)
            .or(image_gid)
            .unwrap_or(0);
        let arguments = |key: &str, from_image: &str| match container.get(key) {
            Some(value) => value.clone(),
            None => image.config.get(from_image).cloned().unwrap_or_default(),
        };
        // A command in the pod replaces the image's arguments too.
        let command = arguments("command", "Entrypoint");
        let rest = if container.get("command").is_some() {
            container.get("args").cloned().unwrap_or_default()
        } else {
            arguments("args", "Cmd")
        };
        let environment = Environment::of(&image.config, container, &self.objects)?;
        let args: Vec<String> = [command, rest]
            .iter()
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .map(|word| environment.expand(word))
            .collect();
        let groups: Vec<&Value> = list(pod_context, "supplementalGroups")
            .iter()
            .chain(pod_context.get("fsGroup"))
            .collect();
        let capabilities = capabilities(context);
        let read_only = context
            .get("readOnlyRootFilesystem")
            .and_then(Value::as_bool)
            == Some(true);
        let directory =
            string(container, "/workingDir").or_else(|| string(&image.config, "/WorkingDir"));
        Ok(json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": { "uid": uid, "gid": gid, "additionalGids": groups },
                "args": args,
                "env": environment.lines(),
                "cwd": directory.filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned()),
                "noNewPrivileges": context.get("allowPrivilegeEscalation").and_then(Value::as_bool) == Some(false),
                // Runtimes give no ambient capabilities, so the kernel takes all of them from who is not root.
                "capabilities": {
                    "bounding": capabilities, "effective": capabilities, "permitted": capabilities, "inheritable": [], "ambient": [],
                },
            },
            "root": { "path": image.root, "readonly": read_only },
            "hostname": "quench-test",
            "mounts": self.mounts(container)?,
            "linux": {
                "namespaces": [
                    { "type": "pid" }, { "type": "ipc" }, { "type": "uts" }, { "type": "mount" }, { "type": "network" },
                ],
                "seccomp": seccomp(setting("seccompProfile"))?,
                "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
                "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
            },
        }))
    }

    fn mounts(&self, container: &Value) -> Result<Vec<Value>> {
        let mut mounts = vec![
            json!({ "destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"] }),
            json!({ "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"] }),
            json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"] }),
        ];
        let mut asked: Vec<&Value> = list(container, "volumeMounts").iter().collect();
        // Runtimes mount outer folders before those inside them.
        asked
            .sort_by_key(|mount| string(mount, "/mountPath").map(|path| path.matches('/').count()));
        for mount in asked {
            let name = string(mount, "/name").context("a volume mount has no name")?;
            let volume = self
                .volumes
                .get(&name)
                .with_context(|| format!("there is no volume {name}"))?;
            let mut source = volume.path.clone();
            if let Some(sub_path) = string(mount, "/subPath") {
                source = source.join(sub_path);
                if !source.exists() {
                    // The kubelet makes missing folders of an emptyDir's subPath.
                    fs::create_dir_all(&source)?;
                    fs::set_permissions(&source, Permissions::from_mode(0o777))?;
                }
            }
            let writable =
                mount.get("readOnly").and_then(Value::as_bool) != Some(true) && !volume.read_only;
            mounts.push(json!({
                "destination": string(mount, "/mountPath").context("a volume mount has no path")?,
                "type": "bind",
                "source": source,
                "options": ["rbind", if writable { "rw" } else { "ro" }, "nosuid", "nodev"],
            }));
        }
        Ok(mounts)
    }
}

impl Container {
    /// Process id of the container's first process, as the host sees it.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// What the container has printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// `(uid, gid)` its first process really runs as, read from the kernel.
    pub fn user(&self) -> Result<(u32, u32)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let id = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key))?;
            line.split_whitespace().nth(1)?.parse().ok()
        };
        id("Uid:")
            .zip(id("Gid:"))
            .context("the process status names no user")
    }

    /// `GET path` from inside the container's network; gives status code and body. Waits until the server listens.
    pub fn http_get(&mut self, port: u16, path: &str) -> Result<(u16, String)> {
        let deadline = Instant::now() + START;
        loop {
            match self.request(port, path) {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    if let Some(status) = self.process.ended()? {
                        bail!("the container ended with {status}:\n{}", self.log());
                    }
                    if Instant::now() > deadline {
                        return Err(error.context(format!("no answer:\n{}", self.log())));
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
    }

    /// Runs a program inside, as the kubelet does for probes: same user, environment and limits. Gives whether it succeeded,
    /// and what it printed.
    pub fn execute(&self, command: &[String]) -> Result<(bool, String)> {
        let output = Command::new(&self.runc)
            .arg("--root")
            .arg(&self.state)
            .args(["exec", &self.id])
            .args(command)
            .stdin(Stdio::null())
            .output()
            .context("runc cannot be started")?;
        let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
        printed.push_str(&String::from_utf8_lossy(&output.stderr));
        Ok((output.status.success(), printed))
    }

    /// Asks a probe of the pod once: `Err` says why it failed.
    fn ask(&self, probe: &Value, container: &Value) -> Result<()> {
        if let Some(command) = probe.pointer("/exec/command").and_then(Value::as_array) {
            let command: Vec<String> = command
                .iter()
                .filter_map(|word| word.as_str().map(str::to_owned))
                .collect();
            let (succeeded, printed) = self.execute(&command)?;
            ensure!(succeeded, "{command:?} failed: {printed}");
            return Ok(());
        }
        let action = ["httpGet", "tcpSocket"]
            .into_iter()
            .find_map(|key| probe.get(key))
            .with_context(|| format!("a probe of a kind this harness cannot ask: {probe}"))?;
        let port = port_number(action, container)?;
        match string(action, "/path") {
            Some(path) => {
                let (status, _) = self.request(port, &path)?;
                ensure!((200..400).contains(&status), "{path} answered {status}");
            }
            None => {
                self.connect(port, "true")?;
            }
        }
        Ok(())
    }

    /// Waits until every probe of the container, as the pod declares it, has succeeded; gives how many it has.
    pub fn wait_for_probes(&mut self, container: &Value) -> Result<usize> {
        let mut asked = 0;
        for name in ["startupProbe", "readinessProbe", "livenessProbe"] {
            let Some(probe) = container.get(name).filter(|probe| !probe.is_null()) else {
                continue;
            };
            asked += 1;
            let deadline = Instant::now() + START;
            loop {
                let Err(error) = self.ask(probe, container) else {
                    break;
                };
                if let Some(status) = self.process.ended()? {
                    bail!("the container ended with {status}:\n{}", self.log());
                }
                if Instant::now() > deadline {
                    return Err(error.context(format!("{name} never succeeded:\n{}", self.log())));
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        Ok(asked)
    }

    /// Asks it to end, as the kubelet does, and waits until it has.
    pub fn stop(mut self, signal: &str) -> Result<()> {
        run(Command::new(&self.runc)
            .arg("--root")
            .arg(&self.state)
            .args(["kill", &self.id, signal]))?;
        wait_until(&self.id, START, || self.process.ended().ok().flatten())
            .with_context(|| format!("it did not end after {signal}:\n{}", self.log()))?;
        Ok(())
    }

    /// A program that is a connection to a port inside the container's network: what it reads goes there, what comes back
    /// it prints. It ends when the server closes the connection.
    pub fn dial(&self, port: u16) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.pid.to_string(), "--net", "bash", "-c"])
            .arg(format!(
                "exec 3<>/dev/tcp/127.0.0.1/{port} 4<&0 || exit; cat <&4 >&3 & cat <&3; kill $!"
            ));
        command
    }

    /// What `script` prints in a shell whose descriptor 3 is a connection to a port inside the container's network.
    fn connect(&self, port: u16, script: &str) -> Result<Vec<u8>> {
        run(Command::new("nsenter")
            .args(["--target", &self.pid.to_string(), "--net", "bash", "-c"])
            .arg(format!("exec 3<>/dev/tcp/127.0.0.1/{port} && {script}")))
    }

    fn request(&self, port: u16, path: &str) -> Result<(u16, String)> {
        let script =
            format!("printf 'GET {path} HTTP/1.0\\r\\nHost: test\\r\\n\\r\\n' >&3 && cat <&3");
        let answer = self.connect(port, &script)?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .context("the answer has no end of headers")?;
        let status = head
            .split_whitespace()
            .nth(1)
            .and_then(|code| code.parse().ok());
        Ok((
            status.with_context(|| format!("no status in {head:?}"))?,
            body.to_owned(),
        ))
    }
}

/// The port of a probe's action: a number, or the name of one of the container's.
fn port_number(action: &Value, container: &Value) -> Result<u16> {
    let port = action.get("port").context("a probe names no port")?;
    let number = match port.as_str() {
        None => port.as_u64(),
        Some(name) => list(container, "ports")
            .iter()
            .find(|port| string(port, "/name").as_deref() == Some(name))
            .and_then(|port| port.get("containerPort")?.as_u64()),
    };
    let number = number.with_context(|| format!("the container has no port {port}"))?;
    Ok(u16::try_from(number)?)
}

impl Drop for Container {
    fn drop(&mut self) {
        let mut kill = Command::new(&self.runc);
        kill.arg("--root")
            .arg(&self.state)
            .args(["kill", &self.id, "KILL"]);
        // It may have ended by itself; runc removes what it made once its process is gone.
        kill.output().ok();
        wait_until(&self.id, Duration::from_secs(5), || {
            self.process.ended().ok().flatten()
        })
        .ok();
        let mut delete = Command::new(&self.runc);
        delete
            .arg("--root")
            .arg(&self.state)
            .args(["delete", "--force", &self.id]);
        delete.output().ok();
    }
}

/// Numeric user and group of the image's `User`, looked up in the image's own files.
fn image_user(image: &Image) -> Result<(Option<u64>, Option<u64>)> {
    let user = string(&image.config, "/User").unwrap_or_default();
    let (user, group) = match user.split_once(':') {
        Some((user, group)) => (user.to_owned(), group.parse().ok()),
        None => (user, None),
    };
    if user.is_empty() {
        return Ok((Some(0), Some(0)));
    }
    let passwd = fs::read_to_string(image.root.join("etc/passwd")).unwrap_or_default();
    for line in passwd.lines() {
        if let [name, _, uid, gid, ..] = line.split(':').collect::<Vec<_>>().as_slice()
            && (*name == user || *uid == user)
        {
            return Ok((uid.parse().ok(), group.or_else(|| gid.parse().ok())));
        }
    }
    Ok((user.parse().ok(), group))
}
