"""The one place that starts git: on a bare repository, without anybody's configuration.

The exception is `in_work_tree`: there git is to see what it would show whoever works there.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shlex
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from cupel import process
from cupel.errors import InfraError
from cupel.process import Result

TIMEOUT = 120.0
"""Seconds that an ordinary git command may take before it is killed."""

_GRACE = 5.0
"""Seconds between SIGTERM, on which git removes its locks, and SIGKILL."""

_KEPT = (
    "PATH",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "GIT_SSL_CAINFO",
    "SSH_AUTH_SOCK",
)
"""What git gets of Cupel's own environment: how to reach programs and networks, no preferences."""

_LOCAL = (
    "GIT_DIR",
    "GIT_COMMON_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
)
"""What of a person's environment is about another repository or command, as within a hook."""


async def git(
    repo: Path,
    *args: str,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, str] | None = None,
    check: bool = True,
    timeout: float | None = TIMEOUT,
) -> Result:
    """Run a git command on the bare repository `repo` and collect what it wrote.

    `env` is added to the clean environment; `config` are settings for this run that stay out of
    the command line, so it may hold credentials. Raises `InfraError`, whose message can be pasted
    into a shell, when git is missing or takes too long and, with `check`, when it fails.
    """
    argv = _argv(repo, args)
    result = await process.run(
        argv, stdin=stdin, env=environment(env, config), timeout=timeout, check=False
    )
    if check and result.exit_status != 0:
        raise InfraError(
            f"exit status {result.exit_status}: {shlex.join(argv)}",
            hint=result.err.decode(errors="replace").strip()[-2000:] or None,
        )
    return result


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The beginning of what a command writes, and whether that is all."""

    out: bytes
    whole: bool


async def part(
    repo: Path, *args: str, limit: int, env: Mapping[str, str] | None = None, timeout: float
) -> Part:
    """Run a git command on the bare repository `repo` for the first `limit` bytes that it writes.

    It is ended when it writes more. Raises `InfraError` like `git`.
    """
    running = await start(repo, *args, env=env or {})
    assert running.stdin is not None
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdin.close()
    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
            err = group.create_task(running.stderr.read())
            out = await _first(running.stdout, limit)
            if not out.whole:
                _signal(running.pid, signal.SIGTERM)
                await _drain(running.stdout)
            status = await running.wait()
    except TimeoutError:
        raise InfraError(f"took longer than {timeout} s: {shlex.join(_argv(repo, args))}") from None
    finally:
        await stop(running)
    if out.whole and status != 0:
        raise InfraError(
            f"exit status {status}: {shlex.join(_argv(repo, args))}",
            hint=err.result().decode(errors="replace").strip()[-2000:] or None,
        )
    return out


async def _first(stream: asyncio.StreamReader, limit: int) -> Part:
    pieces = []
    while limit > 0 and (piece := await stream.read(min(limit, 1 << 16))):
        pieces.append(piece)
        limit -= len(piece)
    return Part(out=b"".join(pieces), whole=limit > 0 or not await stream.read(1))


async def _drain(stream: asyncio.StreamReader) -> None:
    """Read what is left: asyncio takes no process for ended while one of its pipes is full."""
    while await stream.read(1 << 16):
        pass


async def in_work_tree(
    tree: Path,
    *args: str,
    env: Mapping[str, str] | None = None,
    config: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Result:
    """Run a git command for somebody in their work tree, as they would: by their configuration.

    `env` is added to theirs; `config` stays out of the command line. It asks nobody for anything;
    whoever calls looks at the exit status.
    """
    settings = dict(config or {})
    first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)
    whole = {
        **{name: value for name, value in os.environ.items() if name not in _LOCAL},
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": str(first + len(settings)),
        **{f"GIT_CONFIG_KEY_{n}": key for n, key in enumerate(settings, first)},
        **{f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(settings.values(), first)},
        **(env or {}),
    }
    argv = ("git", "-C", str(tree), *args)
    return await process.run(argv, env=whole, timeout=timeout, check=False)


async def start(repo: Path, *args: str, env: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Start a git command whose input and output are streamed; `stop` must end it."""
    argv = _argv(repo, args)
    try:
        return await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment(env),
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise InfraError(
            f"{error.filename} is not here, needed for: {shlex.join(argv)}",
            hint="`cupel doctor` says what to install",
        ) from None


async def stop(running: asyncio.subprocess.Process) -> None:
    """End a git command and all that it started. It is asked first, so that it leaves no locks."""
    if running.returncode is None:
        _signal(running.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await running.wait()
    _signal(running.pid, signal.SIGKILL)
    await running.wait()


def environment(
    extra: Mapping[str, str] | None = None, config: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The clean environment of every git that Cupel starts."""
    # Repositories may belong to another user than the server; Cupel chose the path itself.
    settings = {"safe.directory": "*", **(config or {})}
    return {
        **{name: os.environ[name] for name in _KEPT if name in os.environ},
        "HOME": "/nonexistent",
        "XDG_CONFIG_HOME": "/nonexistent",
        "LC_ALL": "C",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "true",
        "GIT_SSH_COMMAND": "ssh -o BatchMode=yes",
        "GIT_AUTHOR_NAME": "Cupel",
        "GIT_AUTHOR_EMAIL": "cupel@localhost",
        "GIT_COMMITTER_NAME": "Cupel",
        "GIT_COMMITTER_EMAIL": "cupel@localhost",
        "GIT_CONFIG_COUNT": str(len(settings)),
        **{f"GIT_CONFIG_KEY_{n}": key for n, key in enumerate(settings)},
        **{f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(settings.values())},
        **(extra or {}),
    }


def _argv(repo: Path, args: Sequence[str]) -> tuple[str, ...]:
    return ("git", f"--git-dir={repo}", *args)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
