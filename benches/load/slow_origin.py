"""A slow S3 store and a reader in front of it or of an asset server: what cold reads are measured with."""

import datetime
import hashlib
import hmac
import json
import subprocess
import threading
from urllib.parse import quote, urlencode

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
BUCKET = "bench"


class SlowStore:
    """A running slow-store; it remembers when the first byte of each object left it."""

    def __init__(self, binaries, core, delay_ms, megabytes_per_second):
        self.process = subprocess.Popen(
            ["taskset", "-c", str(core), binaries / "slow-store", str(delay_ms), str(megabytes_per_second)],
            stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()
        self.first_bytes, self.bodies = {}, 0
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            at, _, key = line.strip().partition(" ")
            self.bodies += 1
            self.first_bytes.setdefault(key, int(at))

    def origin(self):
        """The store as an asset server's configuration names it."""
        return (f"{{s3: {{endpoint: 'http://{self.address}', region: us-east-1, bucket: {BUCKET}, "
                "credentials: environment}}")

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def presigned(self, key):
        """The path of a GET that is signed in its query (AWS Signature Version 4)."""
        now = datetime.datetime.now(datetime.timezone.utc)
        day, time = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
        scope, path = f"{day}/us-east-1/s3/aws4_request", quote(f"/{BUCKET}/{key}")
        query = urlencode(sorted({
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"key/{scope}", "X-Amz-Date": time,
            "X-Amz-Expires": "600", "X-Amz-SignedHeaders": "host"}.items()), quote_via=quote, safe="")
        request = f"GET\n{path}\n{query}\nhost:{self.address}\n\nhost\nUNSIGNED-PAYLOAD"
        text = f"AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
        secret = b"AWS4secret"
        for part in (day, "us-east-1", "s3", "aws4_request"):
            secret = hmac.digest(secret, part.encode(), "sha256")
        return f"{path}?{query}&X-Amz-Signature={hmac.digest(secret, text.encode(), 'sha256').hex()}"


def fetch(binaries, core, address, path, readers=1, apart_us=0, most=None):
    """Reads; one record for each reader, in the order in which they asked. Times are nanoseconds since 1970."""
    more = [str(most)] if most else []
    done = subprocess.run(["taskset", "-c", str(core), binaries / "fetch", address, path, str(readers), str(apart_us),
                           *more], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"cannot read {path}: {done.stderr.strip()}")
    return sorted(map(json.loads, done.stdout.splitlines()), key=lambda record: record["sent"])
