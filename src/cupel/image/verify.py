"""Proves that the one file of an image, from wherever it came, holds what its digest says."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from cupel import process
from cupel.errors import InfraError
from cupel.image import tree

_TIMEOUT = 1800.0
_SCRIPT = 'mount -t erofs -o ro,nodev,nosuid "$1" "$2" && exec "$3" -m "$4" "$2" "$5"'


async def verify(file: Path, digest: str, directory: Path) -> None:
    """Leave the manifest and the list of packages in `directory`. Raises `InfraError`.

    The file is mounted where nobody else sees it, in a mount namespace that ends with this.
    """
    with tempfile.TemporaryDirectory(dir=directory) as mountpoint:
        words = [str(file), mountpoint, sys.executable, tree.__name__, str(directory)]
        try:
            found = await process.run(
                ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", *words], timeout=_TIMEOUT
            )
        except InfraError as error:
            raise _refusal(digest, error.hint or error.message) from error
    if (real := found.out.decode().strip()) != digest:
        raise _refusal(digest, f"its digest is {real}")


def _refusal(digest: str, why: str) -> InfraError:
    return InfraError(f"the file of image {digest} is not what its digest says", hint=why)
