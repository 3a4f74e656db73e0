"""The servers of the asset comparison: nginx, Varnish (with hitch for TLS) and ours, each on the same core."""

import os
import shutil
import subprocess
from dataclasses import dataclass

from servers import Server, Site, fill, free_ports, wait_until_listening

SIZES = {"1k": 1 << 10, "100k": 100 << 10, "64m": 64 << 20, "4g": 4 << 30}

# Where ours keeps what it has: everything in memory, or nothing larger than 1 MiB.
IN_MEMORY = """\
  memory:
    size: 6GiB
"""
ON_DISK = """\
  memory:
    size: 64MiB
    max_object: 1MiB
  disk:
    path: {path}
    size: 8GiB
"""


@dataclass
class Fronted(Server):
    """A server whose TLS is another process's work: both spend."""

    tls_process: subprocess.Popen = None

    def cpu_seconds(self):
        return super().cpu_seconds() + Server("", self.tls_process, {}, {}).cpu_seconds()

    def stop(self):
        Server("", self.tls_process, {}, {}).stop()
        super().stop()


class AssetSite(Site):
    """The objects, the certificate, and the servers of them."""

    def __init__(self, root, core, sizes):
        self.sizes = {size: SIZES[size] for size in sizes}
        super().__init__(root, core)

    def nginx(self):
        ports = free_ports("plain", "tls", "origin")
        self.origin_port = ports["origin"]
        config = fill("nginx-assets.conf.in", self.root / "nginx-assets.conf", root=self.root, **ports)
        process = self._start([program("nginx"), "-p", self.root, "-c", config])
        wait_until_listening(process, ports)
        return [Server(f"nginx {kind}", process, ports, paths(f"/{kind}/")) for kind in ("file", "cache", "slices")]

    def varnish(self, kind):
        """`kind`: malloc or file. Its origin is nginx, which must run."""
        ports, name = free_ports("plain", "tls"), f"varnish-{kind}"
        vcl = fill("assets.vcl.in", self.root / f"{name}.vcl", origin=self.origin_port)
        storage = "malloc,6G" if kind == "malloc" else f"file,{self.root}/{name}.storage,6G"
        with open(self.root / f"{name}.log", "wb") as output:
            process = self._start([program("varnishd"), "-F", "-j", "none", "-n", self.root / name, "-f", vcl,
                                   "-a", f"127.0.0.1:{ports['plain']}", "-s", storage], stdout=output, stderr=output)
        wait_until_listening(process, {"plain": ports["plain"]})
        bundle = self.root / "hitch.pem"
        bundle.write_bytes((self.root / "key.pem").read_bytes() + (self.root / "certificate.pem").read_bytes())
        with open(self.root / f"{name}-hitch.log", "wb") as output:
            hitch = self._start([program("hitch"), f"--frontend=[127.0.0.1]:{ports['tls']}", "--workers=1",
                                 f"--backend=[127.0.0.1]:{ports['plain']}", "--tls-protos=TLSv1.3",
                                 "--user=nobody", "--group=nogroup", bundle], stdout=output, stderr=output)
        wait_until_listening(hitch, {"tls": ports["tls"]})
        return Fronted(f"varnish {kind}", process, ports, paths("/"), hitch)

    def ours(self, binary, kind):
        """`kind`: memory or disk."""
        origin = f"{{directory: {{path: {self.root}/objects}}}}"
        storage = IN_MEMORY if kind == "memory" else ON_DISK.format(path=self.root / "ours-cache")
        return self.asset_server(binary, f"ours {kind}", origin, storage)

    def asset_server(self, binary, name, origin, storage, environment=None):
        ports, stem = free_ports("plain", "tls", "admin"), name.replace(" ", "-")
        config = fill("asset-server.yaml.in", self.root / f"{stem}.yaml",
                      root=self.root, origin=origin, storage=storage, **ports)
        with open(self.root / f"{stem}.log", "wb") as output:
            process = self._start([binary, "run", "--config", config], stdout=output, stderr=output,
                                  env={**os.environ, **(environment or {})})
        wait_until_listening(process, ports)
        return Server(name, process, ports, paths("/assets/"))


def paths(prefix):
    return {size: prefix + size for size in SIZES} | {"ranges": prefix + "4g"}


def program(name):
    return shutil.which(name) or f"/usr/sbin/{name}"
