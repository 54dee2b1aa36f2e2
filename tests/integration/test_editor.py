"""An editor's language server completes, explains and underlines by the published schema."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import pytest

from cupel.config import schema

CACHE = Path(os.environ.get("CUPEL_TEST_CACHE") or Path.home() / ".cache/cupel-tests")
PATIENCE = 20.0

GOOD = """\
jobs:
  base:
    abstract: true
    machine: debian-12
    timeout: 10m
  tests:
    extends: base
    timeout:
    env: {LEVEL: 3}
    matrix: {python: ["3.11", 3.12], include: [{python: "3.13", flags: -x}]}
    services: {db: {machine: postgres-15, ports: [5432]}}
    steps:
      - make
      - {name: pytest, run: pytest}
  image:
    machine: own
    steps: [{boot: {expect: login}}]
gate: [tests, image]
semaphores: {licence: 2}
"""


@pytest.fixture(scope="module")
def program() -> str:
    """The real language server: of the computer, else from npm, kept with what tests fetch."""
    if found := shutil.which("yaml-language-server"):
        return found
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("there is no node with npm to run an editor's language server with")
    place = CACHE / "yaml-language-server"
    program = place / "node_modules/.bin/yaml-language-server"
    if not program.exists():
        place.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "yaml-language-server@1.25.0"]
        fetched = subprocess.run(command, cwd=place, capture_output=True, timeout=180, check=False)
        if fetched.returncode:
            pytest.skip("yaml-language-server can't be fetched from npm")
    return str(program)


class _Published(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps(schema.project_schema()).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/schema+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *said: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the schema is, as on a server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Published)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/schema/cupel.yaml.json"
    server.shutdown()
    server.server_close()


class Editor:
    """Speaks the language server protocol over the streams of a process."""

    def __init__(self, process: subprocess.Popen[bytes], address: str) -> None:
        self._process = process
        self._address = address
        self._messages: Queue[dict[str, Any]] = Queue()
        self._numbers = iter(range(1, 1000))
        threading.Thread(target=self._read, daemon=True).start()
        self.ask("initialize", processId=None, rootUri=None, capabilities={})
        self.tell("initialized")
        settings = {
            "yaml": {"validate": True, "hover": True, "completion": True, "schemaStore": {}}
        }
        self.tell("workspace/didChangeConfiguration", settings=settings)

    def _read(self) -> None:
        out = self._process.stdout
        assert out is not None
        while line := out.readline():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
                while out.readline().strip():
                    pass
                self._messages.put(json.loads(out.read(length)))

    def _send(self, **message: Any) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        pipe.flush()

    def tell(self, method: str, **params: Any) -> None:
        self._send(method=method, params=params)

    def ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._send(id=number, method=method, params=params)
        return self._wait(lambda message: message.get("id") == number and "method" not in message)[
            "result"
        ]

    def _wait(self, wanted: Any) -> dict[str, Any]:
        while True:
            try:
                message = self._messages.get(timeout=PATIENCE)
            except Empty:
                raise AssertionError("the language server says nothing") from None
            if wanted(message):
                return message
            if "method" in message and "id" in message:
                items = message.get("params", {}).get("items", [])
                self._send(id=message["id"], result=[{} for _ in items] or None)

    def open(self, name: str, text: str) -> str:
        """Open a file that begins with the line that names the schema; its URI."""
        uri = f"file:///work/{name}/.cupel.yaml"
        text = f"# yaml-language-server: $schema={self._address}\n{text}"
        document = {"uri": uri, "languageId": "yaml", "version": 1, "text": text}
        self.tell("textDocument/didOpen", textDocument=document)
        return uri

    def diagnostics(self, uri: str) -> list[str]:
        """What is underlined, with the line: that of the file without its first."""
        method = "textDocument/publishDiagnostics"
        message = self._wait(
            lambda each: each.get("method") == method and each["params"]["uri"] == uri
        )
        found = message["params"]["diagnostics"]
        return [f"{each['range']['start']['line']}: {each['message']}" for each in found]

    def hover(self, uri: str, line: int, column: int) -> str:
        """The text below the pointer; lines and columns count from 1."""
        at = {"line": line, "character": column - 1}
        found = self.ask("textDocument/hover", textDocument={"uri": uri}, position=at)
        return str(found["contents"]["value"])

    def complete(self, uri: str, line: int, column: int) -> list[str]:
        at = {"line": line, "character": column - 1}
        found = self.ask("textDocument/completion", textDocument={"uri": uri}, position=at)
        items = found["items"] if isinstance(found, dict) else found
        return [item["label"] for item in items]


@pytest.fixture(scope="module")
def editor(program: str, address: str) -> Iterator[Editor]:
    process = subprocess.Popen(
        [program, "--stdio"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Editor(process, address)
    finally:
        process.kill()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()
        process.wait()


def test_a_good_file_has_nothing_underlined(editor: Editor) -> None:
    assert editor.diagnostics(editor.open("good", GOOD)) == []


@pytest.mark.parametrize(
    ("name", "old", "new", "line"),
    [
        ("key", "timeout: 10m", "timout: 10m", 5),
        ("value", "abstract: true", "abstract: maybe", 3),
        ("number", "licence: 2", "licence: many", 19),
        ("list", "gate: [tests, image]", "gate: tests", 18),
        ("incomplete", "    machine: own\n", "", 15),
    ],
)
def test_mistakes_are_underlined(editor: Editor, name: str, old: str, new: str, line: int) -> None:
    assert old in GOOD
    found = editor.diagnostics(editor.open(name, GOOD.replace(old, new)))
    assert [int(each.partition(":")[0]) for each in found] == [line], found


def test_the_pointer_shows_what_a_key_means(editor: Editor) -> None:
    uri = editor.open("hover", GOOD)
    editor.diagnostics(uri)
    for line, column, key in (
        (4, 6, "machine"),
        (7, 6, "extends"),
        (11, 24, "machine"),
        (18, 2, "gate"),
    ):
        assert key in editor.hover(uri, line, column).lower()
    assert "until one fails" in editor.hover(uri, 12, 6)


def test_keys_are_completed(editor: Editor) -> None:
    uri = editor.open("complete", "jobs:\n  a:\n    machine: x\n    st\n")
    editor.diagnostics(uri)
    assert "steps" in editor.complete(uri, 4, 7)
    uri = editor.open("word", "jobs:\n  a:\n    evidence: \n")
    editor.diagnostics(uri)
    assert {"inputs", "never"} <= set(editor.complete(uri, 3, 15))
