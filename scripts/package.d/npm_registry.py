#!/usr/bin/env python3
"""Serves the npm packages of a folder as a registry does, on the loopback interface. Called by `try`.

Usage: npm_registry.py FOLDER FILE      writes its address to FILE once it listens
"""

import base64
import hashlib
import http.server
import json
import sys
import tarfile
from pathlib import Path
from urllib.parse import unquote

FOLDER, ADDRESS = Path(sys.argv[1]), Path(sys.argv[2])


def packages():
    found = {}
    for path in FOLDER.glob("npm-*.tgz"):
        with tarfile.open(path) as tar:
            manifest = json.load(tar.extractfile("package/package.json"))
        found[manifest["name"]] = (path, manifest)
    return found


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        name = unquote(self.path.lstrip("/"))
        if name.endswith(".tgz"):
            return self.answer(200, (FOLDER / Path(name).name).read_bytes(), "application/octet-stream")
        if name not in PACKAGES:
            return self.answer(404, b"{}", "application/json")
        path, manifest = PACKAGES[name]
        digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
        dist = {"tarball": f"{address()}/{path.name}", "integrity": f"sha512-{digest}"}
        version = manifest["version"]
        packument = {"name": name, "dist-tags": {"latest": version}, "versions": {version: {**manifest, "dist": dist}}}
        return self.answer(200, json.dumps(packument).encode(), "application/json")

    def answer(self, status, body, kind):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def address():
    return f"http://127.0.0.1:{SERVER.server_port}"


PACKAGES = packages()
SERVER = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
ADDRESS.write_text(address())
SERVER.serve_forever()
