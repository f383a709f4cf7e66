"""A real HTTP server with `/v1/completions`, behind which our own engine generates; faults can be put in its way."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

from data_contracts.finish_reason import FinishReason
from models.engines.protocol import SamplingSettings
from models.engines.transformers_engine import TransformersEngine
from models.lm.token_rows import encode_rows

Answer = tuple[int, dict[str, str], bytes]
Fault = Callable[[dict[str, Any], int], Answer | None]
"""From a request and how often this prompt has come to the answer that replaces the engine's, if any."""


def as_json(body: Any, status: int = 200) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


class CompletionsServer:
    """Address, the requests so far, and the fault in force."""

    def __init__(self, folder: Path) -> None:
        self.engine, self.lock = TransformersEngine(folder), threading.Lock()
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.fault: Fault = lambda body, seen: None
        self.busy = self.busiest = 0
        self.cached_tokens: int | None = None
        self.url = ""

    def answer(self, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        with self.lock:
            seen = sum(body["prompt"] == other["prompt"] for other in self.requests)
            self.requests.append(body)
            self.headers.append(headers)
            self.busy += 1
            self.busiest = max(self.busiest, self.busy)
        try:
            return self.fault(body, seen) or self.completion(body)
        finally:
            with self.lock:
                self.busy -= 1

    def completion(self, body: dict[str, Any]) -> Answer:
        if body.get("echo"):
            return self.echo(body)
        settings = SamplingSettings(
            body["max_tokens"], body["temperature"], body.get("top_p", 1.0), tuple(body.get("stop", ()))
        )
        with self.lock:
            row = self.engine.generate("", [body["prompt"]], [body.get("seed", 0)], settings)[0]
        choice: dict[str, Any] = {
            "index": 0,
            "text": " " + row.text,
            "finish_reason": "length" if row.finish_reason is FinishReason.LENGTH else "stop",
            "stop_reason": "stop string" if row.finish_reason is FinishReason.STOP else None,
        }
        if body.get("logprobs"):
            assert row.logprob is not None
            choice["logprobs"] = {"token_logprobs": [row.logprob / row.token_count] * row.token_count}
        usage: dict[str, Any] = {"prompt_tokens": row.prompt_tokens, "completion_tokens": row.token_count}
        if self.cached_tokens is not None:
            usage["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        return as_json({"choices": [choice], "usage": usage})

    def echo(self, body: dict[str, Any]) -> Answer:
        """As vLLM: the prompt again, the log-probability of each of its tokens, null for the first, and a new token's."""
        [ids] = encode_rows(self.engine.loaded.tokenizer, [body["prompt"]])
        with self.lock, torch.no_grad():
            logits = self.engine.loaded.model(torch.tensor([ids])).logits[0]
        logprobs = logits.log_softmax(-1)
        following = torch.tensor([*ids[1:], int(logits[-1].argmax())])
        values = logprobs.gather(-1, following[:, None])[:, 0].tolist()
        choice: dict[str, Any] = {"text": body["prompt"] + " x", "finish_reason": "length"}
        choice["logprobs"] = {"token_logprobs": [None, *values]}
        return as_json({"choices": [choice], "usage": {"prompt_tokens": len(ids), "completion_tokens": 1}})


@contextmanager
def serving(folder: Path) -> Iterator[CompletionsServer]:
    """The server, on a free port of this machine."""
    server = CompletionsServer(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path == "/v1/completions":
                status, headers, content = server.answer(body, dict(self.headers))
            else:
                status, headers, content = 404, {}, b"no such page"
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}/v1"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
