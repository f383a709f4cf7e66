"""A real HTTP server with `/v1/chat/completions` that says what a script says."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[[dict[str, Any]], tuple[int, Any]]


def says(content: Any, finish_reason: str = "stop", **message: Any) -> tuple[int, Any]:
    """A reply as chat servers give it."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content} | message,
        "finish_reason": finish_reason,
    }
    return 200, {"choices": [choice], "usage": {"prompt_tokens": 900, "completion_tokens": 7}}


@contextmanager
def chatting(script: Script) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """(address, the requests so far) of a server on a free port."""
    requests: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            requests.append(body | {"key": self.headers.get("Authorization")})
            status, answer = script(body) if self.path == "/v1/chat/completions" else (404, "no such page")
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            return

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{http.server_port}/v1", requests
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
