"""Others are told: by signed webhooks, by mail, by a badge; and what is dead delays nothing."""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import hashlib
import hmac
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from e2e import server as serving
from e2e.server import Server

pytestmark = pytest.mark.e2e

SECRET = b"a secret of this test alone"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as door:
        return int(door.getsockname()[1])


@contextlib.contextmanager
def receiving(port: int) -> Iterator[list[Any]]:
    """A webhook's receiver that checks what it gets; the bodies."""
    bodies: list[Any] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode()
            digest = hmac.new(SECRET, signed + body, hashlib.sha256).digest()
            good = f"v1,{base64.b64encode(digest).decode()}" == self.headers["webhook-signature"]
            if good:
                bodies.append(json.loads(body))
            self.send_response(204 if good else 401)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            yield bodies
        finally:
            receiver.shutdown()
            thread.join()


class Inbox:
    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.messages.append(
            email.message_from_bytes(envelope.content, policy=email.policy.default)
        )
        return "250 OK"


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    inbox, port = Inbox(), free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield inbox, port
    finally:
        controller.stop()


def told_server(state: Path, hook: int, mail: int) -> Server:
    state.mkdir(mode=0o700)
    (state / "hook.secret").write_bytes(SECRET)
    settings = serving.config(
        webhooks={
            "dead": {
                "url": f"http://127.0.0.1:{hook}/",
                "secret_file": "hook.secret",
                "events": ["change.landed", "item.rejected"],
            },
        },
        mail={
            "server": f"127.0.0.1:{mail}",
            "from": "cupel@example.org",
            "security": "none",
            "gather": "1s",
        },
    )
    return Server(state, settings)


def test_others_are_told_in_order_however_late_they_listen(
    machines: None, tmp_path: Path, inbox: tuple[Inbox, int]
) -> None:
    hook = free_port()
    server = told_server(tmp_path / "state", hook, inbox[1])
    server.start()
    try:
        work = serving.project(
            server, tmp_path, "told", serving.jobs(tests="echo it is broken here; test -f good")
        )
        good = work.propose("Good", {"good": ""}, "land", "wait")
        assert server.change(good)["state"] == "landed"
        badge = server.request("GET", "/status/told/main").text
        assert badge.startswith("state: passing\n")
        assert "cupel/gate/tests: success" in badge

        work.start_over()
        (work.directory / "good").unlink()
        work.commit("Bad", {"bad": ""})
        bad = work.push("land", "wait").change
        serving.wait_for(lambda: len(inbox[0].messages) >= 2, why="mail")
        subjects = {str(each["Subject"]): each for each in inbox[0].messages}
        assert f"[told] #{good} landed: Good" in subjects
        rejected = next(each for name, each in subjects.items() if f"#{bad} was rejected" in name)
        assert rejected["To"] == "ada@example.org"
        assert rejected.get_content().splitlines()[0].strip() == "1 | it is broken here"

        (hooks, mail) = server.get("/api/webhooks")
        assert (hooks["failures"] > 0, mail["failures"]) == (True, 0)
        server.kill()
        with receiving(hook) as bodies:
            server.start()
            waiting = server.get("/api/webhooks/dead/deliveries")["entries"][-1]["id"]
            if server.get(f"/api/deliveries/{waiting}")["state"] == "pending":
                # Not to wait for the next try.
                server.request("POST", f"/api/deliveries/{waiting}/redeliver")
            serving.wait_for(
                lambda: any(b["event"] == "item.rejected" and b["change"]["id"] == bad
                            for b in bodies if b["change"]),
                seconds=60, why="the delivery",
            )  # fmt: skip
            assert [body["at"] for body in bodies] == sorted(body["at"] for body in bodies)
            assert len({body["id"] for body in bodies}) == len(bodies)
            landed = next(body for body in bodies if body["event"] == "change.landed")
            assert landed["change"]["id"] == good
            contexts = {each["context"]: each["state"] for each in landed["reports"]}
            assert contexts == {"cupel/gate": "success", "cupel/gate/tests": "success"}

            newest = server.get("/api/webhooks/dead/deliveries")["entries"][0]["id"]
            serving.wait_for(
                lambda: server.get(f"/api/deliveries/{newest}")["state"] == "delivered",
                why="the last delivery",
            )
            before = len(bodies)
            again = server.cli("webhook", "redeliver", str(newest))
            assert again.returncode == 0, again.stderr
            serving.wait_for(lambda: len(bodies) > before, why="the delivery by hand")
            assert bodies[-1] == bodies[before - 1]
    finally:
        server.stop()
