"""A served engine starts, answers, and ends with its `with` block, also when either side is killed."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from data_contracts.errors import ConfigError, EngineError, TransientEngineError
from models.engines.serve_engine import free_port, serve_engine

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("CUDA_VISIBLE_DEVICES", "all").encode()
        self.send_response(200 if self.path == "/health" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
HOLDER = """
import sys, time
from pathlib import Path
from models.engines.serve_engine import serve_engine
with serve_engine(sys.argv[3:], sys.argv[1], Path(sys.argv[2]), start_timeout_s=60):
    print("up", flush=True)
    time.sleep(600)
"""


def command(url: str) -> list[str]:
    return [sys.executable, "-c", SERVER, str(urlsplit(url).port)]


def listening(url: str) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port)) == 0


def wait_until_silent(url: str) -> None:
    for _ in range(200):
        if not listening(url):
            return
        time.sleep(0.1)
    raise AssertionError(f"the server at {url} lives on")


@pytest.fixture
def url() -> str:
    return f"http://127.0.0.1:{free_port()}/v1"


def test_it_serves_on_its_gpus_and_ends_with_the_block(url: str, tmp_path: Path) -> None:
    with serve_engine(command(url), url, tmp_path / "log", gpus=[2, 3], start_timeout_s=60) as served:
        assert httpx.get(url.removesuffix("/v1") + "/health").text == "2,3"
        served.require_alive()
        with (
            pytest.raises(ConfigError, match=r"something listens at .* already"),
            serve_engine(command(url), url, tmp_path / "log"),
        ):
            pass
    wait_until_silent(url)
    with pytest.raises(ZeroDivisionError), serve_engine(command(url), url, tmp_path / "log", start_timeout_s=60):
        raise ZeroDivisionError
    wait_until_silent(url)


def test_a_server_that_dies_is_told_with_its_log(url: str, tmp_path: Path) -> None:
    dying = [sys.executable, "-c", "print('no room on this card'); raise SystemExit(3)"]
    with (
        pytest.raises(EngineError, match=r"ended with code 3; log: (.|\n)*no room on this card"),
        serve_engine(dying, url, tmp_path / "log"),
    ):
        pass
    with serve_engine(command(url), url, tmp_path / "log", start_timeout_s=60) as served:
        os.killpg(served.process.pid, signal.SIGKILL)
        served.process.wait(10)
        with pytest.raises(TransientEngineError, match="the model server ended"):
            served.require_alive()  # a killed server may live the next time
    wait_until_silent(url)


def test_a_server_that_never_answers_is_given_up_and_ended(url: str, tmp_path: Path) -> None:
    silent = [sys.executable, "-c", "import time; time.sleep(600)"]
    with (
        pytest.raises(TransientEngineError, match=r"did not answer at .*/health within 1 s"),
        serve_engine(silent, url, tmp_path / "log", start_timeout_s=1),
    ):
        pass
    with pytest.raises(ConfigError, match="names no host and port"), serve_engine(silent, "nowhere", tmp_path / "log"):
        pass
    missing = [str(tmp_path / "server"), "--port", "1"]
    with pytest.raises(ConfigError, match=r"program .*/server does not exist"), serve_engine(missing, url, tmp_path):
        pass


def test_the_server_ends_when_its_user_is_killed(url: str, tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url, str(tmp_path / "log"), *command(url)], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"up\n"
    assert listening(url)
    holder.kill()
    holder.wait(10)
    holder.stdout.close()
    wait_until_silent(url)
