#!/usr/bin/env python3
"""What does a request pay for being carried to another region, beyond the way there?

Two gateways on loopback, each a region, connected by the mesh (mutual TLS, HTTP/2). A German client asks
for a cached object of 1 KiB: at ams3, which answers from memory, and at nyc3, which carries the request to
ams3. On loopback the way costs nothing, so the difference is what both processes add. One request at a
time, on a connection that is kept; the two are asked in turn. Medians and 99th percentiles.

    cargo build --profile dist -p gateway --bins
    benches/load/mesh_carry.py                  # --binaries target/release, --requests 2000
"""

import argparse
import http.client
import json
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
GERMANY = {"X-Forwarded-For": "91.64.0.1"}
LIMIT_MS = 0.5


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def configuration(region, ports):
    names = list(ports)
    return {
        "region": region,
        "regions": [{"name": name, "mesh": f"127.0.0.1:{ports[name]['mesh']}"} for name in names],
        "mesh": {
            "listen": f"127.0.0.1:{ports[region]['mesh']}",
            "certificate": f"mesh/{region}.pem",
            "key": f"mesh/{region}.key",
            "authorities": ["mesh/ca.pem"],
        },
        "listeners": [{"name": "http", "address": f"127.0.0.1:{ports[region]['http']}"}],
        "admin": {"address": f"127.0.0.1:{ports[region]['admin']}"},
        "trusted_proxies": ["127.0.0.0/8"],
        "steering": {"slow_start": "0s"},
        "workers": 1,
        "log": {"access": False},
        "asset_server": {"embedded": {"mounts": [{"path": "/assets/", "origin": {"directory": {"path": "assets"}}}]}},
        "routes": [{"name": "assets", "match": {"path": {"prefix": "/assets/"}}, "action": "assets"}],
    }


def ask(connection):
    start = time.perf_counter()
    connection.request("GET", "/assets/object", headers=GERMANY)
    response = connection.getresponse()
    response.read()
    took = (time.perf_counter() - start) * 1000
    if response.status != 200:
        raise SystemExit(f"status {response.status}")
    return took, response.headers["x-edge-region"], response.headers["cache-status"]


def wait_until(what, condition):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"not in 20 s: {what}")


def connect(port):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--binaries", type=Path, default=ROOT / "target/dist")
    arguments.add_argument("--requests", type=int, default=10_000)
    arguments = arguments.parse_args()
    gateway = arguments.binaries.resolve() / "gateway"
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        (root / "assets").mkdir()
        (root / "assets/object").write_bytes(bytes(1024))
        subprocess.run([gateway, "mesh-ca"], cwd=root, check=True, stdout=subprocess.DEVNULL)
        names = ["nyc3", "ams3"]
        numbers = iter(free_ports(6))
        ports = {name: {kind: next(numbers) for kind in ("http", "admin", "mesh")} for name in names}
        processes = []
        try:
            for name in names:
                subprocess.run([gateway, "mesh-certificate", name], cwd=root, check=True, stdout=subprocess.DEVNULL)
                (root / f"{name}.yaml").write_text(json.dumps(configuration(name, ports)))
                with open(root / f"{name}.log", "wb") as log:
                    command = [gateway, "run", "--config", f"{name}.yaml"]
                    processes.append(subprocess.Popen(command, cwd=root, stderr=log))
            wait_until("nyc3 carries to ams3", lambda: ask(connect(ports["nyc3"]["http"]))[1] == "ams3")
            here, carried = connect(ports["ams3"]["http"]), connect(ports["nyc3"]["http"])
            times = {"answered at ams3": [], "carried by nyc3": []}
            for round in range(arguments.requests + 200):
                for (name, kept), connection in zip(times.items(), (here, carried)):
                    took, region, cache = ask(connection)
                    if round >= 200:
                        assert region == "ams3" and "hit" in cache, (region, cache)
                        kept.append(took)
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait()
    medians = []
    for name, kept in times.items():
        medians.append(statistics.median(kept))
        late = statistics.quantiles(kept, n=100)[98]
        print(f"{name:<18} median {medians[-1]:.3f} ms   p99 {late:.3f} ms   {len(kept)} requests")
    added = medians[1] - medians[0]
    print(f"{'carrying adds':<18} median {added:.3f} ms   limit {LIMIT_MS} ms: {'good' if added < LIMIT_MS else 'MISSED'}")


if __name__ == "__main__":
    main()
