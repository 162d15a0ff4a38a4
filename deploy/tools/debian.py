"""Debian packages without root: a private apt state beside the host's sources and keyrings.

The host's package lists, cache and dpkg database are never written. What is downloaded is trusted as far as the
distribution's signed index trusts it: apt checks the index against the keyring and each package against the index.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

# An index older than this is fetched again; younger, the versions of the last run are used again.
INDEX_MAX_AGE_SECONDS = 24 * 3600

INSTALL_LINE = re.compile(r"^Inst (\S+) [^(]*\((\S+) [^)]*\[(\w+)\]\)")


class AptError(Exception):
    """apt could not do what was asked; the message tells what and why."""


class PrivateApt:
    """An apt whose state and cache live under `folder`."""

    def __init__(self, folder, status_file=None):
        """`status_file` names the dpkg database to resolve against; without it nothing counts as installed."""
        if not shutil.which("apt-get"):
            raise AptError("apt-get is missing: this step needs Debian 12 or a relative of it")
        self.folder = Path(folder)
        self.lists = self.folder / "state" / "lists"
        self.archives = self.folder / "cache" / "archives"
        (self.lists / "partial").mkdir(parents=True, exist_ok=True)
        (self.archives / "partial").mkdir(parents=True, exist_ok=True)
        if status_file is None:
            status_file = self.folder / "state" / "status-empty"
            status_file.touch()
        self.options = [
            "-q",
            "-o", f"Dir::State={self.folder / 'state'}",
            "-o", f"Dir::State::status={status_file}",
            "-o", f"Dir::Cache={self.folder / 'cache'}",
            "-o", "Dir::Log=/dev/null",
            "-o", "Debug::NoLocking=1",
            # Root would drop to the user _apt, who may not write here.
            "-o", "APT::Sandbox::User=",
            "-o", "APT::Install-Recommends=false",
            "-o", "Acquire::Languages=none",
            "-o", "Acquire::Retries=3",
        ]

    def _run(self, *arguments, cwd=None):
        command = ["apt-get", *self.options, *arguments]
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"})
        if result.returncode != 0:
            raise AptError(f"apt-get {' '.join(arguments[:6])} failed:\n{(result.stderr or result.stdout).strip()}")
        return result.stdout

    def update(self, force=False):
        """Fetch the signed indices, unless those of a recent run are there and `force` is not set."""
        stamp = self.folder / "state" / "updated"
        if not force and stamp.exists() and time.time() - stamp.stat().st_mtime < INDEX_MAX_AGE_SECONDS:
            return
        try:
            self._run("update")
        except AptError:
            # One foreign source that cannot be reached must not stop us while Debian's own indices are there.
            if not any(self.lists.glob("*_Packages*")):
                raise
        stamp.touch()

    def resolve(self, names):
        """The packages an installation of `names` would add: sorted list of (name, version, architecture)."""
        simulated = self._run("--simulate", "install", *names)
        wanted = []
        for line in simulated.splitlines():
            # Inst libc6 [2.36-9] (2.36-9+deb12u14 Debian:12.15/oldstable [amd64]) []
            # An upgrade shows the installed version first; only the parentheses hold what would be installed.
            found = INSTALL_LINE.match(line)
            if found:
                wanted.append(found.groups())
        return sorted(set(wanted))

    def download(self, packages):
        """The .deb files of `packages` as given by `resolve`, in that order; kept from earlier runs where possible."""
        missing = [p for p in packages if not self._deb(p).exists()]
        if missing:
            self._run("download", *[f"{name}={version}" for name, version, _ in missing], cwd=self.archives)
        for package in packages:
            if not self._deb(package).exists():
                raise AptError(f"apt-get download left no {self._deb(package).name} in {self.archives}")
        return [self._deb(package) for package in packages]

    def fetch(self, names):
        """Resolve and download `names`: (packages, .deb files). Lists that went stale are fetched anew, once."""
        self.update()
        try:
            packages = self.resolve(names)
            return packages, self.download(packages)
        except AptError:
            # A mirror drops a version as soon as its security update is out.
            self.update(force=True)
            packages = self.resolve(names)
            return packages, self.download(packages)

    def _deb(self, package):
        name, version, architecture = package
        return self.archives / f"{name.split(':')[0]}_{version.replace(':', '%3a')}_{architecture}.deb"
