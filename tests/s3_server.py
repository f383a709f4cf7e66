"""An S3 server on this machine (moto's, over HTTP), for s3fs as it is."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx

BUCKET = "almost-tests"
START_LIMIT_S = 60.0


@contextlib.contextmanager
def serve_s3(log: Path) -> Iterator[dict[str, str]]:
    """A server with one empty bucket until the block ends; yields the environment with which S3 clients find it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as sink:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stdout=sink, stderr=sink
        )
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not _made_bucket(f"{address}/{BUCKET}"):
            assert server.poll() is None, f"the S3 server ended: {log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"no S3 server within {START_LIMIT_S:.0f} s: {log.read_text()[-2000:]}"
            time.sleep(0.05)
        yield {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "tests",
            "AWS_SECRET_ACCESS_KEY": "tests",
            "AWS_DEFAULT_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }
    finally:
        server.kill()
        server.wait()


def _made_bucket(url: str) -> bool:
    try:
        return httpx.put(url, timeout=5, trust_env=False).is_success
    except httpx.TransportError:
        return False
