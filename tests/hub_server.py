"""A small server that speaks the Hub's HTTP protocol for models and datasets in local folders, for its real clients.

Folders ROOT/models/OWNER/NAME and ROOT/datasets/OWNER/NAME are repositories with one commit each. Nothing is replaced on the
client's side: `huggingface_hub` and `datasets` are pointed here by HF_ENDPOINT.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from models.run_bill import folder_parameters

COMMIT = "c" * 40


@dataclass
class HubServer:
    """Where it listens, and what was asked of it: (method, path) in order."""

    endpoint: str
    asked: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def serve_hub(root: Path) -> Iterator[HubServer]:
    """Serve the folders until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(root))
    hub = server.hub = HubServer(f"http://127.0.0.1:{server.server_port}")  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(root: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            """Silent; `HubServer.asked` has it."""

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            self.server.hub.asked.append((self.command, self.path))  # type: ignore[attr-defined]
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            url = urlsplit(self.path)
            parts = [unquote(part) for part in url.path.strip("/").split("/")]
            if parts[0] == "api" and len(parts) >= 4 and parts[1] in ("models", "datasets"):
                self._api(parts[1], root / parts[1] / parts[2] / parts[3], parts[2:], url.query, body)
            elif "resolve" in parts:
                kind, rest = ("datasets", parts[1:]) if parts[0] == "datasets" else ("models", parts)
                self._file(root / kind / rest[0] / rest[1] / "/".join(rest[4:]))
            else:
                self._missing()

        def _api(self, kind: str, folder: Path, parts: list[str], query: str, body: bytes) -> None:
            if not folder.is_dir():
                self._missing(**{"X-Error-Code": "RepoNotFound"})
                return
            action = parts[2] if len(parts) > 2 else "revision"
            if action == "tree":
                under = folder / "/".join(parts[4:])
                if not under.is_dir():
                    self._missing(**{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                    return
                found = under.rglob("*") if "recursive=true" in query.lower() else under.iterdir()
                self._json([_entry(folder, path) for path in sorted(found)])
            elif action == "paths-info":
                wanted = parse_qs(body.decode()).get("paths") or json.loads(body or b"{}").get("paths", [])
                self._json([_entry(folder, folder / path) for path in wanted if (folder / path).exists()])
            else:
                files = sorted(path for path in folder.rglob("*") if path.is_file())
                siblings = [{"rfilename": path.relative_to(folder).as_posix()} for path in files]
                about = {"id": "/".join(parts[:2]), "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
                if kind == "models" and "safetensors" in query:
                    total = folder_parameters(folder)
                    about["safetensors"] = {"parameters": {"F32": total}, "total": total}
                self._json(about)

        def _file(self, path: Path) -> None:
            if not path.is_file():
                self._missing(**{"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
                return
            content, asked = path.read_bytes(), self.headers.get("Range")
            headers = {"ETag": f'"{sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            if asked is None:
                self._send(200, content, "application/octet-stream", headers)
                return
            first, _, last = asked.removeprefix("bytes=").partition("-")
            start, end = int(first), min(int(last or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(content)}"
            self._send(206, content[start : end + 1], "application/octet-stream", headers)

        def _json(self, value: Any) -> None:
            self._send(200, json.dumps(value).encode(), "application/json", {})

        def _missing(self, **headers: str) -> None:
            self._send(404, b'{"error": "not found"}', "application/json", headers)

        def _send(self, status: int, content: bytes, kind: str, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    content = path.read_bytes() if path.is_file() else b""
    return {
        "type": "file" if path.is_file() else "directory",
        "path": path.relative_to(folder).as_posix(),
        "size": len(content),
        "oid": sha256(content).hexdigest()[:40],
    }
