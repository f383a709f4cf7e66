"""llama.cpp's server on the prefix workload: an environment of its own, the model as GGUF, and a client.

The environment (PyPI's `xllamacpp`, llama.cpp's server compiled into a wheel, and `gguf`) is made on first use in
`.venv-llama-cpp` of the checkout; the project itself never needs it. The server runs in a process of its own on one
thread with weights and keys in float32, as ours.
"""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import torch
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-llama-cpp"
PACKAGES = ("xllamacpp==2026.10.11549", "gguf==0.19.0")
SERVER = Path(__file__).with_name("_llama_cpp_server.py")


class LlamaCpp:
    """A running server with so many slots, each of which may hold the shared prefix."""

    def __init__(self, address: str, process: psutil.Process, slots: int) -> None:
        self.address, self.process, self.slots = address, process, slots
        self._http = httpx.Client(timeout=3600)

    def complete(self, rows: Sequence[Sequence[int]], new_tokens: int) -> list[list[int]]:
        """Greedy continuations of token rows, as many requests under way as there are slots."""

        def one(row: Sequence[int]) -> list[int]:
            body = {"prompt": list(row), "n_predict": new_tokens, "temperature": 0, "top_k": 1, "samplers": ["top_k"],
                    "cache_prompt": True, "return_tokens": True, "stream": False}  # fmt: skip
            reply = self._http.post(f"{self.address}/completion", json=body)
            reply.raise_for_status()
            return reply.json()["tokens"]

        with ThreadPoolExecutor(self.slots) as pool:
            return list(pool.map(one, rows))

    def cpu_s(self) -> float:
        """CPU seconds of the server so far."""
        times = self.process.cpu_times()
        return times.user + times.system


@contextmanager
def llama_cpp_server(model_folder: Path, slots: int, context: int, flash: bool) -> Iterator[LlamaCpp]:
    """Serve a Llama folder whose tokens are words, with `slots` rows of `context` tokens each."""
    python = _environment()
    arrays = model_folder / "weights.npz"
    gguf = model_folder / "model.gguf"
    if not gguf.exists():
        _write_arrays(model_folder, arrays)
        subprocess.run([python, SERVER, "convert", model_folder / "config.json", arrays, gguf], check=True, cwd=ROOT)
    with (model_folder / f"llama_cpp_{slots}.log").open("wb") as log:
        server = subprocess.Popen(
            [python, SERVER, "serve", gguf, str(slots), str(slots * context), str(flash)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log, cwd=ROOT,
        )  # fmt: skip
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            while line and not line.startswith(b"address="):
                line = server.stdout.readline()
            assert line, f"llama.cpp's server ended with code {server.wait()}"
            yield LlamaCpp(line.decode().strip().removeprefix("address="), psutil.Process(server.pid), slots)
        finally:
            server.kill()
            server.wait()
            server.stdin.close()  # type: ignore[union-attr]
            server.stdout.close()  # type: ignore[union-attr]


def _environment() -> Path:
    python = ENVIRONMENT / "bin" / "python"
    marker = ENVIRONMENT / "installed.json"
    if not marker.exists() or json.loads(marker.read_text()) != list(PACKAGES):
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        marker.write_text(json.dumps(PACKAGES))
    return python


def _write_arrays(model_folder: Path, arrays: Path) -> None:
    import numpy as np

    weights: dict[str, Any] = load_file(model_folder / "model.safetensors")
    np.savez(arrays, **{name: tensor.to(torch.float32).numpy() for name, tensor in weights.items()})
