"""A Hub on this machine: as much of its protocol as the Hub's clients ask, reads and commits."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0" * 39 + "1"
TOKEN = "hf_the_owners_token_of_the_stand_in"
OWNER = "some-one"
LARGE = (".safetensors", ".db", ".pt")
"""Endings that the stand-in wants by Git LFS; the Hub looks at the first bytes."""


class Repository:
    """A repository's files, and those of each of its commits."""

    def __init__(self, *, private=False, sdk=None, files=None, large=LARGE):
        self.private, self.sdk, self.large = private, sdk, large
        self.variables, self.secrets = {}, {}
        self.card = {}
        self.files = {} if files is None else files
        self.commits = {COMMIT: self.files}
        self.messages = ["first"]
        self.head = COMMIT

    def commit(self, files, message):
        self.head = f"{len(self.messages) + 1:040x}"
        self.files = self.commits[self.head] = files
        self.messages.append(message)


class Hub:
    """What a test sees of the stand-in.

    Attributes:
        mood: "well"; "down" answers 503, "silent" not at all, "nonsense" with a page of HTML.
        asked: method and path of each request.
        after_each_answer: called when a request has been answered.
    """

    def __init__(self):
        self.repositories = {}
        self.stored = {}  # by SHA-256: what Git LFS holds
        self.mood, self.asked, self.address = "well", [], ""
        self.woken = threading.Event()
        self.lock = threading.RLock()
        self.after_each_answer = lambda: None

    def __getitem__(self, name):
        """The repository "models/owner/name", "datasets/owner/name" or "spaces/owner/name"."""
        return self.repositories[name]

    def environment(self, home, token=TOKEN):
        """Variables for a process that is to use this Hub."""
        variables = {
            "HF_ENDPOINT": self.address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }  # fmt: skip
        return variables | ({"HF_TOKEN": token} if token else {})


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    seen = COMMIT  # the commit that is answered about

    def log_message(self, *_):
        pass

    # -- requests ----------------------------------------------------------------------------------

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        self.handle_in_its_mood(b"")

    def do_POST(self):
        self.handle_in_its_mood(self.body())

    def do_PUT(self):
        self.handle_in_its_mood(self.body())

    def do_DELETE(self):
        self.handle_in_its_mood(self.body())

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def handle_in_its_mood(self, body):
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.asked.append(f"{self.command} {path}")
        if hub.mood == "silent":
            hub.woken.wait(60)
        if hub.mood == "down":
            return self.answer(b"", 503)
        if hub.mood == "nonsense":
            return self.answer(b"<html>Please log in to this network</html>")
        with hub.lock:
            self.route(path, body)
            hub.after_each_answer()

    def route(self, path, body):
        hub, given = self.hub, self.headers.get("Authorization", "").removeprefix("Bearer ")
        self.owner = given == TOKEN
        if given and not self.owner:
            return self.refuse(401, "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            return self.answer({"type": "user", "name": OWNER}) if given else self.refuse(401, "")
        if path == "/api/validate-yaml":
            return self.answer({"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path.startswith("/lfs/"):
            oid = path.removeprefix("/lfs/")
            assert hashlib.sha256(body).hexdigest() == oid
            hub.stored[oid] = body
            return self.answer(b"")
        if path.endswith(".git/info/lfs/objects/batch"):
            return self.offer(json.loads(body))
        return self.in_a_repository(path, body)

    def in_a_repository(self, path, body):
        for name in self.hub.repositories:
            api, files = f"/api/{name}", f"/{name.removeprefix('models/')}/resolve/"
            if path == api or path.startswith((f"{api}/", files)):
                break
        else:
            return self.refuse(404, "Repository not found", "RepoNotFound")
        repository = self.hub[name]
        if repository.private and not self.owner:
            return self.refuse(401, "Repository not found", "RepoNotFound")
        self.seen = repository.head
        if path.startswith(files):
            revision, _, file = path.removeprefix(files).partition("/")
            return self.send_file(repository, revision, file)
        action, _, rest = path.removeprefix(api).strip("/").partition("/")
        if action in ("", "revision"):
            return self.tell(name, repository, rest or "main")
        if action == "tree":
            return self.list_files(repository, *rest.partition("/")[::2])
        if action == "paths-info":
            paths = parse_qs(body.decode())["paths"]
            found = [path for path in paths if path in repository.files]
            return self.answer([about(repository, path, repository.files[path]) for path in found])
        if not self.owner:
            return self.refuse(403, "You have no right to write here")
        return getattr(self, action.replace("-", "_"))(name, repository, body)

    # -- answers -----------------------------------------------------------------------------------

    def answer(self, body, status=200, **headers):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        headers = {"X-Repo-Commit": self.seen} | headers | {"Content-Length": str(len(body))}
        for header in headers.items():
            self.send_header(*header)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, message, code=None):
        headers = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {})
        self.answer({"error": message}, status, **headers)

    def tell(self, name, repository, revision):
        files = files_at(repository, revision)
        siblings = [{"rfilename": file, "size": len(data)} for file, data in files.items()]
        commit = repository.head if revision == "main" else revision
        facts = {"id": name.partition("/")[2], "sha": commit, "siblings": siblings}
        card = {"cardData": repository.card} if repository.card else {}
        self.answer(facts | card | {"private": repository.private, "tags": [], "downloads": 0})

    def list_files(self, repository, revision, folder):
        """Files of a folder; its folders only as the files in them, if they are asked for."""
        start = f"{folder}/" if folder else ""
        files = files_at(repository, revision)
        found = [file for file in files if file.startswith(start)]
        if folder and not found:
            return self.refuse(404, "Entry not found", "EntryNotFound")
        if "recursive=true" not in self.path.lower():
            found = [file for file in found if "/" not in file.removeprefix(start)]
        return self.answer([about(repository, file, files[file]) for file in found])

    def send_file(self, repository, revision, file):
        if revision != "main":
            self.seen = revision
        try:
            data = files_at(repository, revision)[file]
        except KeyError:
            return self.refuse(404, "Entry not found", "EntryNotFound")
        return self.answer(data, ETag=f'"{etag(repository, file, data)}"')

    # -- changes -----------------------------------------------------------------------------------

    def create(self, asked):
        if not self.owner:
            return self.refuse(401, "Invalid username or password.")
        if (asked.get("organization") or OWNER) != OWNER:
            return self.refuse(403, "You don't have the rights to create here")
        name = f"{asked.get('type', 'model')}s/{OWNER}/{asked['name']}"
        url = {"url": f"{self.hub.address}/{name.removeprefix('models/')}"}
        if name in self.hub.repositories:
            return self.answer(url | {"error": "You already created this repo"}, 409)
        self.hub.repositories[name] = Repository(
            private=asked.get("visibility") == "private", sdk=asked.get("sdk")
        )
        return self.answer(url)

    def offer(self, asked):
        objects = []
        for wanted in asked["objects"]:
            oid = wanted["oid"]
            upload = {"upload": {"href": f"{self.hub.address}/lfs/{oid}"}}
            there = oid in self.hub.stored
            objects.append(wanted if there else wanted | {"actions": upload})
        self.answer({"transfer": "basic", "objects": objects})

    def preupload(self, _name, repository, body):
        files = []
        for asked in json.loads(body)["files"]:
            path = asked["path"]
            facts = {
                "path": path, "shouldIgnore": False,
                "uploadMode": "lfs" if path.endswith(repository.large) else "regular",
            }  # fmt: skip
            if path in repository.files:
                facts["oid"] = etag(repository, path, repository.files[path])
            files.append(facts)
        self.answer({"files": files})

    def commit(self, name, repository, body):
        files, message = dict(repository.files), ""
        for line in body.splitlines():
            step = json.loads(line)
            key, value = step["key"], step["value"]
            if key == "header":
                message = value["summary"]
            elif key == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            elif key == "deletedFile":
                del files[value["path"]]
            else:
                folder = value["path"].rstrip("/") + "/"
                files = {path: data for path, data in files.items() if not path.startswith(folder)}
        repository.commit(files, message)
        url = f"{self.hub.address}/{name}/commit/{repository.head}"
        self.answer({"commitUrl": url, "commitOid": repository.head})

    def super_squash(self, _name, repository, _body):
        repository.commits = {repository.head: repository.files}
        repository.messages = repository.messages[-1:]
        self.answer({"commitId": repository.head})

    def variables(self, _name, repository, body):
        self.keep(repository.variables, body)

    def secrets(self, _name, repository, body):
        self.keep(repository.secrets, body)

    def keep(self, kept, body):
        asked = json.loads(body)
        kept[asked["key"]] = asked["value"]
        self.answer({key: {"value": value} for key, value in kept.items()})


def files_at(repository, revision):
    return repository.files if revision == "main" else repository.commits[revision]


def etag(repository, file, data):
    """SHA-256 of a large file; of any other what git names it by."""
    if file.endswith(repository.large):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def about(repository, file, data):
    facts = {"type": "file", "path": file, "size": len(data)}
    facts["oid"] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    if file.endswith(repository.large):
        oid = etag(repository, file, data)
        facts["lfs"] = {"oid": oid, "size": len(data), "pointerSize": 130}
    return facts


@contextmanager
def small_hub():
    """Serve a Hub without repositories, whose owner is `some-one`, and yield it."""
    hub = Hub()
    handler = type("Handler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        hub.woken.set()
        server.shutdown()
        server.server_close()


@contextmanager
def fake_hub(name, files):
    """Serve the data set `name` with these files (name -> bytes) and yield the Hub's address."""
    with small_hub() as hub:
        hub.repositories[f"datasets/{name}"] = Repository(files=files, large=(" ",))
        yield hub.address
