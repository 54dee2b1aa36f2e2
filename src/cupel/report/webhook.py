"""Sending to a webhook, signed by the rules of Standard Webhooks (standardwebhooks.com), `v1`.

`webhook-id` is the same however often a delivery is sent; `webhook-timestamp` is when it is sent;
the signature is HMAC-SHA256 over both and the body. So a receiver can tell a repetition and a
replay.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import functools
import hashlib
import hmac
import ipaddress
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import httpx2

import cupel
from cupel.core.notice import Attempt
from cupel.errors import UserError

TIMEOUT = 15.0
"""Seconds until a receiver must have answered."""

LONGEST_RESPONSE = 4096
"""Bytes of an answer that are read."""

SHORTEST_SECRET = 16
PREFIX = "whsec_"

_TRY_AGAIN = frozenset({408, 425, 429})
"""Refusals that are no judgement of what was sent."""


def secret(content: bytes) -> bytes:
    """The key in a secret's file. Raises `UserError` for one that cannot be used."""
    text = content.strip()
    key = text
    if text.startswith(PREFIX.encode()):
        try:
            key = base64.b64decode(text.removeprefix(PREFIX.encode()), validate=True)
        except binascii.Error:
            raise UserError(f"what follows {PREFIX} in the secret's file is not base64") from None
    if len(key) < SHORTEST_SECRET:
        raise UserError(
            f"the secret is shorter than {SHORTEST_SECRET} bytes",
            hint=f"make one: echo {PREFIX}$(openssl rand -base64 32)",
        )
    return key


def signature(key: bytes, id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`."""
    signed = b"%s.%d.%s" % (id.encode(), timestamp, body)
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def headers(key: bytes, id: str, event: str, body: bytes, now: float) -> dict[str, str]:
    timestamp = int(now)
    return {
        "Content-Type": "application/json",
        "User-Agent": f"cupel/{cupel.__version__}",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(key, id, timestamp, body),
        "cupel-event": event,
    }


async def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    clock: Callable[[], float],
    *,
    timeout: float = TIMEOUT,
) -> Attempt:
    """Send once; how it went, whatever the receiver does. Redirects are not followed."""
    began = clock()
    status: int | None = None
    said, again = b"", None
    try:
        async with (
            asyncio.timeout(timeout),
            httpx2.AsyncClient(
                timeout=timeout, verify=_trusted(), trust_env=not _is_local(url)
            ) as client,
            client.stream("POST", url, content=body, headers=dict(headers)) as answer,
        ):
            status, again = answer.status_code, answer.headers.get("retry-after")
            async for piece in answer.aiter_raw(1024):
                said += piece
                if len(said) >= LONGEST_RESPONSE:
                    break
            error = _judge(status)
    except TimeoutError:
        error = f"no answer within {timeout:g} s"
    except httpx2.TimeoutException:
        error = f"no answer within {timeout:g} s"
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, UnicodeError) as problem:
        error = str(problem) or type(problem).__name__
    return Attempt(
        at=began,
        seconds=max(0.0, clock() - began),
        status=status,
        error=error,
        response=said[:LONGEST_RESPONSE].decode(errors="replace"),
        refused=status is not None and 400 <= status < 500 and status not in _TRY_AGAIN,
        again=float(again) if again is not None and again.isascii() and again.isdigit() else None,
    )


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are good: as this computer has it. Reading them takes 30 ms."""
    return ssl.create_default_context()


def _judge(status: int) -> str | None:
    """Why an answer is not a good one; None for a good one."""
    if 200 <= status < 300:
        return None
    if 300 <= status < 400:
        return f"status {status}: it wants us elsewhere, where we do not go"
    return f"status {status}"


def _is_local(url: str) -> bool:
    """A proxy cannot reach this computer's own loopback."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
