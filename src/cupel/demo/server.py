"""The Cupel of the demo: a process of its own, as a user would start it, and a client for it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2

from cupel.errors import InfraError

_START = 60.0
"""Seconds that the server may take until it answers."""


class Api:
    """The HTTP API with the owner's token; answers are decoded JSON."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self.token = token
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx2.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False)

    @property
    def git_env(self) -> dict[str, str]:
        """What makes git send the token, as a remote with the token in its URL would."""
        basic = base64.b64encode(f"developer:{self.token}".encode()).decode()
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "http.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {basic}",
            "no_proxy": "127.0.0.1",
        }

    async def get(self, path: str, **query: Any) -> Any:
        return self._checked(await self._http.get(path, params=query))

    async def post(self, path: str, body: Any) -> Any:
        return self._checked(await self._http.post(path, json=body))

    async def text(self, path: str) -> str:
        return (await self._http.get(path)).text

    async def close(self) -> None:
        await self._http.aclose()

    def _checked(self, response: httpx2.Response) -> Any:
        if response.is_error:
            raise InfraError(f"{response.request.url} answered {response.status_code}",
                             hint=response.text[:500])  # fmt: skip
        return response.json()


@contextlib.asynccontextmanager
async def running(state: Path) -> AsyncIterator[Api]:
    """Start `cupel up` on a free port and a state directory; stop it at the end."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    client = state / "client.json"
    client.unlink(missing_ok=True)
    with (state / "up.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cupel", "--state", str(state), "up", "--listen", "127.0.0.1:0",
            stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        api = await _ready(process, client, state)
        try:
            yield api
        finally:
            await api.close()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _ready(process: asyncio.subprocess.Process, client: Path, state: Path) -> Api:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_START):
            while process.returncode is None:
                if client.exists():
                    found = json.loads(client.read_text())
                    api = Api(found["url"], found["token"])
                    with contextlib.suppress(httpx2.TransportError):
                        await api.get("/api/status")
                        return api
                    await api.close()
                await asyncio.sleep(0.05)
    raise InfraError("cupel up did not start", hint=(state / "up.log").read_text()[-2000:] or None)
