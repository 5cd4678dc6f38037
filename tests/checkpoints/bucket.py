"""A bucket on this machine: what GCS's JSON interface and fsspec need, and no rename.

`serve()` gives the objects, a dict from name to bytes, while gs://bucket/... is theirs.
`CHANGES` lists what was done to them: (name, content), or (name, None) for a deletion.
"""

import contextlib
import http.server
import json
import os
import re
import threading
import urllib.parse
from unittest import mock

import fsspec
from fsspec.implementations.memory import MemoryFile

OBJECTS, GENERATIONS, CHANGES, LOCK = {}, {}, [], threading.Lock()


def put(name, content):
    """Makes or replaces an object, whole."""
    with LOCK:
        OBJECTS[name] = bytes(content)
        GENERATIONS[name] = GENERATIONS.get(name, 0) + 1
        CHANGES.append((name, OBJECTS[name]))


def remove(name):
    """Returns whether there was such an object, which is gone."""
    with LOCK:
        CHANGES.append((name, None))
        return OBJECTS.pop(name, None) is not None


class Handler(http.server.BaseHTTPRequestHandler):
    """The requests that tensorstore sends to a bucket."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        """Says nothing."""

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for key, value in headers.items():
            self.send_header(key.replace("_", "-"), str(value))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def parts(self):
        """Returns (object name or "", query)."""
        url = urllib.parse.urlsplit(self.path)
        found = re.search(r"/b/[^/]+/o/?(.*)$", url.path)
        name = urllib.parse.unquote(found[1]) if found else ""
        return name, dict(urllib.parse.parse_qsl(url.query))

    def refused(self, name, query):
        """Returns whether the condition on the generation fails, and answers then."""
        wanted = query.get("ifGenerationMatch")
        held = GENERATIONS.get(name, 0) if name in OBJECTS else 0
        if wanted is not None and int(wanted) != held:
            self.answer(412)
            return True
        return False

    def do_GET(self):
        name, query = self.parts()
        if not name:
            prefix = query.get("prefix", "")
            names = sorted(each for each in OBJECTS if each.startswith(prefix))
            items = [
                dict(name=n, generation=str(GENERATIONS[n]), size=str(len(OBJECTS[n])))
                for n in names
            ]
            return self.answer(200, json.dumps({"items": items}).encode())
        content = OBJECTS.get(name)
        if content is None:
            return self.answer(404)
        generation = GENERATIONS[name]
        if query.get("ifGenerationNotMatch") == str(generation):
            return self.answer(304)
        headers = {"x-goog-generation": generation}
        limits = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if not limits:
            return self.answer(200, content, **headers)
        first, last = int(limits[1]), int(limits[2] or len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self.answer(206, content[first : last + 1], **headers)

    def do_POST(self):
        _, query = self.parts()
        name = query["name"]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self.refused(name, query):
            put(name, body)
            told = dict(name=name, generation=str(GENERATIONS[name]), size=len(body))
            self.answer(200, json.dumps(told).encode())

    def do_DELETE(self):
        name, query = self.parts()
        if not self.refused(name, query):
            self.answer(204 if remove(name) else 404)


class Bucket(fsspec.AbstractFileSystem):
    """The same objects for etils.epath; folders are but beginnings of names."""

    protocol = "gs"
    cachable = False

    def ls(self, path, detail=True, **kwargs):
        path = self._name(path)
        found = {}
        for name, content in list(OBJECTS.items()):
            if name == path:
                found[name] = dict(
                    name=f"bucket/{name}", type="file", size=len(content)
                )
            elif not path or name.startswith(f"{path}/"):
                rest = name[len(path) :].lstrip("/").split("/")
                inner = f"{path}/{rest[0]}".lstrip("/")
                kind = "directory" if rest[1:] else "file"
                size = 0 if rest[1:] else len(content)
                found[inner] = dict(name=f"bucket/{inner}", type=kind, size=size)
        if not found:
            raise FileNotFoundError(path)
        return list(found.values()) if detail else [f["name"] for f in found.values()]

    def _name(self, path):
        return self._strip_protocol(path).removeprefix("bucket").strip("/")

    def _open(self, path, mode="rb", **kwargs):
        name = self._name(path)
        if mode == "rb" and name not in OBJECTS:
            raise FileNotFoundError(path)
        return Opened(name, OBJECTS[name] if mode == "rb" else b"", mode)

    def rm_file(self, path):
        if not remove(self._name(path)):
            raise FileNotFoundError(path)

    def rm(self, path, recursive=False, maxdepth=None):
        name = self._name(path)
        inside = [each for each in list(OBJECTS) if each.startswith(f"{name}/")]
        for each in inside if recursive else ():
            remove(each)
        if name in OBJECTS or not inside:
            self.rm_file(path)

    def mkdir(self, path, create_parents=True, **kwargs):
        """Makes nothing, as in a bucket."""

    makedirs = mkdir

    def mv(self, *args, **kwargs):
        raise AssertionError("a bucket cannot rename")

    rename = mv


class Opened(MemoryFile):
    """An object under way, which is there once it is closed."""

    def __init__(self, name, content, mode):
        super().__init__(None, name, content)
        self.name, self.writing = name, mode != "rb"

    def close(self):
        if self.writing:
            self.writing = False
            put(self.name, self.getvalue())

    def __exit__(self, *args):
        self.close()


@contextlib.contextmanager
def serve():
    """Gives the objects of gs://bucket, which is there as long."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name in ("gs", "gcs"):
        fsspec.register_implementation(name, Bucket, clobber=True)
    address = f"http://127.0.0.1:{server.server_port}"
    settings = {
        "TENSORSTORE_GCS_HTTP_URL": address,
        "GOOGLE_AUTH_TOKEN_FOR_TESTING": "none",
    }
    with mock.patch.dict(os.environ, settings):
        yield OBJECTS
    server.shutdown()
