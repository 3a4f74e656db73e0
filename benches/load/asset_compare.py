#!/usr/bin/env python3
"""Is the asset server as fast as nginx and Varnish? Whole processes, one core each, the same generator, interleaved.

Cached objects of 1 KiB to 4 GiB and random ranges, from memory and from a warm disk, in plain and over
TLS 1.3; then the latency of the small ones at half load. How to read the result: benches/README.md.
"""

import argparse
import http.client
import json
import os
import random
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True  # the modules beside this one shall leave nothing in the source tree

import asset_report
import report
from asset_servers import SIZES, AssetSite
from measure import check, run_wrk
from nginx_compare import two_cores

TRANSPORTS = ("plain", "tls")
PARTS_OF = {"ranges": "4g"}
RANGE = 64 << 10
WARM_UP_SECONDS = 1
LATENCY_CONNECTIONS = 64

# Stage -> its cases: (object, tier) -> servers. All servers of a stage run at once, and 4 GiB in each of
# them must fit into memory together.
STAGES = {
    "small": {
        ("1k", "memory"): ["nginx file", "nginx cache", "varnish malloc", "ours memory"],
        ("100k", "memory"): ["nginx file", "nginx cache", "varnish malloc", "ours memory"],
        ("64m", "memory"): ["nginx file", "nginx cache", "varnish malloc", "ours memory"],
        ("64m", "disk"): ["nginx file", "nginx cache", "varnish file", "ours disk"],
    },
    "4g memory": {
        ("4g", "memory"): ["nginx file", "nginx slices", "varnish malloc", "ours memory"],
        ("ranges", "memory"): ["nginx file", "nginx slices", "varnish malloc", "ours memory"],
    },
    "4g disk": {
        ("4g", "disk"): ["nginx file", "nginx slices", "varnish file", "ours disk"],
        ("ranges", "disk"): ["nginx file", "nginx slices", "varnish file", "ours disk"],
    },
}


def main():
    args = arguments()
    server_core, generator_core = two_cores()
    load = os.getloadavg()[0]
    results, latencies, ciphers = {}, {}, {}
    for stage in args.stages:
        with ExitStack() as stack:
            root = stack.enter_context(tempfile.TemporaryDirectory(prefix="asset-compare-"))
            site = AssetSite(root, server_core, {PARTS_OF.get(size, size) for size, _ in STAGES[stage]})
            cases = start(args, site, STAGES[stage], stack, ciphers)
            measure(args, cases, generator_core, results)
            if stage == "small":
                measure_latency(args, cases, generator_core, results, latencies)

    setting = report.setting(" ".join(["asset_compare.py", *sys.argv[1:]]), load, ciphers)
    document = asset_report.document(setting, args, results, latencies)
    print(document)
    if args.save:
        print(f"\nsaved as {asset_report.save(document, setting, results, latencies)}", file=sys.stderr)


def arguments():
    binaries = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "dist"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in each of which every server is measured")
    parser.add_argument("--seconds", type=int, default=3, help="length of one measurement")
    parser.add_argument("--stages", default=",".join(STAGES), help="some of: %(default)s")
    parser.add_argument("--objects", default="1k,100k,64m,4g,ranges", help="some of: %(default)s")
    parser.add_argument("--without", default="", help="servers to leave out, such as 'varnish file,nginx slices'")
    parser.add_argument("--binaries", type=Path, default=binaries, help="where ours are (default: %(default)s)")
    parser.add_argument("--save", action="store_true", help="write the result under benches/baselines/")
    args = parser.parse_args()
    args.stages, args.objects = args.stages.split(","), args.objects.split(",")
    for stage in args.stages:
        STAGES[stage] = {(size, tier): [name for name in names if name not in args.without.split(",")]
                         for (size, tier), names in STAGES[stage].items() if size in args.objects}
    return args


def start(args, site, stage, stack, ciphers):
    """The stage's servers, each up and answering rightly: (object, tier, transport) -> servers."""
    wanted = {name for names in stage.values() for name in names}
    servers = {server.name: server for server in site.nginx()}
    for kind in ("malloc", "file"):
        if f"varnish {kind}" in wanted:
            servers[f"varnish {kind}"] = site.varnish(kind)
    for kind in ("memory", "disk"):
        if f"ours {kind}" in wanted:
            servers[f"ours {kind}"] = site.ours(args.binaries / "asset-server", kind)
    for server in servers.values():
        stack.callback(server.stop)
    digests, cases = {size: site.digest(size) for size in site.sizes}, {}
    for (size, tier), names in stage.items():
        for transport in TRANSPORTS:
            for name in names:
                if size == "ranges":
                    check_ranges(servers[name], site)
                elif size != "4g" or transport == "plain":  # 4 GiB once is enough
                    cipher = check(servers[name], size, transport, digests[size])
                    ciphers.update({name: cipher} if cipher else {})
            cases[size, tier, transport] = [servers[name] for name in names]
    return cases


def check_ranges(server, site):
    """A few ranges: the right bytes, and from the cache."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["plain"], timeout=30)
    with open(site.root / "objects" / "4g", "rb") as file:
        for _ in range(20):
            start = random.randrange(SIZES["4g"] - RANGE)
            file.seek(start)
            connection.request("GET", server.paths["ranges"], headers={"range": f"bytes={start}-{start + RANGE - 1}"})
            response = connection.getresponse()
            is_hit = "hit" in response.getheader("cache-status", "hit").lower()
            if response.status != 206 or response.read() != file.read(RANGE) or not is_hit:
                raise RuntimeError(f"{server.name} answers ranges wrongly: {response.status} {response.getheaders()}")
    connection.close()


def measure(args, cases, core, results):
    for round_number in range(args.rounds + 1):
        is_warm_up = round_number == 0
        seconds = WARM_UP_SECONDS if is_warm_up else args.seconds
        for (size, tier, transport), servers in cases.items():
            connections = {"1k": 64, "100k": 16, "ranges": 16}.get(size, 4)
            script = "random_ranges.lua" if size == "ranges" else "summary.lua"
            # Every other round backwards, so that nobody always follows the same neighbour.
            for server in servers if round_number % 2 else reversed(servers):
                sample = run_wrk(server, size, transport, core, connections, seconds, script)
                if not is_warm_up:
                    of_case = results.setdefault((size, tier, transport), {s.name: [] for s in servers})
                    of_case[server.name].append(sample)
        print("warmed up" if is_warm_up else f"round {round_number} of {args.rounds}", file=sys.stderr)


def measure_latency(args, cases, core, results, latencies):
    """All at the same rate: half of what the slowest of them can do, so that nobody is past half load."""
    for (size, tier, transport), servers in cases.items():
        if size not in ("1k", "100k") or transport != "plain":
            continue
        samples = results[size, tier, transport]
        rate = min(median(s.requests_per_second for s in of_server) for of_server in samples.values()) / 2
        latencies[size] = {"rate": rate, "servers": {server.name: [] for server in servers}}
        for round_number in range(args.rounds):
            for server in servers if round_number % 2 else reversed(servers):
                done = subprocess.run(
                    ["taskset", "-c", str(core), args.binaries / "constant-rate", f"127.0.0.1:{server.ports[transport]}",
                     server.paths[size], f"{rate:.0f}", str(args.seconds), str(LATENCY_CONNECTIONS)],
                    check=True, capture_output=True, text=True)
                latencies[size]["servers"][server.name].append(json.loads(done.stdout))


if __name__ == "__main__":
    main()
