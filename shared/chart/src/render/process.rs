//! Running helm without trust.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::{Helm, Limits, RenderError, Request};

/// Helm's messages are short; a chart's `fail` can make them long.
const MAX_MESSAGE: usize = 64 << 10;

/// A folder of its own for one run: home, helm's folders, values files.
pub(super) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(super) fn new() -> Result<Self, RenderError> {
        let make = || {
            let folder = tempfile::Builder::new().prefix("quench-helm-").tempdir()?;
            std::fs::create_dir(folder.path().join("tmp"))?;
            Ok(Self(folder))
        };
        make().map_err(|source| RenderError::Io {
            path: std::env::temp_dir(),
            source,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }
}

/// Arguments of `helm template`; values go into files under the scratch folder.
pub(super) fn arguments(
    scratch: &Scratch,
    chart: &Path,
    request: &Request,
) -> Result<Vec<OsString>, RenderError> {
    let mut arguments: Vec<OsString> = vec!["template".into()];
    // As `--flag=value`, so that no value is ever taken for a flag.
    let mut flag = |name: &str, value: &str| arguments.push(format!("--{name}={value}").into());
    flag("namespace", &request.namespace);
    if let Some(version) = &request.kube_version {
        flag("kube-version", version);
    }
    for version in &request.api_versions {
        flag("api-versions", version);
    }
    if request.include_crds {
        flag("include-crds", "true");
    }
    if request.is_upgrade {
        flag("is-upgrade", "true");
    }
    for expression in &request.set {
        flag("set", expression);
    }
    for (index, text) in request.values.iter().enumerate() {
        // Relative to the folder helm runs in: helm would split a path with a comma in two.
        let name = format!("values-{index}.yaml");
        let path = scratch.path().join(&name);
        std::fs::write(&path, text).map_err(|source| RenderError::Io {
            path: path.clone(),
            source,
        })?;
        arguments.push(format!("--values={name}").into());
    }
    arguments.push("--".into());
    arguments.push((&request.release).into());
    arguments.push(chart.into());
    Ok(arguments)
}

/// Runs helm and returns what it prints.
pub(super) async fn run(
    helm: &Helm,
    scratch: &Scratch,
    arguments: &[OsString],
    chart: &str,
) -> Result<String, RenderError> {
    let start = |source| RenderError::Start {
        program: helm.program.clone(),
        source,
    };
    // The shell that starts it would only say so on stderr.
    if !helm.program.is_file() {
        return Err(start(std::io::ErrorKind::NotFound.into()));
    }
    let mut child = command(helm, scratch, arguments).spawn().map_err(start)?;
    let group = child.id();
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let limits = &helm.limits;
    let finished = tokio::time::timeout(limits.time, async {
        let (output, message) =
            tokio::join!(collect(stdout, limits.output), collect(stderr, MAX_MESSAGE));
        (output, message, child.wait().await)
    })
    .await;
    let over = |limit: String| RenderError::Limit {
        chart: chart.to_owned(),
        limit,
    };
    let Ok((output, message, status)) = finished else {
        end(group);
        return Err(over(format!("{} s", limits.time.as_secs())));
    };
    let io = |source| RenderError::Io {
        path: helm.program.clone(),
        source,
    };
    let output = output.map_err(io)?;
    let status = status.map_err(io)?;
    if output.cut {
        end(group);
        return Err(over(format!("{} bytes of output", limits.output)));
    }
    if status.success() {
        return String::from_utf8(output.bytes).map_err(|_| RenderError::Helm {
            chart: chart.to_owned(),
            message: "what it renders to is not UTF-8".to_owned(),
        });
    }
    let message = message.map_err(io)?;
    let message = String::from_utf8_lossy(&message.bytes);
    if let Some(limit) = limit_in(&message, &status, limits) {
        return Err(over(limit));
    }
    Err(RenderError::Helm {
        chart: chart.to_owned(),
        message: readable(&message, scratch, &status),
    })
}

/// Ways to run a program without a network: in a user namespace, which any user may have where the system allows it, or as
/// root.
const ISOLATIONS: [&[&str]; 2] = [
    &["unshare", "--user", "--map-root-user", "--net", "--"],
    &["unshare", "--net", "--"],
];

/// The first way that works here.
pub(super) fn isolation() -> Result<&'static [&'static str], RenderError> {
    let mut reason = String::new();
    for isolation in ISOLATIONS {
        let Some((program, arguments)) = isolation.split_first() else {
            continue;
        };
        let tried = std::process::Command::new(program)
            .args(arguments)
            .arg("true")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output();
        match tried {
            Ok(output) if output.status.success() => return Ok(isolation),
            Ok(output) => {
                String::from_utf8_lossy(&output.stderr)
                    .trim()
                    .clone_into(&mut reason);
            }
            Err(error) => reason = format!("{program}: {error}"),
        }
    }
    Err(RenderError::NoIsolation { reason })
}

fn command(helm: &Helm, scratch: &Scratch, arguments: &[OsString]) -> Command {
    let limits = &helm.limits;
    // The shell sets the limits and then becomes helm. The CPU limit must be a hard one, since Go programs ignore SIGXCPU. A limit
    // cannot be set where a lower one holds already.
    let script = format!(
        "ulimit -v {}; ulimit -t {}; ulimit -c 0; exec \"$0\" \"$@\"",
        limits.address_space / 1024,
        limits.cpu_seconds
    );
    let mut command = Command::new("/bin/sh");
    command
        .arg("-c")
        .arg(script)
        .args(helm.isolation)
        .arg(&helm.program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("GOMEMLIMIT", limits.soft_memory.to_string())
        // A helm that cannot reach a cluster must not look for one.
        .env("KUBECONFIG", "/dev/null")
        .env("HELM_NO_PLUGINS", "1")
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    for (name, folder) in [
        ("HOME", "home"),
        ("TMPDIR", "tmp"),
        ("XDG_CONFIG_HOME", "home/config"),
        ("XDG_DATA_HOME", "home/data"),
        ("XDG_CACHE_HOME", "home/cache"),
        ("HELM_CONFIG_HOME", "home/config/helm"),
        ("HELM_DATA_HOME", "home/data/helm"),
        ("HELM_CACHE_HOME", "home/cache/helm"),
        ("HELM_PLUGINS", "home/data/helm/plugins"),
    ] {
        command.env(name, scratch.path().join(folder));
    }
    command
}

struct Collected {
    bytes: Vec<u8>,
    cut: bool,
}

/// Reads up to `limit` bytes; what comes after is left unread.
async fn collect(
    stream: Option<impl AsyncRead + Unpin>,
    limit: usize,
) -> std::io::Result<Collected> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let mut stream = stream.take(limit as u64 + 1);
        stream.read_to_end(&mut bytes).await?;
    }
    let cut = bytes.len() > limit;
    bytes.truncate(limit);
    Ok(Collected { bytes, cut })
}

/// Kills the process group that a run started.
fn end(group: Option<u32>) {
    let group = group
        .and_then(|id| i32::try_from(id).ok())
        .and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // It may have ended by itself meanwhile, which is as good.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
}

/// Which limit a failed run hit, if it was one.
fn limit_in(message: &str, status: &std::process::ExitStatus, limits: &Limits) -> Option<String> {
    use std::os::unix::process::ExitStatusExt;
    const SIGKILL: i32 = 9;
    // This module's own kills do not come here.
    if status.signal() == Some(SIGKILL) {
        return Some(format!(
            "{} s of CPU time (or the machine ran out of memory)",
            limits.cpu_seconds
        ));
    }
    // How the Go runtime dies where the kernel gives it no more address space.
    if message.contains("fatal error: out of memory")
        || message.contains("fatal error: runtime: out of memory")
        || message.contains("fatal error: runtime: cannot allocate memory")
        || message.contains("fatal error: runtime: cannot map pages")
    {
        return Some(format!("{} bytes of address space", limits.address_space));
    }
    message
        .contains("stack exceeds")
        .then(|| "depth of nested templates".to_owned())
}

/// Helm's message without what is no news to the reader: its prefix, and scratch paths.
fn readable(message: &str, scratch: &Scratch, status: &std::process::ExitStatus) -> String {
    let scratch = scratch.path().display().to_string();
    let lines: Vec<&str> = message
        .lines()
        // Where helm itself crashes, what its goroutines were doing helps nobody here.
        .take_while(|line| !line.starts_with("goroutine "))
        .filter(|line| {
            !line.trim().is_empty()
                && !line.starts_with("Use --debug flag")
                && !line.contains("ulimit: ")
                && !line.starts_with("level=")
                && !line.starts_with("WARNING: Kubernetes configuration file")
        })
        .collect();
    let text = lines.join("\n").replace(&format!("{scratch}/"), "");
    let text = text.strip_prefix("Error: ").unwrap_or(&text).trim();
    if text.is_empty() {
        format!("it ended with {status} and said nothing")
    } else {
        text.to_owned()
    }
}
