"""Brings a large file from the server, however often the connection breaks on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

from cupel.errors import InfraError
from cupel.host import source

ATTEMPTS = 5
"""Connections that may break one after the other without having brought anything."""

PAUSE = 2.0
"""Seconds between two of them."""

_SILENCE = 60.0
_STEP = 10

Tell = Callable[[str], None]


async def download(url: str, token: str, part: Path, tell: Tell, *, pause: float = PAUSE) -> None:
    """Have the file at `url` in `part`, of which a beginning may be there. Raises `InfraError`."""
    import httpx2

    in_vain = 0
    while True:
        before = _size(part)
        try:
            await _fetch_rest(url, token, part, tell)
        except httpx2.HTTPStatusError as error:
            status = error.response.status_code
            raise InfraError(f"the server answers with status {status} for {url}") from error
        except httpx2.HTTPError as error:
            in_vain = 0 if _size(part) > before else in_vain + 1
            why = str(error) or type(error).__name__
            if in_vain == ATTEMPTS:
                raise InfraError(f"{url} could not be fetched: {why}") from error
            tell(f"The connection broke: {why}")
            await asyncio.sleep(pause)
        except OSError as error:
            raise InfraError(f"{part} can't be written: {error.strerror}") from error
        else:
            return


async def _fetch_rest(url: str, token: str, part: Path, tell: Tell) -> None:
    import httpx2

    there = _size(part)
    headers = {"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}
    if there:
        headers["Range"] = f"bytes={there}-"
    client = httpx2.AsyncClient(trust_env=not source.is_here(url), timeout=_SILENCE)
    async with client, client.stream("GET", url, headers=headers) as response:
        if there and response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is there
        response.raise_for_status()
        if response.status_code != HTTPStatus.PARTIAL_CONTENT:
            there = 0
        whole = there + int(response.headers.get("Content-Length", 0))
        told = 0
        with part.open("ab" if there else "wb") as file:
            async for piece in response.aiter_bytes():
                await asyncio.to_thread(file.write, piece)
                there += len(piece)
                if whole and (percent := 100 * there // whole) >= told + _STEP:
                    told = percent
                    tell(f"{percent} % of {whole >> 20} MiB")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
