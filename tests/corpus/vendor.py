"""Makes a folder of charts with their dependencies out of git repositories of charts.

    python3 tests/corpus/vendor.py bitnami-charts.git helm-charts.git --also grafana-charts.git -o charts

Every folder `<group>/<name>/Chart.yaml` of a repository's newest commit becomes a chart of the output. A dependency that
the chart does not carry itself is taken from the repositories given: the version its lock file names, else the newest of
their history that its range allows. Nothing is fetched from a network. A chart with a dependency that is in none of the
repositories is left out, and told.

Needs git and PyYAML.
"""

import argparse
import functools
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

try:
    import yaml
except ImportError:
    sys.exit("vendor: PyYAML is not there: install python3-yaml, or PyYAML with pip")


class Repository:
    """A git repository, with or without a work tree."""

    def __init__(self, folder):
        self.folder = folder

    def git(self, *arguments):
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True).stdout

    @functools.cached_property
    def charts(self):
        """Paths of the charts of the newest commit, by name of the folder."""
        paths = self.git("ls-tree", "-r", "--name-only", "HEAD").decode().splitlines()
        matches = (re.fullmatch(r"([^/.]+/([^/]+))/Chart\.yaml", path) for path in paths)
        return {match[2]: match[1] for match in matches if match}

    @functools.lru_cache(maxsize=None)
    def versions(self, chart):
        """(version, commit) of a chart through its history, newest first."""
        path = f"{self.charts[chart]}/Chart.yaml"
        commits = self.git("log", "--format=%H", "--", path).decode().split()
        found = {}
        for commit in commits:
            try:
                text = self.git("show", f"{commit}:{path}")
            except subprocess.CalledProcessError:
                continue
            version = re.search(rb"^version:\s*[\"']?([^\s\"']+)", text, re.MULTILINE)
            if version:
                found.setdefault(version[1].decode(), commit)
        return sorted(found.items(), key=lambda item: order(item[0]), reverse=True)

    def extract(self, path, commit, target):
        """The folder `path` of a commit, as `target`."""
        process = subprocess.Popen(
            ["git", "-C", str(self.folder), "archive", "--format=tar", f"{commit}:{path}"], stdout=subprocess.PIPE
        )
        target.mkdir(parents=True)
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            archive.extractall(target, filter="data")
        if process.wait() != 0:
            raise RuntimeError(f"git archive of {path} at {commit} failed")


def order(version):
    """Sorts versions; those that are no releases come before all others."""
    match = re.fullmatch(r"v?(\d+)\.(\d+)\.(\d+)(-.*)?(\+.*)?", version)
    if not match:
        return (-1, 0, 0, 0)
    return (int(match[1]), int(match[2]), int(match[3]), 0 if match[4] else 1)


def allows(text, version):
    """Whether a range as charts write it (`2.x.x`, `^1.2`, `~4.1.0`, `>=1.0`, `1.2.3`, `*`) allows a version."""
    numbers = order(version)
    if numbers[0] < 0 or not numbers[3]:
        return text == version
    for part in re.split(r"[,\s]+", re.sub(r"([<>=^~]+)\s+", r"\1", text.strip())):
        match = re.fullmatch(r"([<>=^~]*)v?([\dxX*]+)(?:\.([\dxX*]+))?(?:\.([\dxX*]+))?(?:[-+].*)?", part)
        if not match:
            return False
        given = [int(piece) if piece and piece.isdigit() else None for piece in match.groups()[1:]]
        known = given[: given.index(None)] if None in given else given
        low = tuple(known + [0] * (3 - len(known)))
        mark = match[1] or "="
        ours = numbers[:3]
        if mark == "=":
            fits = list(ours[: len(known)]) == known
        elif mark == "^":
            fits = ours >= low and ours[0] == low[0]
        elif mark == "~":
            fits = ours >= low and list(ours[: min(2, len(known))]) == known[:2]
        else:
            fits = {">=": ours >= low, ">": ours > low, "<=": ours <= low, "<": ours < low}.get(mark, False)
        if not fits:
            return False
    return True


def read(path):
    return (yaml.safe_load(path.read_text()) or {}) if path.is_file() else {}


def vendor(chart, repositories):
    """Puts what `chart` depends on into its `charts` folder, and so on downwards."""
    dependencies = read(chart / "Chart.yaml").get("dependencies") or read(chart / "requirements.yaml").get("dependencies") or []
    locked = {entry["name"]: entry["version"] for entry in read(chart / "Chart.lock").get("dependencies") or []}
    for dependency in dependencies:
        name, wanted = dependency["name"], str(dependency.get("version") or "*")
        target = chart / "charts" / name
        packed = list((chart / "charts").glob(f"{name}-*.tgz"))
        if target.is_dir() or packed:
            continue
        repository, commit = choose(name, wanted, locked.get(name), repositories)
        repository.extract(repository.charts[name], commit, target)
        vendor(target, nearest_first(repository, repositories))


def nearest_first(repository, repositories):
    """The repositories, that one before all others."""
    return [repository, *(each for each in repositories if each is not repository)]


def choose(name, wanted, locked, repositories):
    """The repository, the nearest first, and the commit with the best version of a chart."""
    for repository in repositories:
        if name in repository.charts:
            fitting = [item for item in repository.versions(name) if allows(wanted, item[0])]
            for version, commit in fitting:
                if version == locked:
                    return repository, commit
            if fitting:
                return repository, fitting[0][1]
    raise LookupError(f"{name} {wanted} is in none of the repositories")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("repository", nargs="+", type=Path, help="git repositories, with or without a work tree")
    parser.add_argument("--also", action="append", default=[], type=Path, metavar="REPOSITORY", help="one that gives dependencies only")
    parser.add_argument("-o", "--output", required=True, type=Path, help="a folder that is not there yet, or empty")
    arguments = parser.parse_args()
    given = [Repository(folder) for folder in arguments.repository]
    repositories = given + [Repository(folder) for folder in arguments.also]
    if arguments.output.exists() and any(arguments.output.iterdir()):
        parser.error(f"{arguments.output} is not empty; give another folder, or remove it")
    failed = 0
    for repository in given:
        for name, path in sorted(repository.charts.items()):
            target = arguments.output / name
            if target.exists():
                target = arguments.output / f"{name}-2"
            repository.extract(path, "HEAD", target)
            try:
                vendor(target, nearest_first(repository, repositories))
            except LookupError as error:
                failed += 1
                shutil.rmtree(target)
                print(f"vendor: {name} is left out: {error}", file=sys.stderr)
    print(f"{len(list(arguments.output.iterdir()))} charts in {arguments.output}, {failed} left out")


if __name__ == "__main__":
    main()
