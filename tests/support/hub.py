"""A model hub small enough for a test, on localhost, in the protocol of huggingface_hub."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "c0ffee" * 6 + "c0de"
Files = Mapping[str, Mapping[str, bytes]]  # by repository and name


@contextmanager
def serving(repositories: Files) -> Iterator[str]:
    """Serve them at the URL that is given, each at one commit, `COMMIT`."""

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self, with_body: bool) -> None:
            path = self.path.partition("?")[0]
            kind, content = _found(repositories, path)
            status = 404 if kind is None else 200
            self.send_response(status)
            for name, value in _headers(kind, content).items():
                self.send_header(name, value)
            self.end_headers()
            if with_body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _found(repositories: Files, path: str) -> tuple[str | None, bytes]:
    """What kind of thing is at a path, and its bytes."""
    for id, files in repositories.items():
        if re.fullmatch(rf"/api/models/{id}(/revision/[^/]+)?", path):
            names = [{"rfilename": name, "size": len(files[name])} for name in files]
            card = {"license": "mit"} if "README.md" in files else None
            info = {"id": id, "sha": COMMIT, "siblings": names, "cardData": card}
            return "json", json.dumps(info).encode()
        if re.fullmatch(rf"/api/models/{id}/tree/[^/]+", path):
            return "json", json.dumps([_entry(*file) for file in files.items()]).encode()
        at = re.fullmatch(rf"/{id}/resolve/[^/]+/(.+)", path)
        if at and at[1] in files:
            return "file", files[at[1]]
    return None, b"not here"


def _entry(name: str, content: bytes) -> dict[str, object]:
    oid = hashlib.sha1(content).hexdigest()
    return {"type": "file", "path": name, "size": len(content), "oid": oid}


def _headers(kind: str | None, content: bytes) -> dict[str, str]:
    headers = {"Content-Length": str(len(content))}
    if kind == "json":
        return {**headers, "Content-Type": "application/json"}
    if kind == "file":
        etag = hashlib.sha1(content).hexdigest()
        return {**headers, "ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}
    return {**headers, "X-Error-Code": "RepoNotFound"}
