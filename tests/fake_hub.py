"""A Hub of one data set on this machine: as much of its protocol as the Hub's clients ask."""

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0" * 39 + "1"


@contextmanager
def fake_hub(name, files):
    """Serve the data set `name` with these files (name -> bytes) and yield the Hub's address."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            path = self.path.partition("?")[0]
            file = path.rpartition("/")[2]
            if path.startswith(f"/api/datasets/{name}/tree/"):
                self.answer([about | {"type": "file"} for about in entries("path")])
            elif path.startswith(f"/api/datasets/{name}"):
                about = {"id": name, "sha": COMMIT, "siblings": entries("rfilename")}
                self.answer(about | {"private": False, "tags": [], "downloads": 0})
            elif path.startswith(f"/datasets/{name}/resolve/") and file in files:
                self.answer(files[file], ETag=f'"{digest(files[file])}"')
            else:
                self.answer(b"", 404, **{"X-Error-Code": "EntryNotFound"})

        def answer(self, body, status=200, **headers):
            body = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            headers |= {"X-Repo-Commit": COMMIT, "Content-Length": str(len(body))}
            for header in headers.items():
                self.send_header(*header)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    def digest(data):
        return hashlib.sha1(data).hexdigest()

    def entries(key):
        return [{key: file, "size": len(data), "oid": digest(data)} for file, data in files.items()]

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
