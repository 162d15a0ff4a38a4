#!/usr/bin/env python3
"""Put a container image together from Debian packages: no root, no Docker, no script of any package is run.

    build-image.py RECIPE.toml -o FOLDER [--cache FOLDER]

FOLDER becomes an OCI image layout. Packages come through the host's apt sources and keyrings (see
deploy/tools/debian.py); their versions are those the distribution's signed index names. The same packages and the same
recipe give the same bytes. Prints the manifest's digest.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tools"))
from debian import AptError, PrivateApt  # noqa: E402

KEY_ANNOTATION = "dev.quench.demo.key"
# Debian 12 keeps these as links into /usr, made before the first package is unpacked.
MERGED = ("bin", "lib", "lib32", "lib64", "libx32", "sbin")
# Folders that the scripts of base-files make: path, mode, group.
BASE_FOLDERS = [
    ("etc/opt", 0o755, 0), ("media", 0o755, 0), ("mnt", 0o755, 0), ("opt", 0o755, 0), ("run/lock", 0o1777, 0),
    ("srv", 0o755, 0), ("usr/local", 0o755, 0), ("usr/local/bin", 0o755, 0), ("usr/local/etc", 0o755, 0),
    ("usr/local/games", 0o755, 0), ("usr/local/include", 0o755, 0), ("usr/local/lib", 0o755, 0),
    ("usr/local/sbin", 0o755, 0), ("usr/local/share", 0o755, 0), ("usr/local/share/man", 0o755, 0),
    ("usr/local/src", 0o755, 0), ("var/mail", 0o2775, 8), ("var/opt", 0o755, 0),
]
BASE_COPIES = [
    ("usr/share/base-files/dot.profile", "root/.profile"), ("usr/share/base-files/dot.bashrc", "root/.bashrc"),
    ("usr/share/base-files/profile", "etc/profile"), ("usr/share/base-files/motd", "etc/motd"),
    ("usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf"),
]


class BuildError(Exception):
    """The image cannot be built; the message says what is wrong with which package or recipe line."""


class Tree:
    """The files of an image, by path without leading slash, and which layer each was last written in."""

    def __init__(self, epoch):
        self.epoch = epoch
        self.entries = {}
        self.layer = 0

    def put(self, path, kind, mode=0o644, uid=0, gid=0, data=b"", to=""):
        """Add or replace one entry; parents that are missing become root's folders."""
        parent = os.path.dirname(path)
        if parent and parent not in self.entries:
            self.put(parent, tarfile.DIRTYPE, 0o755)
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.uid, entry.gid, entry.mtime = kind, mode, uid, gid, self.epoch
        entry.linkname, entry.size = to, len(data)
        before = self.entries.get(path)
        if before and before[0].type == kind == tarfile.DIRTYPE and (before[0].mode, before[0].uid, before[0].gid) == (mode, uid, gid):
            return
        self.entries[path] = (entry, data, self.layer)

    def folder(self, path, mode=0o755, uid=0, gid=0):
        self.put(path, tarfile.DIRTYPE, mode, uid, gid)

    def file(self, path, data, mode=0o644, uid=0, gid=0):
        self.put(path, tarfile.REGTYPE, mode, uid, gid, data)

    def link(self, path, to):
        self.put(path, tarfile.SYMTYPE, 0o777, to=to)

    def read(self, path):
        """A regular file's bytes, or None."""
        entry = self.entries.get(path)
        return entry[1] if entry and entry[0].isreg() else None

    def layer_tar(self, layer):
        """The entries of one layer as a tar: sorted, a hard link after the file it names."""
        chosen = [(e, d) for e, d, in_layer in self.entries.values() if in_layer == layer]
        chosen.sort(key=lambda pair: (pair[0].type == tarfile.LNKTYPE, pair[0].name))
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for entry, data in chosen:
                archive.addfile(entry, io.BytesIO(data) if entry.isreg() else None)
        return out.getvalue()


def merged(path):
    """Where a package's path lies once /bin, /lib and their like are links into /usr."""
    return f"usr/{path}" if path.split("/", 1)[0] in MERGED else path


def tar_of(deb, which):
    """One of the two tars of a .deb, as a TarFile over memory."""
    result = subprocess.run(["dpkg-deb", which, deb], capture_output=True)
    if result.returncode != 0:
        raise BuildError(f"{deb.name} cannot be read: {result.stderr.decode(errors='replace').strip()}")
    return tarfile.open(fileobj=io.BytesIO(result.stdout), mode="r:")


def unpack(tree, deb):
    """Add a package's files to the tree; gives its paths as dpkg lists them."""
    listed = []
    with tar_of(deb, "--fsys-tarfile") as archive:
        for member in archive:
            path = member.name.removeprefix("./").strip("/")
            listed.append(f"/{path}" if path not in ("", ".") else "/.")
            if path in ("", ".") or ".." in path.split("/"):
                continue
            path = merged(path)
            if member.isdir():
                if path not in tree.entries:
                    tree.folder(path, member.mode, member.uid, member.gid)
            elif member.isreg():
                tree.file(path, archive.extractfile(member).read(), member.mode, member.uid, member.gid)
            elif member.issym():
                tree.link(path, member.linkname)
            elif member.islnk():
                target = merged(member.linkname.removeprefix("./").strip("/"))
                tree.put(path, tarfile.LNKTYPE, member.mode, member.uid, member.gid, to=target)
            else:
                raise BuildError(f"{deb.name} holds {member.name}, neither file, folder nor link")
    return listed


def control_of(deb):
    """The control files of a package: name → bytes."""
    with tar_of(deb, "--ctrl-tarfile") as archive:
        return {m.name.removeprefix("./"): archive.extractfile(m).read() for m in archive if m.isreg()}


def register(tree, control, listed):
    """Write a package into dpkg's info folder; gives its paragraph for dpkg's status file."""
    fields = {}
    for line in control["control"].decode().splitlines():
        if line[:1] not in (" ", "\t") and ":" in line:
            name, value = line.split(":", 1)
            fields[name] = value.strip()
    stem = fields["Package"]
    if fields.get("Multi-Arch") == "same":
        stem += f":{fields['Architecture']}"
    info = f"var/lib/dpkg/info/{stem}"
    tree.file(f"{info}.list", ("\n".join(listed) + "\n").encode())
    for name, data in sorted(control.items()):
        if name != "control":
            script = name in ("config", "postinst", "postrm", "preinst", "prerm")
            tree.file(f"{info}.{name}", data, 0o755 if script else 0o644)
    paragraph = control["control"].decode().strip("\n").split("\n")
    paragraph.insert(1, "Status: install ok installed")
    conffiles = [c for c in control.get("conffiles", b"").decode().split("\n") if c.startswith("/")]
    if conffiles:
        paragraph.append("Conffiles:")
        for path in conffiles:
            data = tree.read(merged(path.strip("/"))) or b""
            paragraph.append(f" {path} {hashlib.md5(data).hexdigest()}")
    return fields["Package"], "\n".join(paragraph) + "\n"


def finish_base(tree):
    """What the scripts of the base packages leave behind, without running them."""
    for path, mode, gid in BASE_FOLDERS:
        tree.folder(path, mode, 0, gid)
    for source, target in BASE_COPIES:
        data = tree.read(source)
        if data is not None and target not in tree.entries:
            tree.file(target, data)
    tree.link("var/run", "/run")
    tree.link("var/lock", "/run/lock")
    tree.link("var/spool/mail", "../mail")
    tree.link("etc/dpkg/origins/default", "debian")
    # Format 1: the control files of co-installable packages carry the architecture in their names.
    tree.file("var/lib/dpkg/info/format", b"1\n")
    tree.folder("var/lib/dpkg/updates")
    tree.folder("var/lib/dpkg/alternatives")
    for name in ("passwd", "group"):
        master = tree.read(f"usr/share/base-passwd/{name}.master")
        if master is None:
            raise BuildError(f"the first layer has no {name}.master: add base-passwd to its packages")
        # base-passwd writes the `*` of its masters as `x` once there is a shadow file.
        tree.file(f"etc/{name}", master.replace(b":*:", b":x:"))
    names = [line.split(":")[0] for line in tree.read("etc/passwd").decode().splitlines() if line]
    tree.file("etc/shadow", "".join(f"{n}:*:{tree.epoch // 86400}:0:99999:7:::\n" for n in names).encode(), 0o640, 0, 42)


def certificate_bundle(tree):
    """What update-ca-certificates makes of the certificates in the tree."""
    prefix = "usr/share/ca-certificates/"
    certificates = sorted(p for p in tree.entries if p.startswith(prefix) and p.endswith(".crt"))
    if not certificates:
        return
    tree.file("etc/ca-certificates.conf", "".join(f"{p.removeprefix(prefix)}\n" for p in certificates).encode())
    tree.file("etc/ssl/certs/ca-certificates.crt", b"".join(tree.read(p).rstrip(b"\n") + b"\n" for p in certificates))
    for path in certificates:
        name = os.path.basename(path).removesuffix(".crt")
        tree.link(f"etc/ssl/certs/{name}.pem", f"/{path}")


def apply_recipe(tree, layer):
    """The files, folders, links and users a recipe adds to a layer."""
    for user in layer.get("users", []):
        line = f"{user['name']}:x:{user['uid']}:{user['gid']}::{user.get('home', '/nonexistent')}:{user.get('shell', '/usr/sbin/nologin')}\n"
        tree.file("etc/passwd", tree.read("etc/passwd") + line.encode())
        if user.get("group"):
            tree.file("etc/group", tree.read("etc/group") + f"{user['group']}:x:{user['gid']}:\n".encode())
        shadow = f"{user['name']}:!:{tree.epoch // 86400}::::::\n"
        tree.file("etc/shadow", tree.read("etc/shadow") + shadow.encode(), 0o640, 0, 42)
    for folder in layer.get("folders", []):
        tree.folder(merged(folder["path"].strip("/")), int(folder.get("mode", "0755"), 8), folder.get("uid", 0), folder.get("gid", 0))
    for file in layer.get("files", []):
        data = file["content"].removeprefix("\n").encode()
        tree.file(merged(file["path"].strip("/")), data, int(file.get("mode", "0644"), 8), file.get("uid", 0), file.get("gid", 0))
    for link in layer.get("links", []):
        tree.link(merged(link["path"].strip("/")), link["to"])


class Layout:
    """An OCI image layout being written."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)

    def blob(self, data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def json(self, value, media_type):
        return self.blob(json.dumps(value, separators=(",", ":"), sort_keys=True).encode(), media_type)


def compressed(data):
    """gzip without time and name."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=out, mtime=0) as stream:
        stream.write(data)
    return out.getvalue()


def build(recipe, stages, key, folder):
    """Write the image into `folder`. `stages` pairs each layer of the recipe with the .deb files it adds."""
    tree = Tree(recipe["epoch"])
    layout = Layout(folder)
    status, layers, diff_ids, history = {}, [], [], []
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(recipe["epoch"]))
    for number, (layer, debs) in enumerate(stages):
        tree.layer = number
        if number == 0:
            for name in ("bin", "lib", "lib64", "sbin"):
                tree.folder(f"usr/{name}")
                tree.link(name, f"usr/{name}")
        for deb in debs:
            control = control_of(deb)
            listed = unpack(tree, deb)
            name, paragraph = register(tree, control, listed)
            status[name] = paragraph
        if number == 0:
            finish_base(tree)
        certificate_bundle(tree)
        tree.file("var/lib/dpkg/status", "\n".join(status[n] for n in sorted(status)).encode() + b"\n")
        apply_recipe(tree, layer)
    for number, (layer, _) in enumerate(stages):
        data = tree.layer_tar(number)
        diff_ids.append(f"sha256:{hashlib.sha256(data).hexdigest()}")
        layers.append(layout.blob(compressed(data), "application/vnd.oci.image.layer.v1.tar+gzip"))
        history.append({"created": created, "created_by": f"build-image {layer['name']}: {' '.join(layer['packages'])}"})
    architecture = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip()
    config = {
        "created": created, "architecture": architecture, "os": "linux", "config": recipe["config"],
        "rootfs": {"type": "layers", "diff_ids": diff_ids}, "history": history,
    }
    manifest = {
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": layout.json(config, "application/vnd.oci.image.config.v1+json"), "layers": layers,
    }
    descriptor = layout.json(manifest, manifest["mediaType"])
    descriptor["annotations"] = {"org.opencontainers.image.ref.name": recipe["reference"]}
    descriptor["platform"] = {"architecture": architecture, "os": "linux"}
    index = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [descriptor], "annotations": {KEY_ANNOTATION: key}}
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}\n')
    (folder / "index.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")
    unpacked = sum(e.size for e, _, _ in tree.entries.values())
    return descriptor["digest"], len(status), unpacked


def digest_if_current(folder, key):
    """The manifest's digest, when `folder` holds what `key` describes."""
    try:
        index = json.loads((folder / "index.json").read_text())
        return index["manifests"][0]["digest"] if index["annotations"][KEY_ANNOTATION] == key else None
    except (OSError, ValueError, KeyError, IndexError):
        return None


def put_in_place(finished, target):
    """Swap the finished folder in; whoever reads the old one meanwhile sees all of it or none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = None
    if target.exists():
        if not (target / "oci-layout").exists():
            raise BuildError(f"{target} exists and is no OCI image layout; choose another folder")
        old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        os.rename(target, old / "layout")
    os.rename(finished, target)
    if old:
        shutil.rmtree(old)


def main():
    """Build the image of a recipe unless it is there already."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, metavar="RECIPE.toml")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache" / "quench" / "apt", metavar="FOLDER")
    arguments = parser.parse_args()
    try:
        text = arguments.recipe.read_bytes()
        recipe = tomllib.loads(text.decode())
        apt = PrivateApt(arguments.cache)
        stages, have, wanted = [], set(), []
        for layer in recipe["layers"]:
            wanted += layer["packages"]
            packages, debs = apt.fetch(wanted)
            stages.append((layer, [d for p, d in zip(packages, debs) if p not in have]))
            have |= set(packages)
        builder = b"".join(p.read_bytes() for p in (Path(__file__), HERE.parent / "tools" / "debian.py"))
        key = hashlib.sha256(builder + text + repr(sorted(have)).encode()).hexdigest()
        digest = digest_if_current(arguments.output, key)
        if digest is None:
            arguments.output.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".image.", dir=arguments.output.parent) as scratch:
                finished = Path(scratch) / "layout"
                finished.mkdir()
                digest, count, unpacked = build(recipe, stages, key, finished)
                put_in_place(finished, arguments.output)
            print(f"image: built {recipe['reference']} from {count} packages, {unpacked / 1e6:.0f} MB unpacked", file=sys.stderr)
    except (AptError, BuildError, OSError, KeyError, tomllib.TOMLDecodeError) as error:
        what = f"missing key {error}" if isinstance(error, KeyError) else error
        print(f"image: error: {arguments.recipe}: {what}", file=sys.stderr)
        return 1
    print(digest)
    return 0


if __name__ == "__main__":
    sys.exit(main())
