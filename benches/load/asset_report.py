"""The asset comparison as tables: what each server did, and ours beside each of the others."""

import json
from dataclasses import asdict
from statistics import median

from report import BASELINES, limit, spread

# What is counted; the rest is weighed.
COUNTED = ("1k", "100k", "ranges")


def document(setting, args, results, latencies):
    return "\n\n".join([
        "# The asset server beside nginx and Varnish",
        "\n".join(f"- {key}: {value}" for key, value in setting.items()),
        f"Median of {args.rounds} interleaved rounds of {args.seconds} s, and their range. Servers and generator each "
        "have a core of their own; the CPU time of Varnish over TLS is that of hitch and Varnish together.",
        table(results), ratios(results), latency_table(latencies),
    ])


def table(results):
    lines = [
        "| object | from | transport | server | req/s | MB/s | CPU µs/req | CPU s/GB | server busy | wrk busy |",
        "| --- | --- | --- | --- | --: | --: | --: | --: | --: | --: |",
    ]
    for (size, tier, transport), servers in results.items():
        for name, samples in servers.items():
            of = lambda field: [getattr(sample, field) for sample in samples]
            counted = size in COUNTED
            lines.append(
                f"| {size} | {tier} | {transport} | {name} "
                f"| {spread(of('requests_per_second'), '.0f') if counted else '–'} "
                f"| {median(of('megabytes_per_second')):.0f} "
                f"| {spread(of('cpu_us_per_request'), '.1f') if counted else '–'} "
                f"| {spread(of('cpu_seconds_per_gb'), '.3f')} "
                f"| {median(of('server_busy')):.0%} | {median(of('generator_busy')):.0%} |"
            )
    return "\n".join(lines)


def ratios(results):
    """Ours to each of the others. Above 1 is faster, or less CPU for the same; rounds are paired."""
    lines = [
        "| object | from | transport | ours to | by rate | by CPU spent | limit of the rate |",
        "| --- | --- | --- | --- | --: | --: | --- |",
    ]
    for (size, tier, transport), servers in results.items():
        ours = next((samples for name, samples in servers.items() if name.startswith("ours")), [])
        rate, cost = (("requests_per_second", "cpu_us_per_request") if size in COUNTED
                      else ("megabytes_per_second", "cpu_seconds_per_gb"))
        for name, theirs in servers.items():
            if name.startswith("ours") or not ours:
                continue
            by_rate = [getattr(our, rate) / getattr(their, rate) for our, their in zip(ours, theirs)]
            by_cpu = [getattr(their, cost) / getattr(our, cost) for our, their in zip(ours, theirs)]
            lines.append(f"| {size} | {tier} | {transport} | {name} | {spread(by_rate, '.2f')} "
                         f"| {spread(by_cpu, '.2f')} | {limit(theirs, ours)} |")
    return "\n".join(lines)


def latency_table(latencies):
    if not latencies:
        return ""
    lines = ["Latency in plain at one constant arrival rate for all, half of what the slowest can do:", "",
             "| object | rate per s | server | p50 µs | p99 µs | p99.9 µs |", "| --- | --: | --- | --: | --: | --: |"]
    for size, measured in latencies.items():
        for name, rounds in measured["servers"].items():
            of = lambda field: spread([sample[field] for sample in rounds], ".0f")
            lines.append(f"| {size} | {measured['rate']:.0f} | {name} "
                         f"| {of('p50_us')} | {of('p99_us')} | {of('p999_us')} |")
    return "\n".join(lines)


def save(document, setting, results, latencies):
    """Writes the report and its samples under benches/baselines/."""
    BASELINES.mkdir(exist_ok=True)
    path = BASELINES / f"{setting['date'][:10]}-assets.md"
    path.write_text(document + "\n")
    samples = [
        {"object": size, "from": tier, "transport": transport, "server": name, "rounds": [asdict(s) for s in rounds]}
        for (size, tier, transport), servers in results.items() for name, rounds in servers.items()
    ]
    dump = {"setting": setting, "samples": samples, "latencies": latencies}
    path.with_suffix(".json").write_text(json.dumps(dump, indent=1) + "\n")
    return path
