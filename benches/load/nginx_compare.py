#!/usr/bin/env python3
"""Is the gateway as fast as nginx? Whole processes, one core each, the same generator, interleaved.

Compares nginx (as a file server and as a cache), `gateway run` with its embedded asset server, and bare
hyper answering from memory as the ceiling: a cached object of 1 KiB over keep-alive and one of 64 MiB,
in plain and over TLS 1.3, with and without access log. How to read the result: benches/README.md.
"""

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

sys.dont_write_bytecode = True  # the modules beside this one shall leave nothing in the source tree

import report
from measure import check, run_wrk
from servers import Site

TOOLS = {"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux", "openssl": "openssl"}
NAMES = ["nginx file", "nginx cache", "gateway", "bare hyper"]
WARM_UP_SECONDS = 1


def main():
    args = arguments()
    require_tools()
    server_core, generator_core = two_cores()
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"the machine has other work (load {load:.1f}): wait for it to end", file=sys.stderr)
    with ExitStack() as stack:
        root = stack.enter_context(tempfile.TemporaryDirectory(prefix="nginx-compare-"))
        site = Site(root, server_core)
        cases, ciphers = start_and_check(args, site, stack)
        results = measure(args, cases, generator_core)

    setting = report.setting(" ".join(["nginx_compare.py", *sys.argv[1:]]), load, ciphers)
    document = "\n\n".join([
        "# The gateway beside nginx",
        "\n".join(f"- {key}: {value}" for key, value in setting.items()),
        f"Median of {args.rounds} interleaved rounds of {args.seconds} s, and their range. "
        "Servers and generator each have a core of their own.",
        report.table(results),
        report.ratios(results),
    ])
    print(document)
    if args.save:
        print(f"\nsaved as {report.save(document, setting, results)}", file=sys.stderr)


def arguments():
    binaries = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "dist"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in each of which every server is measured")
    parser.add_argument("--seconds", type=int, default=4, help="length of one measurement")
    parser.add_argument("--connections", type=int, default=64, help="connections for 1 KiB; 64 MiB takes 4")
    parser.add_argument("--servers", default=",".join(NAMES), help="some of: %(default)s")
    parser.add_argument("--objects", default="1k,64m", help="some of: %(default)s")
    parser.add_argument("--gateway", default=binaries / "gateway", help="the binary (default: %(default)s)")
    parser.add_argument("--bare-hyper", default=binaries / "bare-hyper", help="the binary (default: %(default)s)")
    parser.add_argument("--save", action="store_true", help="write the result under benches/baselines/")
    args = parser.parse_args()
    args.servers, args.objects = args.servers.split(","), args.objects.split(",")
    if unknown := set(args.servers) - set(NAMES):
        parser.error(f"no such server: {', '.join(sorted(unknown))}")
    for name, binary in (("gateway", args.gateway), ("bare hyper", args.bare_hyper)):
        if name in args.servers and not Path(binary).exists():
            parser.error(f"{binary} is missing: cargo build --profile dist -p gateway -p benches --bins")
    return args


def require_tools():
    missing = [package for tool, package in TOOLS.items()
               if not shutil.which(tool) and not Path("/usr/sbin", tool).exists()]
    if missing:
        sys.exit(f"missing tools: apt-get install {' '.join(missing)}")


def two_cores():
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        sys.exit("two cores are needed: one for the servers, one for the generator")
    return cores[0], cores[1]


def start_and_check(args, site, stack):
    """Every server up and answering rightly: (size, transport, log) -> servers, and their ciphers."""
    cases, ciphers = defaultdict(list), {}

    def enter(server, transports, logs):
        if server.name not in args.servers:
            return
        for size in args.objects:
            for transport in transports:
                cipher = check(server, size, transport, digest(site, server, size))
                if cipher:
                    ciphers[server.name] = cipher
                for log in logs:
                    # A large object makes so few log lines that one setting is enough.
                    if size == "1k" or not log:
                        cases[size, transport, log].append(server)

    for log in (False, True):
        for server in site.nginx(log):
            stack.callback(server.stop)
            enter(server, ("plain", "tls"), [log])
        if "gateway" in args.servers:
            server = site.gateway(args.gateway, log)
            stack.callback(server.stop)
            enter(server, ("plain", "tls"), [log])
    if "bare hyper" in args.servers:
        for transport in ("plain", "tls"):
            server = site.bare_hyper(args.bare_hyper, transport)
            stack.callback(server.stop)
            enter(server, [transport], [False, True])
    order = sorted(cases, key=lambda case: (args.objects.index(case[0]), case[1], case[2]))
    return {case: cases[case] for case in order}, ciphers


def digest(site, server, size):
    """Bare hyper has no files; it answers as many bytes of its own."""
    if server.name == "bare hyper":
        return hashlib.sha256(b"x" * len(site.body(size))).digest()
    return site.digest(size)


def measure(args, cases, core):
    results = {case: {server.name: [] for server in servers} for case, servers in cases.items()}
    for round_number in range(args.rounds + 1):
        is_warm_up = round_number == 0
        for (size, transport, log), servers in cases.items():
            connections = args.connections if size == "1k" else 4
            seconds = WARM_UP_SECONDS if is_warm_up else args.seconds
            # Every other round backwards, so that nobody always follows the same neighbour.
            for server in servers if round_number % 2 else reversed(servers):
                sample = run_wrk(server, size, transport, core, connections, seconds)
                if not is_warm_up:
                    results[size, transport, log][server.name].append(sample)
        print("warmed up" if is_warm_up else f"round {round_number} of {args.rounds}", file=sys.stderr)
    return results


if __name__ == "__main__":
    main()
