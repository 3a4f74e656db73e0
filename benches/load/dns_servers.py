"""The DNS servers that are compared: each on one core, with the same networks leading to the same three places."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from servers import Server, free_ports

HERE = Path(__file__).parent
NAME = "edge.test"
PLACES = {"nyc3": "192.0.2.1", "ams3": "192.0.2.2", "sgp1": "192.0.2.3"}


class DnsServer(Server):
    """A server that answers DNS at one port."""

    @property
    def port(self):
        return self.ports["dns"]


def networks():
    """/16 networks and the place of each, by a rule: for the servers that are given lists."""
    names = list(PLACES)
    return [(f"{a}.{b}.0.0/16", names[(a * 256 + b) % 3]) for a in range(1, 224) for b in range(256)]


class Zone:
    """A directory with the configuration of every server."""

    def __init__(self, root, core):
        self.root, self.core = Path(root), core

    def gateway(self, binary):
        """Three regions, all taken to be up; the built-in country data decides."""
        # Connections are taken and nobody answers: a region that has not failed often enough counts as up.
        self.silent = socket.create_server(("127.0.0.1", 0))
        silent = self.silent.getsockname()[1]
        ports = free_ports("dns", "http", "admin")
        regions = "\n".join(
            f"  - {{name: {name}, address: \"http://127.0.0.1:{silent}\", addresses: [{address}]}}" for name, address in PLACES.items())
        config = self._write("gateway.yaml", f"""
region: ams3
regions:
{regions}
listeners: [{{name: http, address: "127.0.0.1:{ports['http']}"}}]
admin: {{address: "127.0.0.1:{ports['admin']}"}}
log: {{access: false}}
workers: 1
steering: {{health_check: {{interval: 10m, timeout: 50ms, down_after: 1000}}, health: {{vote_age: 20m}}}}
dns:
  listen: ["127.0.0.1:{ports['dns']}"]
  rate_limit: {{responses_per_second: 0, errors_per_second: 0}}
  zones:
    - name: {NAME}
      name_servers: [{{name: ns1, region: ams3}}]
      steered: [{{name: "@", ttl: 30s}}]
routes: []
""")
        return self._start("gateway", ports, [binary, "run", "--config", config])

    def knot(self):
        """Knot DNS with its geoip module, which searches a sorted list of networks."""
        ports = free_ports("dns")
        directory = self.root / "knot"
        directory.mkdir()
        lines = [f"{NAME}:"]
        for network, place in networks():
            lines += [f"  - net: {network}", f"    A: {PLACES[place]}"]
        (directory / "geo.conf").write_text("\n".join(lines) + "\n")
        (directory / f"{NAME}.zone").write_text(
            f"{NAME}. 3600 SOA ns1.{NAME}. hostmaster.{NAME}. 1 3600 900 86400 60\n"
            f"{NAME}. 3600 NS ns1.{NAME}.\nns1.{NAME}. 3600 A 192.0.2.2\n{NAME}. 30 A 192.0.2.2\n")
        config = self._write("knot/knot.conf", f"""
server:
    rundir: "{directory}"
    listen: 127.0.0.1@{ports['dns']}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
    edns-client-subnet: on
database:
    storage: "{directory}/db"
mod-geoip:
  - id: geo
    config-file: "{directory}/geo.conf"
    ttl: 30
    mode: subnet
template:
  - id: default
    storage: "{directory}"
zone:
  - domain: {NAME}
    file: "{NAME}.zone"
    zonefile-load: whole
    journal-content: none
    module: mod-geoip/geo
""")
        return self._start("knot", ports, [program("knotd"), "-c", config])

    def gdnsd(self):
        """gdnsd with its geoip plugin, which walks a tree compiled from the same networks."""
        ports = free_ports("dns")
        directory = self.root / "gdnsd"
        for child in ("zones", "run", "state", "geoip"):
            (directory / child).mkdir(parents=True)
        order = {place: ", ".join([place, *(other for other in PLACES if other != place)]) for place in PLACES}
        (directory / "geoip" / "nets").write_text(
            "\n".join(f"{network} => [{order[place]}]" for network, place in networks()) + "\n")
        (directory / "zones" / NAME).write_text(
            f"@ 3600 SOA ns1 hostmaster 1 3600 900 86400 60\n@ 3600 NS ns1\nns1 3600 A 192.0.2.2\n@ 30 DYNA geoip!edge\n")
        places = ", ".join(f"{place} => {address}" for place, address in PLACES.items())
        self._write("gdnsd/config", f"""
options => {{
  listen => 127.0.0.1:{ports['dns']},
  udp_threads => 1, tcp_threads => 1,
  run_dir => {directory}/run, state_dir => {directory}/state,
  acme_challenge_ttl => 60,
}}
plugins => {{ geoip => {{
  maps => {{ world => {{ datacenters => [{', '.join(PLACES)}], nets => nets }} }},
  resources => {{ edge => {{ map => world, service_types => up, dcmap => {{ {places} }} }} }},
}} }}
""")
        return self._start("gdnsd", ports, [program("gdnsd"), "-c", directory, "start"])

    def _write(self, name, text):
        path = self.root / name
        path.write_text(text)
        return path

    def _start(self, name, ports, command):
        with open(self.root / f"{name}.log", "wb") as log:
            process = subprocess.Popen(["taskset", "-c", str(self.core), *map(str, command)], stdout=log, stderr=log)
        server = DnsServer(name, process, ports, {})
        deadline = time.monotonic() + 30
        while not ask(server.port, "91.64.0.0/24"):
            if process.poll() is not None or time.monotonic() > deadline:
                server.stop()
                raise RuntimeError(f"{name} does not answer: {(self.root / f'{name}.log').read_text()[-2000:]}")
            time.sleep(0.1)
        return server


def ask(port, subnet):
    """What a client of a network is answered, and the scope of it; empty where there is none."""
    command = ["dig", "@127.0.0.1", "-p", str(port), NAME, f"+subnet={subnet}", "+tries=1", "+timeout=1"]
    output = subprocess.run(command, capture_output=True, text=True).stdout
    return [line.split()[-1] for line in output.splitlines()
            if line.startswith((NAME, "; CLIENT-SUBNET")) and not line.startswith(";" + NAME)]


def program(name):
    return shutil.which(name) or os.path.join("/usr/sbin", name)
