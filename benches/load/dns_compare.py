#!/usr/bin/env python3
"""Does our DNS answer as many queries a second and core as knot and gdnsd with geo answers? Whole processes, one core
each, the same generator, interleaved.

Every query asks for the address of one name and carries the network (/24) of another client; every answer depends on it
and says for how large a network it holds. Our gateway looks networks up in its built-in country data (430,000 intervals)
and ranks three regions by expected round trip and health for each query. Knot (module geoip, mode subnet) and gdnsd
(plugin geoip) look them up in 57,000 /16 networks with a fixed place each. Latency is measured by a second generator that
asks 500 times a second while the first makes half of the server's full load. How to read the result: benches/README.md.
"""

import argparse
import datetime
import json
import os
import random
import re
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

sys.dont_write_bytecode = True  # the modules beside this one shall leave nothing in the source tree

import report
from dns_servers import NAME, Zone, ask, program
from nginx_compare import two_cores

NAMES = ["gateway", "knot", "gdnsd"]
QUERIES = 50_000


@dataclass
class Sample:
    queries_per_second: float
    queries_per_cpu_second: float
    server_busy: float  # share of its core that the server used
    generator_busy: float  # the same for dnsperf
    lost: int
    half_load_p50_us: float
    half_load_p99_us: float
    half_load: float  # queries a second while latency was measured


def main():
    args = arguments()
    server_core, generator_core = two_cores()
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"the machine has other work (load {load:.1f}): wait for it to end", file=sys.stderr)
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dns-compare-")))
        root.chmod(0o755)
        queries = write_queries(root / "queries")
        zone = Zone(root, server_core)
        start = {"gateway": lambda: zone.gateway(args.gateway), "knot": zone.knot, "gdnsd": zone.gdnsd}
        servers = []
        for name in args.servers:
            servers.append(start[name]())
            stack.callback(servers[-1].stop)
            check(servers[-1])
        results = measure(args, servers, queries, generator_core)

    setting = {
        **{key: value for key, value in report.setting("", load, {}).items() if key in ("date", "commit", "machine", "load before")},
        "command": " ".join(["dns_compare.py", *sys.argv[1:]]),
        "knot": version(program("knotd"), "-V"), "gdnsd": version(program("gdnsd"), "-V"),
        "dnsperf": version("dnsperf", "-H"),
    }
    document = "\n\n".join([
        "# DNS beside knot and gdnsd",
        "\n".join(f"- {key}: {value}" for key, value in setting.items()),
        f"Median of {args.rounds} interleaved rounds of {args.seconds} s, and their range. Server and generator each have a "
        "core of their own. Where the generator was busy and the server was not, the generator was the limit, and only the "
        "rate per CPU second of the server compares servers.",
        table(results), ratios(results),
    ])
    print(document)
    if args.save:
        stem = report.BASELINES / f"{setting['date'][:10]}-dns-compare"
        stem.with_suffix(".md").write_text(document + "\n")
        rows = [{"server": name, "rounds": [asdict(sample) for sample in samples]} for name, samples in results.items()]
        stem.with_suffix(".json").write_text(json.dumps({"setting": setting, "samples": rows}, indent=1) + "\n")
        print(f"\nsaved as {stem}.md", file=sys.stderr)


def arguments():
    binaries = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "dist"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="rounds, in each of which every server is measured")
    parser.add_argument("--seconds", type=int, default=4, help="length of one measurement")
    parser.add_argument("--servers", default=",".join(NAMES), help="some of: %(default)s")
    parser.add_argument("--gateway", default=binaries / "gateway", help="the binary (default: %(default)s)")
    parser.add_argument("--save", action="store_true", help="write the result under benches/baselines/")
    args = parser.parse_args()
    args.servers = args.servers.split(",")
    if "gateway" in args.servers and not Path(args.gateway).exists():
        parser.error(f"{args.gateway} is missing: cargo build --profile dist -p gateway --bins")
    return args


def write_queries(path):
    """Queries with networks drawn evenly, as dnsperf -B wants them: length, then message."""
    draw = random.Random(4)
    labels = b"".join(bytes([len(label)]) + label.encode() for label in NAME.split(".")) + b"\0"
    with open(path, "wb") as file:
        for _ in range(QUERIES):
            subnet = struct.pack("!HHHBB3B", 8, 7, 1, 24, 0, draw.randrange(1, 224), draw.randrange(256), draw.randrange(256))
            message = struct.pack("!6H", 0, 0, 1, 0, 0, 1) + labels + struct.pack("!2H", 1, 1)
            message += b"\0" + struct.pack("!HHIH", 41, 1232, 0, len(subnet)) + subnet
            file.write(struct.pack("!H", len(message)) + message)
    return path


def check(server):
    """Different networks get different answers, each with a scope."""
    answers = [ask(server.port, network) for network in ("8.8.8.0/24", "91.64.0.0/24", "36.66.0.0/24", "36.67.0.0/24", "36.68.0.0/24")]
    if any(len(answer) != 2 for answer in answers) or len({answer[-1] for answer in answers}) < 2:
        raise RuntimeError(f"{server.name} does not answer by network: {answers}")


def measure(args, servers, queries, core):
    results = {server.name: [] for server in servers}
    for round_number in range(args.rounds + 1):
        # Every other round backwards, so that nobody always follows the same neighbour.
        for server in servers if round_number % 2 else reversed(servers):
            seconds = args.seconds if round_number else 1
            cpu = server.cpu_seconds()
            full = dnsperf(server, queries, core, seconds)
            cpu = server.cpu_seconds() - cpu
            half = full["rate"] / 2
            latencies = half_load(server, queries, core, seconds, half)
            if round_number:
                results[server.name].append(Sample(
                    queries_per_second=full["rate"], queries_per_cpu_second=full["completed"] / cpu,
                    server_busy=cpu / full["elapsed"], generator_busy=full["busy"], lost=full["lost"],
                    half_load_p50_us=percentile(latencies, 0.5), half_load_p99_us=percentile(latencies, 0.99), half_load=half,
                ))
        print(f"round {round_number} of {args.rounds}" if round_number else "warmed up", file=sys.stderr)
    return results


def command(server, queries, core, seconds, *more):
    return ["taskset", "-c", str(core), "dnsperf", "-s", "127.0.0.1", "-p", str(server.port), "-B", "-d", str(queries),
            "-l", str(seconds), "-T", "1", *more]


def dnsperf(server, queries, core, seconds):
    began = time.monotonic()
    process = subprocess.Popen(command(server, queries, core, seconds, "-c", "8", "-q", "256"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output = process.stdout.read().decode()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    number = lambda key: float(re.search(rf"{key}:\s+([\d.]+)", output).group(1))
    elapsed = number(r"Run time \(s\)")
    return {"rate": number("Queries per second"), "completed": number("Queries completed"), "lost": int(number("Queries lost")),
            "elapsed": elapsed, "busy": (usage.ru_utime + usage.ru_stime) / (time.monotonic() - began)}


def half_load(server, queries, core, seconds, rate):
    """Latencies in microseconds, as a second generator sees them beside half of the full load."""
    load = subprocess.Popen(command(server, queries, core, seconds + 1, "-c", "8", "-Q", str(int(rate))),
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    probe = subprocess.run(command(server, queries, core, seconds, "-c", "1", "-q", "4", "-Q", "500", "-v"), capture_output=True, text=True)
    load.wait()
    return sorted(float(line.split()[-1]) * 1e6 for line in probe.stdout.splitlines() if line.startswith("> NOERROR"))


def percentile(values, share):
    return values[min(int(len(values) * share), len(values) - 1)] if values else float("nan")


def table(results):
    lines = ["| server | queries/s | queries per CPU second | server busy | dnsperf busy | lost | p50 µs at half load | p99 µs at half load |",
             "| --- | --: | --: | --: | --: | --: | --: | --: |"]
    for name, samples in results.items():
        of = lambda field: [getattr(sample, field) for sample in samples]
        lines.append(f"| {name} | {report.spread(of('queries_per_second'), '.0f')} | {report.spread(of('queries_per_cpu_second'), '.0f')} "
                     f"| {median(of('server_busy')):.0%} | {median(of('generator_busy')):.0%} | {sum(of('lost'))} "
                     f"| {median(of('half_load_p50_us')):.0f} | {report.spread(of('half_load_p99_us'), '.0f')} |")
    return "\n".join(lines)


def ratios(results):
    lines = ["| gateway to | queries/s | queries per CPU second |", "| --- | --: | --: |"]
    for name, samples in results.items():
        if name == "gateway" or "gateway" not in results:
            continue
        pairs = list(zip(results["gateway"], samples))
        ratio = lambda field: report.spread([getattr(our, field) / getattr(their, field) for our, their in pairs], ".2f")
        lines.append(f"| {name} | {ratio('queries_per_second')} | {ratio('queries_per_cpu_second')} |")
    return "\n".join(lines)


def version(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return ((done.stdout or done.stderr).splitlines() or [""])[0].strip()


if __name__ == "__main__":
    main()
