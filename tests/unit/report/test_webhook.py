"""A webhook over a real socket, with receivers of every kind."""

from __future__ import annotations

import asyncio
import base64
import re
import time
from pathlib import Path
from typing import Any

import pytest

from cupel.core.notice import Attempt
from cupel.errors import UserError
from cupel.report import webhook

KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def test_the_signature_is_that_of_standard_webhooks() -> None:
    # The example of the specification's own libraries.
    body = b'{"test": 2432232314}'
    signed = webhook.signature(KEY, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("content", "key"),
    [
        (b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", KEY),
        (b"a long enough secret", b"a long enough secret"),
    ],
)
def test_a_secret_is_base64_or_any_text(content: bytes, key: bytes) -> None:
    assert webhook.secret(content) == key


@pytest.mark.parametrize("content", [b"", b"short\n", b"whsec_AAAA", b"whsec_not base64 at all!"])
def test_a_weak_or_broken_secret_is_refused(content: bytes) -> None:
    with pytest.raises(UserError):
        webhook.secret(content)


def test_the_check_in_the_documentation_takes_what_is_sent_and_nothing_else() -> None:
    text = (Path(__file__).parents[3] / "docs/how-to/notifications.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    there: dict[str, Any] = {}
    exec(code, there)
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    sent = webhook.headers(webhook.secret(secret.encode()), "msg_1", "x", b"{}", time.time())
    assert there["is_good"](sent, b"{}", secret)
    assert not there["is_good"](sent, b"[]", secret)
    assert not there["is_good"](sent | {"webhook-id": "msg_2"}, b"{}", secret)
    old = webhook.headers(webhook.secret(secret.encode()), "msg_1", "x", b"{}", time.time() - 999)
    assert not there["is_good"](old, b"{}", secret)


def attempt(answer: bytes, *, hang: bool = False, timeout: float = 5.0) -> tuple[Attempt, bytes]:
    """How sending went to a receiver with this answer, and what it got."""

    async def run() -> tuple[Attempt, bytes]:
        got = bytearray()
        free = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            got.extend(await reader.readuntil(b"\r\n\r\n"))
            got.extend(await reader.readexactly(len(b"{}")))
            writer.write(answer)
            if hang:
                await free.wait()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            sent = webhook.headers(KEY, "msg_1", "change.landed", b"{}", 1000.5)
            times = iter([10.0, 12.5])
            url = f"http://127.0.0.1:{port}/hook"
            made = await webhook.post(url, b"{}", sent, lambda: next(times), timeout=timeout)
            free.set()
        return made, bytes(got)

    return asyncio.run(run())


def test_what_arrives_is_signed_and_timed() -> None:
    made, got = attempt(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert made == Attempt(at=10.0, seconds=2.5, status=204)
    head = got.decode().lower()
    assert "webhook-id: msg_1\r\n" in head
    assert "webhook-timestamp: 1000\r\n" in head
    assert "webhook-signature: v1," in head
    assert "cupel-event: change.landed\r\n" in head


@pytest.mark.parametrize(
    ("status", "refused"),
    [("400 Bad Request", True), ("404 Not Found", True), ("410 Gone", True),
     ("429 Too Many", False), ("408 Timeout", False), ("500 Oh", False), ("302 Found", False)],
)  # fmt: skip
def test_a_bad_status_is_an_error_and_some_are_a_refusal(status: str, refused: bool) -> None:
    text = f"HTTP/1.1 {status}\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 3\r\n\r\nwhy"
    made, _ = attempt(text.encode())
    assert made.error is not None
    assert (made.status, made.refused, made.response) == (int(status[:3]), refused, "why")


def test_a_request_for_peace_is_heard() -> None:
    made, _ = attempt(b"HTTP/1.1 503 Busy\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n")
    assert made.again == 120.0


def test_a_receiver_that_says_nothing_is_left_in_time() -> None:
    made, _ = attempt(b"", hang=True, timeout=0.2)
    assert made.error == "no answer within 0.2 s"
    assert (made.status, made.refused) == (None, False)


def test_an_endless_answer_is_read_in_its_beginning_alone() -> None:
    flood = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 200_000
    made, _ = attempt(flood, hang=True)
    assert made.error is None
    assert len(made.response) <= webhook.LONGEST_RESPONSE


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Len"])
def test_no_good_answer_is_an_error_and_no_refusal(answer: bytes) -> None:
    made, _ = attempt(answer)
    assert made.error
    assert not made.refused


def test_nobody_there_is_an_error() -> None:
    made = asyncio.run(webhook.post("http://127.0.0.1:1/", b"{}", {}, lambda: 1.0))
    assert made.error
    assert not made.refused
