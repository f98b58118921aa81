"""A tiny hub: an HTTP server of this process, on a port of 127.0.0.1. The environment names its
address before huggingface_hub is imported (`support.environment`), so no test reaches a real hub.
"""

import base64
import hashlib
import json
import re
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
    # what was uploaded: {repository: {path: bytes}}, and blobs by their SHA-256
    uploads: dict[str, dict[str, bytes]] = {}
    blobs: dict[str, bytes] = {}
    token = "hf_secret"  # the only one that may write

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

    def do_PUT(self):
        self.blobs[self.path.rpartition("/")[2]] = self.body()
        self.answer({})

    def do_POST(self):
        self.asked.append(f"{self.command} {self.path}")
        body = self.body()
        if self.headers["Authorization"] != f"Bearer {self.token}":
            self.answer({"error": f"not for {self.headers['Authorization']}"}, 401)
            return
        for pattern, method in POSTS.items():
            if match := re.fullmatch(pattern, self.path.split("?")[0]):
                self.answer(method(self, body, *match.groups()))
                return
        self.answer({"error": "not found"}, 404)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def answer(self, words: dict, status: int = 200):
        page = json.dumps(words).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def create(self, body: bytes) -> dict:
        words = json.loads(body)
        name = "/".join(filter(None, [words.get("organization"), words["name"]]))
        self.uploads.setdefault(name, {})
        return {"url": f"{ADDRESS}/{name}", "private": words.get("private")}

    def upload_modes(self, body: bytes, name: str) -> dict:
        paths = [file["path"] for file in json.loads(body)["files"]]
        modes = {True: "lfs", False: "regular"}
        files = [
            {
                "path": path,
                "uploadMode": modes[path.endswith(".safetensors")],
                "shouldIgnore": False,
            }
            for path in paths
        ]
        return {"files": files}

    def large_files(self, body: bytes, name: str) -> dict:
        objects = [
            one | {"actions": {"upload": {"href": f"{ADDRESS}/blobs/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        return {"transfer": "basic", "objects": objects}

    def commit(self, body: bytes, name: str) -> dict:
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.uploads[name][value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.uploads[name][value["path"]] = self.blobs[value["oid"]]
        oid = hashlib.sha1(body).hexdigest()
        return {"success": True, "commitOid": oid, "commitUrl": f"{ADDRESS}/{name}/commit/{oid}"}

    def log_message(self, *_):
        pass


POSTS = {
    "/api/repos/create": Hub.create,
    "/api/validate-yaml": lambda hub, body: {"errors": [], "warnings": []},
    "/api/models/(.+)/preupload/main": Hub.upload_modes,
    r"/(.+)\.git/info/lfs/objects/batch": Hub.large_files,
    "/api/models/(.+)/commit/main": Hub.commit,
}

SERVER = ThreadingHTTPServer(("127.0.0.1", 0), Hub)


SERVER.daemon_threads = True
threading.Thread(target=SERVER.serve_forever, daemon=True).start()


ADDRESS = f"http://127.0.0.1:{SERVER.server_port}"


CLOSED = "http://127.0.0.1:9"  # nobody listens at the discard port
