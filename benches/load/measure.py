"""One measurement: wrk against one server, and what it cost on either side."""

import hashlib
import http.client
import json
import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).parent


@dataclass
class Sample:
    requests_per_second: float
    megabytes_per_second: float
    cpu_us_per_request: float
    cpu_seconds_per_gb: float
    server_busy: float  # share of its core that the server used
    generator_busy: float  # the same for wrk
    p50_us: int
    p99_us: int


def run_wrk(server, size, transport, core, connections, seconds, script="summary.lua"):
    """Loads the server for some seconds from the generator's core."""
    url = server.url(size, transport)
    command = ["taskset", "-c", str(core), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s",
               "-s", str(HERE / script), url]
    cpu_before = server.cpu_seconds()
    wrk = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           env={**os.environ, "SUMMARY_LUA": str(HERE / "summary.lua")})
    output = wrk.stderr.read()
    _, status, usage = os.wait4(wrk.pid, 0)
    wrk.returncode = os.waitstatus_to_exitcode(status)
    cpu = server.cpu_seconds() - cpu_before
    try:
        summary = json.loads(output)
    except json.JSONDecodeError:
        raise RuntimeError(f"wrk failed on {url}: {output.decode()!r}") from None
    # A large object may take longer than the whole run; then its bytes alone count.
    if summary["failed"] or not summary["bytes"]:
        raise RuntimeError(f"{url}: {summary['failed']} of {summary['requests']} requests failed")
    elapsed = summary["microseconds"] / 1e6
    return Sample(
        requests_per_second=summary["requests"] / elapsed,
        megabytes_per_second=summary["bytes"] / 1e6 / elapsed,
        cpu_us_per_request=cpu * 1e6 / max(summary["requests"], 1),
        cpu_seconds_per_gb=cpu * 1e9 / summary["bytes"],
        server_busy=cpu / elapsed,
        generator_busy=(usage.ru_utime + usage.ru_stime) / elapsed,
        p50_us=summary["p50_us"],
        p99_us=summary["p99_us"],
    )


def check(server, size, transport, digest):
    """Fetches the object twice: its bytes must be right, and a cache must say that the second was a hit."""
    for is_second in (False, True):
        status, got, cache_status, cipher = _fetch(server.url(size, transport))
        if status != 200 or got != digest:
            raise RuntimeError(f"{server.name} answers {size} over {transport} wrongly (status {status})")
        if is_second and "hit" not in cache_status:
            raise RuntimeError(f"{server.name} does not answer {size} from its cache: {cache_status}")
    return cipher


def _fetch(url):
    parts = urlsplit(url)
    if parts.scheme == "https":
        # What is measured is speed; that the certificate is ours needs no proof here.
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection(parts.netloc, timeout=30, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    connection.request("GET", parts.path)
    cipher = " ".join(connection.sock.cipher()[1::-1]) if parts.scheme == "https" else None
    response, digest = connection.getresponse(), hashlib.sha256()
    while piece := response.read(1 << 20):
        digest.update(piece)
    connection.close()
    return response.status, digest.digest(), response.getheader("cache-status", "hit").lower(), cipher
