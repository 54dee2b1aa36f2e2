"""Where the state directory is, and the server that runs there, when nobody says so."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cupel.errors import InfraError, UserError

FILE = "client.json"
"""In the state directory: the URL and the token of the server that runs there."""

START = "start it with `cupel up`, or say where it is with --url or CUPEL_URL"


def default_state(env: Mapping[str, str] = os.environ) -> Path:
    """The state directory where none is named (XDG base directories)."""
    root = env.get("XDG_STATE_HOME") or ""
    base = Path(root) if root.startswith("/") else Path.home() / ".local/state"
    return base / "cupel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is, and with which token to speak to it."""

    url: str
    token: str | None


def find(
    *, url: str | None, token: str | None, state: Path, env: Mapping[str, str] = os.environ
) -> Address:
    """The server to speak to: as said, else CUPEL_URL and CUPEL_TOKEN, else the one of `state`.

    The token of the state directory is never sent to another server than its own. Raises
    `InfraError` when no server is known, `UserError` when what is known cannot be used.
    """
    here = _here(state)
    url = url or env.get("CUPEL_URL") or (here.url if here else None)
    if url is None:
        raise InfraError(f"no Cupel has been started on {state}", hint=START)
    url = _checked(url)
    token = token or env.get("CUPEL_TOKEN")
    if token is None and here is not None and here.url == url:
        token = here.token
    return Address(url=url, token=token)


def _here(state: Path) -> Address | None:
    """What the server of a state directory left for its owner."""
    file = state / FILE
    try:
        kept = json.loads(file.read_text())
        return Address(url=_checked(str(kept["url"])), token=str(kept["token"]))
    except FileNotFoundError:
        return None
    except PermissionError:
        raise UserError(f"{file} belongs to somebody else", hint="use --url and --token") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{file} cannot be read", hint="`cupel up` writes it anew") from None


def _checked(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UserError(f"{url!r} is not the URL of a server", hint="such as http://127.0.0.1:8470")
    return url.rstrip("/")


def is_local(url: str) -> bool:
    """Whether a URL's host is this computer, as far as can be told without asking anybody."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
