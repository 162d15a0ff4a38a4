//! Where the pinned tools and Quench's own binaries are.

use std::collections::BTreeMap;
use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context as _, Result, ensure};

/// The folder that holds the workspace manifest.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// A tool by name: in the folder of the pinned tools first, then on `PATH`, then where Debian keeps the programs of
/// administrators.
pub fn find(name: &str) -> Option<PathBuf> {
    let pinned = match env::var_os("QUENCH_TOOLS") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => env::home_dir().map(|home| home.join(".cache/quench/tools")),
    };
    let path = env::var_os("PATH").unwrap_or_default();
    pinned
        .map(|folder| folder.join("bin"))
        .into_iter()
        .chain(env::split_paths(&path))
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// Whether a missing tool is a failure here.
pub fn required() -> bool {
    env::var_os("QUENCH_REQUIRE_TOOLS").is_some_and(|value| !value.is_empty())
}

/// Whether this process is root, which some container tests need.
pub fn is_root() -> bool {
    // The owner of our own entry in /proc is our effective user.
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// What a run of `quench` with these arguments printed, to standard output and standard error.
///
/// # Errors
/// It did not end with exit code `code`; the message holds what it printed.
pub fn expect_exit(arguments: &[&str], output: &Output, code: i32) -> Result<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    ensure!(
        output.status.code() == Some(code),
        "quench {arguments:?} ended with {}, not {code}:\n{out}{err}",
        output.status
    );
    Ok((out, err))
}

/// Tells standard error that a test did not run. Use [`skip!`](crate::skip).
pub fn announce_skip(test: &str, reason: &str) {
    let mut stderr = std::io::stderr();
    // Nobody to tell when standard error is closed.
    let _ = writeln!(stderr, "SKIPPED: {test}: {reason}");
}

/// One of Quench's own binaries, built from the current sources by the first test that asks.
///
/// `package` is the crate, `binary` the program it makes. Cargo decides whether there is anything to build, so a stale
/// binary is never tested. `QUENCH_BINARIES` names a folder of programs to test instead, such as those of a release.
pub fn quench_binary(package: &str, binary: &str) -> Result<PathBuf> {
    if let Some(folder) = env::var_os("QUENCH_BINARIES") {
        let path = PathBuf::from(folder).join(binary);
        ensure!(path.is_file(), "QUENCH_BINARIES has no {binary}");
        return Ok(path);
    }
    static BUILT: LazyLock<Mutex<BTreeMap<String, PathBuf>>> = LazyLock::new(Mutex::default);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(binary) {
        return Ok(path.clone());
    }
    let folder = profile_folder()?;
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .current_dir(workspace())
        .args([
            "build",
            "--quiet",
            "--locked",
            "--package",
            package,
            "--bin",
            binary,
        ])
        .stdin(Stdio::null());
    if folder.ends_with("release") {
        command.arg("--release");
    }
    if let Some(target) = folder.parent() {
        command.arg("--target-dir").arg(target);
    }
    let output = command.output().context("cargo cannot be started")?;
    ensure!(
        output.status.success(),
        "cargo build of {binary} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = folder.join(binary);
    ensure!(path.is_file(), "cargo built no {}", path.display());
    built.insert(binary.to_owned(), path.clone());
    Ok(path)
}

/// The `quench` command.
pub fn quench() -> Result<PathBuf> {
    quench_binary("quench-cli", "quench")
}

/// `target/debug` or `target/release`: two levels above the test binary, which lies in `deps`.
fn profile_folder() -> Result<PathBuf> {
    let test = env::current_exe().context("the test binary cannot be located")?;
    test.ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .with_context(|| format!("{} does not lie in a target folder", test.display()))
}

/// Runs a program to its end and gives its standard output; failure carries its standard error.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let shown = format!("{command:?}");
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{shown} cannot be started"))?;
    ensure!(
        output.status.success(),
        "{shown} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}
