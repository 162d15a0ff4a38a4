#!/usr/bin/env python3
"""Run a fleet on this machine: nats-server, a local registry and the six services, each a process of its own.

    up.py [--state DIR] [--binaries DIR] [--once]

Everything it makes (keys, certificates, configuration, data, logs) lies in the state folder, .quench/fleet by default, readable
by its owner alone; keys and data are kept from one start to the next. TLS everywhere, mutual TLS for gRPC, one NATS user per
service. Ctrl-C stops the services first, so that they finish or give back their jobs, and then the servers.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ["ingestor", "config-hardener", "scanner", "ops-enricher", "minimizer", "rescheduler"]
START = 60
STOP = 40


class Problem(Exception):
    """Why the fleet cannot run; its text says what to do."""


class Child:
    """A process whose output goes to a file."""

    def __init__(self, name, command, log, environment=None):
        self.name = name
        self.log = log
        self.begun = log.stat().st_size if log.exists() else 0
        with open(log, "ab") as output:
            # A session of its own: Ctrl-C in the terminal must reach this script alone, which stops things in order.
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                env=environment,
            )

    def said(self):
        with open(self.log, "rb") as log:
            log.seek(self.begun)
            return log.read().decode("utf-8", "replace")

    def wait_for(self, ready):
        until = time.monotonic() + START
        while not ready(self.said()):
            if self.process.poll() is not None:
                raise Problem(
                    f"{self.name} ended with {self.process.returncode}; the end of {self.log}:\n{self.tail()}"
                )
            if time.monotonic() > until:
                raise Problem(f"{self.name} is not ready after {START} s; see {self.log}\n{self.tail()}")
            time.sleep(0.05)

    def tail(self):
        return "\n".join(self.said().splitlines()[-15:])

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()

    def gone(self, until):
        try:
            self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            print(f"{self.name} does not stop; killed", file=sys.stderr)
            self.process.kill()
            self.process.wait()


def program(name, folders):
    for folder in folders:
        path = Path(folder) / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    found = shutil.which(name)
    if found:
        return Path(found)
    # Debian keeps some servers where only root's PATH looks.
    for folder in ("/usr/sbin", "/sbin"):
        if (Path(folder) / name).is_file():
            return Path(folder) / name
    raise Problem(f"{name} is missing; `make fleet` builds or installs it")


def port(wanted):
    """`wanted` if nobody has it, else any free port."""
    for candidate in (wanted, 0):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", candidate))
                return probe.getsockname()[1]
            except OSError:
                continue
    raise Problem("no free port on 127.0.0.1")


def quoted(path):
    return json.dumps(str(path))


def write(path, text):
    """Writes a file that only its owner may read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def start_nats(state, tools):
    number = port(4222)
    write(
        state / "nats.conf",
        f"""listen: "127.0.0.1:{number}"
server_name: quench
max_payload: 1MB
# Streams reserve what they may hold at most; without this a server grants three quarters of the free disk.
jetstream {{ store_dir: {quoted(state / "nats")}, max_file_store: 64GB }}
tls {{
  cert_file: {quoted(state / "tls/nats.pem")}
  key_file: {quoted(state / "tls/nats.key")}
}}
include "users/accounts.conf"
""",
    )
    child = Child("nats-server", [program("nats-server", tools), "--config", state / "nats.conf"], state / "log/nats.log")
    child.wait_for(lambda said: "Server is ready" in said)
    return child, f"tls://127.0.0.1:{number}"


def start_registry(state, tools):
    number = port(5000)
    write(
        state / "registry.yml",
        f"""version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: {quoted(state / "registry")}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{number}"}}
""",
    )
    child = Child(
        "docker-registry",
        [program("docker-registry", tools), "serve", state / "registry.yml"],
        state / "log/registry.log",
    )

    def listening(_):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", number)) == 0

    child.wait_for(listening)
    return child, f"127.0.0.1:{number}"


def start_service(state, binaries, tools, name, number, nats, registry):
    tls = state / "tls"
    write(
        state / f"{name}.toml",
        f"""[nats]
url = {quoted(nats)}
seed_file = {quoted(state / f"users/{name}.seed")}
ca = {quoted(tls / "ca.pem")}

[grpc]
listen = "127.0.0.1:{number}"
certificate = {quoted(tls / f"{name}.pem")}
key = {quoted(tls / f"{name}.key")}
client_ca = {quoted(tls / "ca.pem")}

[store]
repository = "{registry}/quench"
cache = {quoted(state / "cache" / name)}

[log]
format = "json"
""",
    )
    return Child(
        name,
        [program(f"quench-{name}", [binaries]), "--config", state / f"{name}.toml"],
        state / f"log/{name}.log",
        # Engines that look for helm themselves find the same one.
        {**os.environ, "QUENCH_HELM": str(program("helm", tools))},
    )


def is_ready(said):
    for line in said.splitlines():
        try:
            if json.loads(line).get("message") == "ready":
                return True
        except ValueError:
            continue
    return False


def admin(binaries, *arguments):
    done = subprocess.run(
        [str(program("quench-admin", [binaries])), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise Problem(f"quench-admin {arguments[0]}: {done.stderr.strip()}")


def run(options):
    state = options.state.resolve()
    for folder in (state, state / "log", state / "cache"):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
    binaries = options.binaries
    tools = [Path(os.environ.get("QUENCH_TOOLS", Path.home() / ".cache/quench/tools")) / "bin"]
    admin(binaries, "certificates", "--out", state / "tls")
    admin(binaries, "configuration", "--out", state / "users")
    servers, services = [], []
    try:
        child, nats = start_nats(state, tools)
        servers.append(child)
        child, registry = start_registry(state, tools)
        servers.append(child)
        admin(
            binaries, "provision", "--url", nats,
            "--seed-file", state / "users/admin.seed", "--ca", state / "tls/ca.pem",
        )
        ports = {}
        for index, name in enumerate(SERVICES):
            ports[name] = port(7401 + index)
            services.append(start_service(state, binaries, tools, name, ports[name], nats, registry))
        for service in services:
            service.wait_for(is_ready)
        greet(state, binaries, nats, registry, ports)
        if options.once:
            return
        while True:
            for child in servers + services:
                if child.process.poll() is not None:
                    raise Problem(f"{child.name} ended with {child.process.returncode}; see {child.log}\n{child.tail()}")
            time.sleep(0.5)
    finally:
        # A second Ctrl-C must not leave half of it running.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for group in (services, servers):
            for child in group:
                child.stop()
            until = time.monotonic() + STOP
            for child in group:
                child.gone(until)
        print("stopped", flush=True)


def greet(state, binaries, nats, registry, ports):
    tls = state / "tls"
    print("the fleet is ready\n")
    print(f"  nats        {nats}")
    print(f"  registry    http://{registry}/quench")
    for name, number in ports.items():
        print(f"  {name:<16}https://127.0.0.1:{number}")
    print(f"  state, logs {state}")
    print(
        f"""
In another terminal:
  export QUENCH_ENDPOINT=https://127.0.0.1:{ports["ingestor"]} QUENCH_CA={tls}/ca.pem
  export QUENCH_CERT={tls}/client.pem QUENCH_KEY={tls}/client.key
  {Path(binaries) / "quench"} submit deploy/demo/chart --images-from oci:$HOME/.cache/quench/demo/nginx --watch
  {Path(binaries) / "quench"} status
  {Path(binaries) / "quench"} watch --nats {nats} --credentials {state}/users/subscriber.seed

Ctrl-C stops everything."""
    )
    sys.stdout.flush()


def main():
    target = Path(os.environ.get("CARGO_TARGET_DIR") or os.environ.get("TARGET") or ROOT / "target")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--state", type=Path, default=ROOT / ".quench/fleet", help="folder for everything it makes")
    parser.add_argument("--binaries", type=Path, default=target / "release", help="folder of quench's programs")
    parser.add_argument("--once", action="store_true", help="stop as soon as everything is ready")
    options = parser.parse_args()

    def interrupted(*_):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    try:
        run(options)
    except KeyboardInterrupt:
        return 0
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
