"""A registry of OCI images on the loopback, with TLS and a login: it serves a layout on disk."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

LOGIN = "ada:secret"
_MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry(http.server.ThreadingHTTPServer):
    """Serves the images of a layout as `image:TAG`, by the distribution API."""

    daemon_threads = True

    def __init__(self, layout: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.blobs = layout / "blobs/sha256"
        index = json.loads((layout / "index.json").read_text())
        self.tags = {
            each["annotations"]["org.opencontainers.image.ref.name"]: each["digest"]
            for each in index["manifests"]
        }

    def name(self, tag: str) -> str:
        return f"docker://127.0.0.1:{self.server_port}/image{tag}"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Registry
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        given = self.headers["Authorization"] or ""
        if given != f"Basic {base64.b64encode(LOGIN.encode()).decode()}":
            self._answer(401, b"{}", **{"WWW-Authenticate": 'Basic realm="test"'})
            return
        match self.path.strip("/").split("/"):
            case ["v2"]:
                self._answer(200, b"{}")
            case ["v2", "image", kind, what] if kind in ("manifests", "blobs"):
                digest = self.server.tags.get(what, what)
                file = self.server.blobs / digest.removeprefix("sha256:")
                if not file.is_file():
                    self._answer(404, b"{}")
                    return
                kind = _MANIFEST if kind == "manifests" else "application/octet-stream"
                self._answer(
                    200, file.read_bytes(),
                    **{"Content-Type": kind, "Docker-Content-Digest": digest},
                )  # fmt: skip
            case _:
                self._answer(404, b"{}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(layout: Path, directory: Path) -> Iterator[tuple[Registry, dict[str, str]]]:
    """The registry, and the environment in which skopeo trusts it and knows the login."""
    key, certificate, logins = (directory / name for name in ("key", "certificate", "auth.json"))
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    with Registry(layout) as registry:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        registry.socket = context.wrap_socket(registry.socket, server_side=True)
        auth = base64.b64encode(LOGIN.encode()).decode()
        host = f"127.0.0.1:{registry.server_port}"
        logins.write_text(json.dumps({"auths": {host: {"auth": auth}}}))
        thread = threading.Thread(target=registry.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield registry, {"SSL_CERT_FILE": str(certificate), "REGISTRY_AUTH_FILE": str(logins)}
        finally:
            registry.shutdown()
            thread.join()
