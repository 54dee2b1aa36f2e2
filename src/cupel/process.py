"""The one place that starts programs (but git, whose place is `cupel.git.run`)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import shlex
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path

from cupel import logger
from cupel.errors import InfraError

log = logger.of(__name__)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a program ended; a negative `exit_status` is a signal."""

    argv: tuple[str, ...]
    exit_status: int
    out: bytes
    err: bytes


async def run(
    argv: Sequence[str | Path],
    *,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
    check: bool = True,
    on_stderr: Callable[[str], None] | None = None,
) -> Result:
    """Run a program to its end and collect what it wrote.

    `env` replaces the environment. `on_stderr` gets each line of stderr as it comes. Raises
    `InfraError` when the program is missing, when it takes longer than `timeout` seconds (it is
    killed with its process group) and, with `check`, when it fails; the message can be pasted into
    a shell.
    """
    words = tuple(str(word) for word in argv)
    process = await _start(words, stdin is not None, env, cwd)
    try:
        async with asyncio.timeout(timeout):
            out, err = await _collect(process, stdin, on_stderr)
    except TimeoutError:
        raise InfraError(f"took longer than {timeout} s: {shlex.join(words)}") from None
    finally:
        await _reap(process)
    assert process.returncode is not None
    result = Result(argv=words, exit_status=process.returncode, out=out, err=err)
    if check and result.exit_status != 0:
        log.warning("program failed", command=shlex.join(words), exit_status=result.exit_status)
        raise InfraError(
            f"exit status {result.exit_status}: {shlex.join(words)}",
            hint=err.decode(errors="replace").strip()[-2000:] or None,
        )
    return result


async def pour(
    argv: Sequence[str | Path],
    pieces: AsyncIterator[bytes],
    out: int,
    *,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> Result:
    """Run a program on a stdin that comes piece by piece, at its pace; it writes to `out`.

    Its failure is a result; the rest is as with `run`. One that ends early is fed no more.
    """
    words = tuple(str(word) for word in argv)
    process = await _start(words, True, env, None, out)
    assert process.stdin is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout), asyncio.TaskGroup() as group:
            err = group.create_task(process.stderr.read())
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                async for piece in pieces:
                    process.stdin.write(piece)
                    await process.stdin.drain()
            process.stdin.close()
            await process.wait()
    except TimeoutError:
        raise InfraError(f"took longer than {timeout} s: {shlex.join(words)}") from None
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    finally:
        await _reap(process)
    assert process.returncode is not None
    return Result(argv=words, exit_status=process.returncode, out=b"", err=err.result())


async def lines(
    argv: Sequence[str | Path],
    pieces: AsyncIterator[bytes],
    *,
    timeout: float | None = None,
) -> AsyncGenerator[bytes, None]:
    """The lines that a program writes, as they come, while it is given a stdin piece by piece.

    Whoever stops listening ends it: close the iterator. It ends with the program, however that
    ends. Raises `InfraError` when it takes longer than `timeout` seconds.
    """
    words = tuple(str(word) for word in argv)
    process = await _start(words, True, None, None)
    assert process.stdout is not None
    assert process.stderr is not None
    feeding = asyncio.ensure_future(_feed(process, pieces))
    complaints = asyncio.ensure_future(process.stderr.read())
    try:
        async with asyncio.timeout(timeout) as limit:
            while line := await process.stdout.readline():
                yield line
    except TimeoutError:
        if not limit.expired():
            raise
        raise InfraError(f"took longer than {timeout} s: {shlex.join(words)}") from None
    finally:
        feeding.cancel()
        await _reap(process)
        await asyncio.gather(feeding, return_exceptions=True)
        said = (await complaints).decode(errors="replace").strip()
        if said:
            log.warning("program complained", command=shlex.join(words), said=said[-2000:])


async def _feed(process: asyncio.subprocess.Process, pieces: AsyncIterator[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        async for piece in pieces:
            process.stdin.write(piece)
            await process.stdin.drain()
        process.stdin.close()


async def _start(
    words: tuple[str, ...],
    has_stdin: bool,
    env: Mapping[str, str] | None,
    cwd: Path | None,
    out: int = asyncio.subprocess.PIPE,
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *words,
            stdin=asyncio.subprocess.PIPE if has_stdin else asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=asyncio.subprocess.PIPE,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise InfraError(
            f"{error.filename} is not here, needed for: {shlex.join(words)}",
            hint="`cupel doctor` says what to install",
        ) from None


async def _collect(
    process: asyncio.subprocess.Process,
    stdin: bytes | None,
    on_stderr: Callable[[str], None] | None,
) -> tuple[bytes, bytes]:
    if on_stderr is None:
        return await process.communicate(stdin)
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.TaskGroup() as group:
        out = group.create_task(process.stdout.read())
        err = group.create_task(_lines(process.stderr, on_stderr))
        if stdin is not None and process.stdin is not None:
            process.stdin.write(stdin)
            await process.stdin.drain()
            process.stdin.close()
    await process.wait()
    return out.result(), err.result()


async def _lines(stream: asyncio.StreamReader, tell: Callable[[str], None]) -> bytes:
    kept = bytearray()
    while chunk := await stream.readline():
        kept += chunk
        tell(chunk.decode(errors="replace").rstrip("\n"))
    return bytes(kept)


async def _reap(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
