"""The files of pages, which browsers keep: their addresses change with what is in them.

The digest is a directory of the address, so that a module which imports another by `./name.js` gets
it from the same release, under the one address by which every other module imports it.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import mimetypes
import re
from collections.abc import Mapping
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from cupel.web import compress

HERE = Path(__file__).parent / "static"
FOREVER = "public, max-age=31536000, immutable"

mimetypes.add_type("text/javascript", ".mjs")

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


class Files:
    """Serves them from memory, compressed once for those who take that.

    Under a digest of another release there is what there is now, which is not to be kept.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/")
        name = _DIGEST.sub("", path, count=1)
        if scope["method"] not in {"GET", "HEAD"} or name not in _files:
            raise HTTPException(404 if name not in _files else 405)
        kept = path.startswith(f"{DIGEST}/")
        response = _answer(name, Headers(scope=scope))
        response.headers["Cache-Control"] = FOREVER if kept else "no-cache"
        await response(scope, receive, send)


def _answer(name: str, headers: Headers) -> Response:
    about = {"ETag": f'W/"{DIGEST}"', "Vary": "Accept-Encoding"}
    if about["ETag"] in headers.get("if-none-match", ""):
        return Response(status_code=304, headers=about)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if compress.is_wanted(headers):
        return Response(
            _packed(name), headers={**about, "Content-Encoding": "gzip"}, media_type=kind
        )
    return Response(_files[name], headers=about, media_type=kind)


@functools.cache
def _packed(name: str) -> bytes:
    return gzip.compress(_files[name], mtime=0)
