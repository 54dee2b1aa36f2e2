"""Smart HTTP: git clients fetch and push (the protocol: git-scm.com/docs/http-protocol)."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import re
import shlex
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import structlog
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from cupel.errors import Forbidden, InfraError
from cupel.git import body, repository, run

log = structlog.get_logger(__name__)

Authorise = Callable[[Request, str, bool], Awaitable[str | None]]
"""Request, project, does it write? → the user. None asks for credentials, `Forbidden` refuses."""

Locate = Callable[[str], Awaitable[tuple[str, Path] | None]]
"""Name in an address → the project that is meant, and its repository; None if there is none."""

_SERVICES = ("git-upload-pack", "git-receive-pack")
_CHUNK = 1 << 16
_PROTOCOL = re.compile(r"[a-z0-9=:.-]{1,100}")
_COMPLAINTS = 10_000
_POLITE = 30.0
"""Seconds for which the rest of a request is read after git has answered it early."""

_UNCACHED = {
    "Cache-Control": "no-cache, max-age=0, must-revalidate",
    "Expires": "Fri, 01 Jan 1980 00:00:00 GMT",
    "Pragma": "no-cache",
    "X-Accel-Buffering": "no",  # a proxy that gathers would hold `remote:` lines back
}
_CHALLENGE = {"WWW-Authenticate": 'Basic realm="Cupel: any name, and a token as the password"'}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """An authorised request: which service of which repository, for whom."""

    service: str
    advertise: bool
    project: str
    repo: Path
    user: str
    protocol: str | None


class Refused(Exception):
    """The request gets `response` instead of git's answer."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.response = PlainTextResponse(f"{text}\n", status, headers)


class GitHttp:
    """The ASGI application. `routes()` are to be added to the application that it is part of."""

    def __init__(self, *, authorise: Authorise, locate: Locate, hook_socket: Path) -> None:
        self._authorise = authorise
        self._locate = locate
        self._hook_socket = hook_socket
        self._pushes: collections.Counter[Path] = collections.Counter()

    def routes(self) -> list[BaseRoute]:
        """`/NAME.git/…` and `/NAME/…`; a name may contain slashes."""
        return [
            Route("/{name:path}/info/refs", self, methods=["GET"], include_in_schema=False),
            *(
                Route(f"/{{name:path}}/{service}", self, methods=["POST"], include_in_schema=False)
                for service in _SERVICES
            ),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            call = await self._admit(request)
            source = None if call.advertise else body.Body(receive, _encoding(request))
        except Refused as refused:
            await refused.response(scope, receive, send)
            return
        await self._converse(call, source, scope, receive, send)

    async def _admit(self, request: Request) -> Call:
        """Who wants what, if they may have it. Raises `Refused`."""
        advertise = request.method in ("GET", "HEAD")
        path = request.url.path
        service = request.query_params.get("service", "") if advertise else path.rpartition("/")[2]
        if service not in _SERVICES:
            raise Refused(403, "only git's smart protocol is served here; use git 2.0 or newer")
        # Browsers send no such type to another site unasked, so no page can push with a login.
        if (
            not advertise
            and request.headers.get("content-type") != f"application/x-{service}-request"
        ):
            raise Refused(415, f"the body must be application/x-{service}-request")
        name = request.path_params["name"].removesuffix(".git")
        user = await self._identify(request, name, write=service == "git-receive-pack")
        found = await self._locate(name)
        if found is None:
            raise Refused(404, f"there is no project {name!r}; `cupel project list` shows all")
        project, repo = found
        protocol = request.headers.get("git-protocol", "")
        return Call(
            service=service,
            advertise=advertise,
            project=project,
            repo=repo,
            user=user,
            protocol=protocol if _PROTOCOL.fullmatch(protocol) else None,
        )

    async def _identify(self, request: Request, project: str, *, write: bool) -> str:
        try:
            user = await self._authorise(request, project, write)
        except Forbidden as error:
            raise Refused(403, str(error)) from error
        if user is None:
            raise Refused(401, "a token is needed, as the password", _CHALLENGE)
        return user

    @contextlib.asynccontextmanager
    async def _started(self, call: Call) -> AsyncIterator[asyncio.subprocess.Process]:
        """git at work for a call; at the end it is gone, and what it left in quarantine with it.

        A killed git leaves its quarantine, and nobody can tell whose one is. So it is the last
        push to leave a repository that clears it.
        """
        running = await run.start(call.repo, *_command(call), env=self._env(call))
        pushes = call.service == "git-receive-pack"
        self._pushes[call.repo] += pushes
        try:
            yield running
        finally:
            await run.stop(running)
            self._pushes[call.repo] -= pushes
            if not self._pushes[call.repo]:
                del self._pushes[call.repo]
                for left in repository.quarantines(call.repo) if pushes else ():
                    await asyncio.to_thread(shutil.rmtree, left, ignore_errors=True)

    async def _converse(
        self, call: Call, source: body.Body | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        answer = _Answer(call, send)
        try:
            async with self._started(call) as running, asyncio.TaskGroup() as group:
                complaints = group.create_task(_complaints(running))
                feeding = group.create_task(_feed(source, receive, running))
                await _relay(running, answer)
                exit_status = await _ended(call, running, await complaints)
                if source is not None:
                    await source.rest(_POLITE)
                feeding.cancel()  # before the end of the answer, after which all clients leave
            await answer.end(exit_status)
        except* InfraError as errors:
            log.exception("git does not start", project=call.project)
            await PlainTextResponse(f"{errors.exceptions[0]}\n", 500)(scope, receive, send)
        except* body.Disconnected:
            log.info("client left", project=call.project, service=call.service)
        except* body.Malformed as errors:
            log.info("malformed request", project=call.project, error=str(errors.exceptions[0]))
            if not answer.started:
                await PlainTextResponse("the body is not what it says\n", 400)(scope, receive, send)

    def _env(self, call: Call) -> dict[str, str]:
        env = {
            "CUPEL_HOOK_SOCKET": str(self._hook_socket.absolute()),
            "CUPEL_PROJECT": call.project,
            "CUPEL_USER": call.user,
            "GIT_COMMITTER_NAME": call.user,  # for the log of who moved a ref
        }
        return env | ({"GIT_PROTOCOL": call.protocol} if call.protocol else {})


class _Answer:
    """The response: its head goes out with the first bytes, so that a failure can still be told."""

    def __init__(self, call: Call, send: Send) -> None:
        kind = "advertisement" if call.advertise else "result"
        self._type = f"application/x-{call.service}-{kind}"
        self._preface = _preface(call)
        self._send = send
        self.started = False

    async def write(self, data: bytes) -> None:
        if not self.started:
            await self._start(200, self._type)
            data = self._preface + data
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, exit_status: int) -> None:
        """Finish; with an error if git failed without a word of its own."""
        last = b""
        if not self.started and exit_status != 0:
            await self._start(500, "text/plain; charset=utf-8")
            last = f"git failed with exit status {exit_status}; the log has more\n".encode()
        elif not self.started:
            await self.write(b"")
        await self._send({"type": "http.response.body", "body": last})

    async def _start(self, status: int, content_type: str) -> None:
        self.started = True
        headers = {"Content-Type": content_type, **_UNCACHED}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})


def _command(call: Call) -> tuple[str, ...]:
    hidden: tuple[str, ...] = ()
    if call.service == "git-receive-pack" and call.advertise:
        # Refs that nobody may push to need not be listed to everybody who pushes; there are many.
        hidden = ("-c", "receive.hideRefs=refs/cupel", "-c", "receive.hideRefs=refs/changes")
    service = call.service.removeprefix("git-")
    flags = ("--stateless-rpc", *(("--http-backend-info-refs",) if call.advertise else ()))
    return (*hidden, service, *flags, str(call.repo))


def _preface(call: Call) -> bytes:
    """What version 0 and 1 of the protocol put before the refs, and version 2 does not."""
    second = call.service == "git-upload-pack" and "version=2" in (call.protocol or "").split(":")
    if not call.advertise or second:
        return b""
    line = f"# service={call.service}\n".encode()
    return b"%04x%s0000" % (len(line) + 4, line)


def _encoding(request: Request) -> str:
    encoding: str = request.headers.get("content-encoding", "identity")
    if encoding not in body.ENCODINGS:
        raise Refused(415, f"the encoding {encoding!r} is not understood; use gzip or none")
    return encoding


async def _feed(
    source: body.Body | None, receive: Receive, running: asyncio.subprocess.Process
) -> None:
    """Hand the body to git, then watch for the client's leaving until cancelled."""
    assert running.stdin is not None
    try:
        if source is not None:
            await source.pour(running.stdin)
    finally:
        running.stdin.close()
    await body.watch(receive)


async def _relay(running: asyncio.subprocess.Process, answer: _Answer) -> None:
    assert running.stdout is not None
    while chunk := await running.stdout.read(_CHUNK):
        await answer.write(chunk)


async def _complaints(running: asyncio.subprocess.Process) -> str:
    """What git writes to stderr, the beginning of it; the rest is read and dropped."""
    assert running.stderr is not None
    kept = b""
    while chunk := await running.stderr.read(_CHUNK):
        kept += chunk[: _COMPLAINTS - len(kept)]
    return kept.decode(errors="replace").strip()


async def _ended(call: Call, running: asyncio.subprocess.Process, complaints: str) -> int:
    status = await running.wait()
    if status != 0:
        log.warning(
            "git failed",
            command=shlex.join(("git", *_command(call))),
            exit_status=status,
            stderr=complaints,
        )
    return status
