#!/usr/bin/env python3
"""How much faster than one S3 stream is a cold read through the asset server, and how far behind the store?

The store gives 40 MB/s per stream and takes 30 ms per request. A 1 GiB object is read once directly and then
cold through asset servers with every size of slice and every read-ahead; then many readers ask for one cold
object at once. How to read the result: benches/README.md.
"""

import argparse
import json
import os
import sys
import tempfile
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from statistics import median, quantiles

sys.dont_write_bytecode = True  # the modules beside this one shall leave nothing in the source tree

import report
from asset_servers import IN_MEMORY, ON_DISK, AssetSite
from nginx_compare import two_cores
from slow_origin import CREDENTIALS, SlowStore, fetch

DELAY_MS, MEGABYTES_PER_SECOND = 30, 40
DEFAULT = ("4MiB", 8)
WAITED_FOR = 16 << 20
WAITERS, WAITER_ROUNDS, APART_US = (15, 63), 30, 0
_names = count()


def main():
    args = arguments()
    server_core, other_core = two_cores()
    load = os.getloadavg()[0]
    with ExitStack() as stack:
        site = AssetSite(stack.enter_context(tempfile.TemporaryDirectory(prefix="cold-read-")), server_core, ())
        store = SlowStore(args.binaries, other_core, DELAY_MS, MEGABYTES_PER_SECOND)
        stack.callback(store.stop)
        key = f"direct/{args.bytes}"
        record, = fetch(args.binaries, other_core, store.address, store.presigned(key))
        direct = seconds(record)
        cold = measure(args, site, store, other_core)
        waiters = measure_waiters(args, site, store, other_core)
    setting = report.setting(" ".join(["cold_read.py", *sys.argv[1:]]), load, {})
    text = document(setting, args, direct, cold, waiters)
    print(text)
    if args.save:
        path = report.BASELINES / f"{setting['date'][:10]}-assets-cold.md"
        path.write_text(text + "\n")
        dump = {"setting": setting, "direct_seconds": direct, "waiters_us": waiters,
                "cold": [{"case": case, "rounds": rounds} for case, rounds in cold.items()]}
        path.with_suffix(".json").write_text(json.dumps(dump, indent=1) + "\n")


def arguments():
    binaries = Path(os.environ.get("CARGO_TARGET_DIR", "target")) / "dist"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", default="1,2,4,8,16", help="MiB of a slice (default: %(default)s)")
    parser.add_argument("--read-ahead", default="4,8,12,16", help="slices under way (default: %(default)s)")
    parser.add_argument("--bytes", type=int, default=1 << 30, help="of the object (default: 1 GiB)")
    parser.add_argument("--binaries", type=Path, default=binaries, help="where ours are (default: %(default)s)")
    parser.add_argument("--save", action="store_true", help="write the result under benches/baselines/")
    return parser.parse_args()


def seconds(record):
    return (record["last"] - record["sent"]) / 1e9


def asset_server(args, site, store, size, read_ahead, on_disk):
    storage = ON_DISK.format(path=site.root / f"cache-{next(_names)}") if on_disk else IN_MEMORY
    storage += f"  slices:\n    size: {size}\n    read_ahead: {read_ahead}\n"
    return site.asset_server(args.binaries / "asset-server", "cold", store.origin(), storage, CREDENTIALS)


def measure(args, site, store, core):
    """(slice, read-ahead, tier) -> a record for each round."""
    cases = [(f"{size}MiB", int(ahead), False) for size in args.sizes.split(",") for ahead in args.read_ahead.split(",")]
    cases.append((*DEFAULT, True))
    results = {case: [] for case in cases}
    for round_number in range(args.rounds):
        for case in cases if round_number % 2 else reversed(cases):
            server = asset_server(args, site, store, *case)
            try:
                key, bodies, cpu = f"{next(_names)}/{args.bytes}", store.bodies, server.cpu_seconds()
                record, = fetch(args.binaries, core, f"127.0.0.1:{server.ports['plain']}", f"/assets/{key}")
                results[case].append({
                    "seconds": seconds(record), "cpu_seconds": server.cpu_seconds() - cpu,
                    "first_byte_behind_us": (record["first"] - store.first_bytes[key]) / 1e3,
                    "requests": store.bodies - bodies,
                })
            finally:
                server.stop()
        print(f"round {round_number + 1} of {args.rounds}", file=sys.stderr)
    return results


def measure_waiters(args, site, store, core):
    """How far behind the leader's first byte each waiter's is, in microseconds: number of waiters -> all of them."""
    server, behind = asset_server(args, site, store, *DEFAULT, False), {}
    try:
        for waiters in WAITERS:
            for _ in range(WAITER_ROUNDS):
                # Who asks within the store's delay is a waiter; who comes later found bytes there.
                leader, *others = fetch(args.binaries, core, f"127.0.0.1:{server.ports['plain']}",
                                        f"/assets/{next(_names)}/{WAITED_FOR}", waiters + 1, APART_US, 1)
                behind.setdefault(waiters, []).extend((other["first"] - leader["first"]) / 1e3 for other in others
                                                          if other["sent"] < leader["first"])
    finally:
        server.stop()
    return behind


def document(setting, args, direct, cold, waiters):
    lines = ["| slice | read-ahead | kept | seconds | times one stream | first byte behind µs | CPU s | requests |",
             "| --: | --: | --- | --: | --: | --: | --: | --: |"]
    for (size, ahead, on_disk), rounds in cold.items():
        of = lambda field: [record[field] for record in rounds]
        lines.append(f"| {size} | {ahead} | {'disk' if on_disk else 'memory'} | {report.spread(of('seconds'), '.2f')} "
                     f"| {direct / median(of('seconds')):.1f} | {report.spread(of('first_byte_behind_us'), '.0f')} "
                     f"| {median(of('cpu_seconds')):.2f} | {median(of('requests')):.0f} |")
    waiting = ["| waiters | median µs | p99 µs | most µs | of |", "| --: | --: | --: | --: | --: |"]
    for number, behind in waiters.items():
        waiting.append(f"| {number} | {median(behind):.0f} | {quantiles(behind, n=100)[98]:.0f} "
                       f"| {max(behind):.0f} | {len(behind)} |")
    return "\n\n".join([
        "# Cold reads through the asset server",
        "\n".join(f"- {key}: {value}" for key, value in setting.items() if value),
        f"{args.bytes >> 20} MiB from a store that gives {MEGABYTES_PER_SECOND} MB/s per stream and takes {DELAY_MS} ms "
        f"per request. One stream, directly: {direct:.2f} s. Median of {args.rounds} cold reads, and their range. The "
        "asset server has one core; the store and the reader share the other.",
        "\n".join(lines),
        "First byte of a waiter behind the first byte of whoever began the fetch:", "\n".join(waiting),
    ])


if __name__ == "__main__":
    main()
