"""The files of pages, which browsers keep: their addresses change with what is in them.

The digest is a directory of the address, so that a module which imports another by `./name.js` gets
it from the same release, under the one address by which every other module imports it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

HERE = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"

_DIGEST = re.compile("[0-9a-f]{16}/")


def _read() -> dict[str, bytes]:
    """The files, by the names that they have in addresses."""
    files = sorted(path for path in HERE.rglob("*") if path.is_file())
    return {path.relative_to(HERE).as_posix(): path.read_bytes() for path in files}


def _digest(files: Mapping[str, bytes]) -> str:
    """Of all files together."""
    seen = hashlib.blake2b(digest_size=8)
    for name, content in files.items():
        seen.update(f"{name}\0{len(content)}\0".encode() + content)
    return seen.hexdigest()


_files = _read()
DIGEST = _digest(_files)
ADDRESSES: Mapping[str, str] = {name: f"/static/{DIGEST}/{name}" for name in _files}
"""Where browsers find each file."""


class Files(StaticFiles):
    """Serves them; under a digest of another release what there is now, which is not to be kept."""

    def __init__(self) -> None:
        super().__init__(directory=HERE)

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(_DIGEST.sub("", path, count=1), scope)
        kept = path.startswith(f"{DIGEST}/") and response.status_code in {200, 206, 304}
        response.headers["Cache-Control"] = FOREVER if kept else "no-cache"
        return response
