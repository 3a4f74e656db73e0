"""The servers that are compared: how each is configured, started on its core, and stopped.

Every server runs pinned to the same core. Idle ones cost nothing there, so all are up for the whole
comparison, and only the one that is being measured has work.
"""

import hashlib
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
START_TIMEOUT_SECONDS = 20
STOP_TIMEOUT_SECONDS = 5


@dataclass
class Server:
    """A running server: where it answers, and the process whose CPU time it spends."""

    name: str
    process: subprocess.Popen
    ports: dict  # transport ("plain", "tls") -> port
    paths: dict  # size ("1k", "64m") -> path

    def url(self, size, transport):
        scheme = "https" if transport == "tls" else "http"
        return f"{scheme}://127.0.0.1:{self.ports[transport]}{self.paths[size]}"

    def cpu_seconds(self):
        """CPU time of the process and all below it, user and system, since their start."""
        ticks = sum(_cpu_ticks(pid) for pid in _family(self.process.pid))
        return ticks / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Site:
    """The directory with what all servers share: objects and one certificate."""

    sizes = {"1k": 1 << 10, "64m": 64 << 20}

    def __init__(self, root, core):
        self.root, self.core = Path(root), core
        self.root.chmod(0o755)  # nginx's worker is another user when root starts it
        objects = self.root / "objects"
        objects.mkdir()
        for name, length in self.sizes.items():
            write_random(objects / name, length)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", self.root / "key.pem", "-out", self.root / "certificate.pem"],
            check=True, capture_output=True,
        )

    def body(self, size):
        return (self.root / "objects" / size).read_bytes()

    def digest(self, size):
        with open(self.root / "objects" / size, "rb") as file:
            return hashlib.file_digest(file, "sha256").digest()

    def nginx(self, log):
        """One nginx, twice: as a server of files, and as a cache in front of one."""
        ports = free_ports("plain", "tls")
        access_log = f"{self.root}/nginx-access.log combined buffer=64k flush=1s" if log else "off"
        directory = self.root / f"nginx-{'log' if log else 'quiet'}"
        directory.mkdir()
        for shared in ("objects", "certificate.pem", "key.pem"):
            (directory / shared).symlink_to(self.root / shared)
        config = fill("nginx.conf.in", directory / "nginx.conf", root=directory, access_log=access_log, **ports)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        process = self._start([nginx, "-p", directory, "-c", config])
        wait_until_listening(process, ports)
        return [
            Server(f"nginx {kind}", process, ports, {size: f"/{kind}/{size}" for size in ("1k", "64m")})
            for kind in ("file", "cache")
        ]

    def gateway(self, binary, log):
        ports = free_ports("plain", "tls", "admin")
        name = "log" if log else "quiet"
        access = "true" if log else "false"
        config = fill("gateway.yaml.in", self.root / f"gateway-{name}.yaml",
                      root=self.root, name=name, access=access, **ports)
        with open(self.root / f"gateway-{name}.log", "wb") as output:
            process = self._start([binary, "run", "--config", config], stdout=output, stderr=output)
        wait_until_listening(process, ports)
        return Server("gateway", process, ports, {size: f"/assets/{size}" for size in ("1k", "64m")})

    def bare_hyper(self, binary, transport):
        certificate = [self.root / "certificate.pem", self.root / "key.pem"] if transport == "tls" else []
        process = self._start([binary, *certificate], stdout=subprocess.PIPE)
        port = int(process.stdout.readline().decode().rpartition(":")[2])
        return Server("bare hyper", process, {transport: port}, {"1k": "/1k", "64m": "/64m"})

    def _start(self, command, **streams):
        return subprocess.Popen(["taskset", "-c", str(self.core), *map(str, command)], **streams)


def write_random(path, length):
    """Random bytes, in pieces so that a large file needs no more memory than a small one."""
    with open(path, "wb") as file:
        while length > 0:
            length -= file.write(os.urandom(min(length, 16 << 20)))


def fill(template, target, **values):
    text = (HERE / template).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    target.write_text(text)
    return target


def free_ports(*names):
    """A free port for each name; all are held until the last is found, so that no two are the same."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = {name: listener.getsockname()[1] for name, listener in zip(names, held)}
    for listener in held:
        listener.close()
    return ports


def wait_until_listening(process, ports):
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    for port in ports.values():
        while True:
            if process.poll() is not None:
                raise RuntimeError(f"{process.args[3]} ended with status {process.returncode} instead of starting")
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"{process.args[3]} did not listen on port {port}") from None
                time.sleep(0.02)


def _family(pid):
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _family(int(child))


def _cpu_ticks(pid):
    # The command in parentheses may hold anything; the fields are counted from behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
