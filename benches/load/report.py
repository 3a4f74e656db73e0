"""From samples to a table: medians, spread, and the ratio to nginx round by round."""

import datetime
import json
import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from statistics import median

BASELINES = Path(__file__).parent.parent / "baselines"

# Small objects are counted, large ones weighed.
FIGURES = {
    "1k": ("requests_per_second", "cpu_us_per_request"),
    "64m": ("megabytes_per_second", "cpu_seconds_per_gb"),
}


def table(results):
    """`results`: (size, transport, log) -> server name -> samples, one for each round."""
    lines = [
        "| object | transport | log | server | req/s | MB/s | CPU µs/req | CPU s/GB | p99 ms | server busy | wrk busy |",
        "| --- | --- | --- | --- | --: | --: | --: | --: | --: | --: | --: |",
    ]
    for (size, transport, log), servers in results.items():
        for name, samples in servers.items():
            of = lambda field: [getattr(sample, field) for sample in samples]
            lines.append(
                f"| {size} | {transport} | {'on' if log else 'off'} | {name} "
                f"| {spread(of('requests_per_second'), '.0f' if size == '1k' else '.1f')} "
                f"| {median(of('megabytes_per_second')):.0f} "
                f"| {spread(of('cpu_us_per_request'), '.2f') if size == '1k' else '–'} "
                f"| {spread(of('cpu_seconds_per_gb'), '.3f') if size == '64m' else '–'} "
                f"| {median(of('p99_us')) / 1000:.2f} "
                f"| {median(of('server_busy')):.0%} | {median(of('generator_busy')):.0%} |"
            )
    return "\n".join(lines)


def ratios(results, ours="gateway"):
    """Ours to each of the others. Above 1 is faster, or less CPU for the same; rounds are paired."""
    lines = [
        f"| object | transport | log | {ours} to | by rate | by CPU spent | limit of the rate |",
        "| --- | --- | --- | --- | --: | --: | --- |",
    ]
    for (size, transport, log), servers in results.items():
        if ours not in servers:
            continue
        for name, samples in servers.items():
            if name == ours:
                continue
            pairs = list(zip(servers[ours], samples))
            per_second, cost = FIGURES[size]
            rate = [getattr(our, per_second) / getattr(their, per_second) for our, their in pairs]
            cpu = [getattr(their, cost) / getattr(our, cost) for our, their in pairs]
            lines.append(
                f"| {size} | {transport} | {'on' if log else 'off'} | {name} "
                f"| {spread(rate, '.2f')} | {spread(cpu, '.2f')} | {limit(samples, servers[ours])} |"
            )
    return "\n".join(lines)


def limit(*peers):
    """Who was out of CPU. If it was not every server, the ratio by rate says less than the one by CPU."""
    servers = [median(sample.server_busy for sample in samples) for samples in peers]
    generator = max(median(sample.generator_busy for sample in samples) for samples in peers)
    if min(servers) > 0.95:
        return "both servers"
    if generator > 0.95:
        return "wrk, with one server" if max(servers) > 0.95 else "wrk"
    return "one server" if max(servers) > 0.95 else "neither: the machine had other work"


def spread(values, form):
    """Median, and the range of all rounds."""
    return f"{median(values):{form}} ({min(values):{form}}–{max(values):{form}})"


def setting(command, load, ciphers):
    """What a number means nothing without."""
    model = next((line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    commit = _output("git", "rev-parse", "--short", "HEAD") or "unknown"
    if _output("git", "status", "--porcelain", "--untracked-files=no"):
        commit += " with local changes"
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": commit,
        "command": command,
        "machine": f"{model}, {os.cpu_count()} cores, Linux {platform.release()}",
        "load before": f"{load:.2f}",
        "nginx": (_output("nginx", "-v") or _output("/usr/sbin/nginx", "-v") or "").rpartition("/")[2],
        "wrk": (_output("wrk", "-v") or "").partition(" Copyright")[0].removeprefix("wrk "),
        "tls": ", ".join(f"{name}: {cipher}" for name, cipher in ciphers.items()),
    }


def save(document, setting, results):
    """Writes the report and its samples under benches/baselines/."""
    BASELINES.mkdir(exist_ok=True)
    stem = BASELINES / f"{setting['date'][:10]}-nginx-compare"
    stem.with_suffix(".md").write_text(document + "\n")
    samples = [
        {"object": size, "transport": transport, "log": log, "server": name, "rounds": [asdict(s) for s in rounds]}
        for (size, transport, log), servers in results.items() for name, rounds in servers.items()
    ]
    stem.with_suffix(".json").write_text(json.dumps({"setting": setting, "samples": samples}, indent=1) + "\n")
    return stem.with_suffix(".md")


def _output(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    except FileNotFoundError:
        return None
    return (done.stdout or done.stderr).splitlines()[0].strip() if done.stdout or done.stderr else None
