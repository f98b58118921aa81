"""A tiny hub: an HTTP server of this process, on a port of 127.0.0.1. The environment names its
address before huggingface_hub is imported (`support.environment`), so no test reaches a real hub.
"""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def publish(hub, folder, name: str):
    """A folder as the hub serves it."""
    commit, files = (
        hashlib.sha1(name.encode()).hexdigest(),
        sorted(path.name for path in folder.iterdir()),
    )
    words = {
        "id": name,
        "modelId": name,
        "sha": commit,
        "tags": [],
        "siblings": [{"rfilename": file} for file in files],
    }
    hub.pages[f"/api/models/{name}"] = (
        json.dumps(words).encode(),
        {"Content-Type": "application/json"},
    )
    for file in files:
        body = (folder / file).read_bytes()
        page = body, {"ETag": f'"{hashlib.sha1(body).hexdigest()}"', "X-Repo-Commit": commit}
        hub.pages |= {f"/{name}/resolve/{revision}/{file}": page for revision in ("main", commit)}


class Hub(BaseHTTPRequestHandler):
    """Answers GET and HEAD from `pages`: path -> (bytes, headers); everything else is 404. `asked`
    keeps what was asked for.
    """

    protocol_version = "HTTP/1.1"
    pages: dict[str, tuple[bytes, dict]] = {}
    asked: list[str] = []

    def do_GET(self):
        path = self.path.split("?")[0]
        self.asked.append(f"{self.command} {self.path}")
        # a file that its repository lacks
        known = any(path.startswith(page) for page in self.pages) or "/resolve/" in path
        body, headers = self.pages.get(
            path,
            (
                b'{"error": "not found"}',
                {"X-Error-Code": "EntryNotFound" if known else "RepoNotFound"},
            ),
        )
        self.send_response(200 if path in self.pages else 404)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


SERVER = ThreadingHTTPServer(("127.0.0.1", 0), Hub)


SERVER.daemon_threads = True
threading.Thread(target=SERVER.serve_forever, daemon=True).start()


ADDRESS = f"http://127.0.0.1:{SERVER.server_port}"


CLOSED = "http://127.0.0.1:9"  # nobody listens at the discard port
