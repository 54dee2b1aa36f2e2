"""Takes over an existing repository: all of its branches and tags."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import shutil
import urllib.parse
from pathlib import Path

from cupel.errors import UserError
from cupel.git import repository, run

_TIMEOUT = 3600.0
_FALLBACKS = ("main", "master", "trunk", "develop")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[^/:]+@[^/:]+:")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came: the default branch and the head of every branch."""

    branch: str
    heads: dict[str, str]


async def import_from(path: Path, source: str, hooks: Path) -> Imported:
    """Make a bare repository at `path` with the branches and tags of `source`, a path or a URL.

    All or nothing. Raises `UserError` when the source cannot be read. A password in the URL is
    handed to git but neither kept nor shown.
    """
    staging = await repository.stage(path, "main")
    try:
        branch = await _fetch(staging, _location(source))
        heads = await repository.heads(staging)
        branch = branch or _default(heads)
        await run.git(staging, "symbolic-ref", "HEAD", f"refs/heads/{branch}")
        repository.adopt(staging, path, hooks)
    finally:
        await asyncio.to_thread(shutil.rmtree, staging, ignore_errors=True)
    return Imported(branch=branch, heads=heads)


async def _fetch(staging: Path, location: str) -> str | None:
    """Fetch everything; the name of the branch that the source's HEAD is, if it is one."""
    listed = await _remote(staging, location, "ls-remote", "--symref", "source", "HEAD")
    await _remote(
        staging,
        location,
        "fetch",
        "--quiet",
        "--no-auto-maintenance",
        "source",
        "+refs/heads/*:refs/heads/*",
        "+refs/tags/*:refs/tags/*",
    )
    found = re.search(rb"^ref: refs/heads/(.+)\tHEAD$", listed, re.MULTILINE)
    return found[1].decode() if found else None


async def _remote(staging: Path, location: str, *args: str) -> bytes:
    # The location travels as a setting, so that it never shows in a list of processes or a log.
    # git clears its settings for a program it starts beside itself, hence safe.directory anew.
    config = {"remote.source.url": location}
    if location.startswith("/"):
        config["remote.source.uploadpack"] = "git -c safe.directory=* upload-pack"
    result = await run.git(staging, *args, config=config, check=False, timeout=_TIMEOUT)
    if result.exit_status != 0:
        raise UserError(
            f"cannot import {shown(location)}",
            hint=_without_secrets(result.err.decode(errors="replace").strip(), location)[-2000:],
        )
    return result.out


def shown(location: str) -> str:
    """A URL as it may be shown: without its user name and password."""
    if "://" not in location:
        return location
    parts = urllib.parse.urlsplit(location)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def _without_secrets(text: str, location: str) -> str:
    if "://" not in location:
        return text
    credentials, at, _ = urllib.parse.urlsplit(location).netloc.rpartition("@")
    if not at:
        return text
    parts = {credentials, *credentials.split(":", 1)}
    for part in sorted({*parts, *map(urllib.parse.unquote, parts)} - {""}, key=len, reverse=True):
        text = text.replace(part, "***")
    return text


def _location(source: str) -> str:
    if _URL.match(source):
        return source
    local = Path(source).expanduser().absolute()
    if not local.exists():
        raise UserError(f"there is nothing at {local}", hint="give a path or a URL of a repository")
    return str(local)


def _default(heads: dict[str, str]) -> str:
    """The likeliest default branch of a source whose HEAD is not a branch."""
    for name in (*_FALLBACKS, *sorted(heads)):
        if name in heads:
            return name
    return _FALLBACKS[0]
