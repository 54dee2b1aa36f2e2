"""`cupel up`: one process with everything in it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import fcntl
import gc
import getpass
import ipaddress
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog
import uvicorn
from starlette.types import ASGIApp

from cupel import directory, logger
from cupel.api import app as api
from cupel.config import server as configuration
from cupel.config.image import ImageConfig
from cupel.config.server import ServerConfig
from cupel.control import clock
from cupel.control.app import Cupel
from cupel.control.auth import Scope
from cupel.control.hosts import Hosts
from cupel.control.remote import Remote
from cupel.errors import InfraError, UserError
from cupel.host import probe, protection, transport
from cupel.host.agent import Agent
from cupel.host.protection import Guard
from cupel.host.providers.namespace import NamespaceProvider
from cupel.host.providers.several import Several
from cupel.host.providers.vm.provider import VmProvider
from cupel.host.tenancy import Judge
from cupel.image import base, definition
from cupel.image.catalogue import Catalogue
from cupel.image.definition import Definition
from cupel.image.keeper import Keeper
from cupel.report import messages
from cupel.store import open_store
from cupel.web import app as web

log = structlog.get_logger(__name__)

HOST = "local"
"""The name of the embedded host."""

KEPT_IMAGES = 1
"""Images without a use that stay when the disk gets short; when it is nearly full, none."""

_RECONNECT = 1.0
"""Seconds before the embedded host connects again."""

_FAREWELL = 5.0
"""Seconds that requests under way get when the server stops."""

_IDLE = 40
"""Seconds that a browser's connection is kept for its next request. Each of a crowd is told of
news in less, and a new connection costs as much again as what is asked."""

Say = Callable[[str], None]


def run(state: Path, listen: str | None, *, say: Say | None = None) -> None:
    """Serve until SIGINT or SIGTERM.

    `listen` is `ADDRESS:PORT`, before what the configuration says. Raises `UserError` when the
    state directory or the address is in use, `InfraError` when builds could not be sandboxed.
    """
    tell = say or show
    logger.plainly()
    with keeping(state), sole_user(state) as held:
        config = configuration.load(held)
        _allow_connections()
        if config.slots > 0:
            protection.spare_me()
            probe.can_isolate(probe.examine(held))
        with _listening(listen or config.listen) as door:
            asyncio.run(_serve(held, _settled(config, door), door, tell))


def _allow_connections() -> None:
    """Each open page takes a file or two, so take all that this process may have open."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def show(text: str) -> None:
    print(text, flush=True)  # the one thing that `up` is asked to print


@contextlib.contextmanager
def keeping(state: Path) -> Iterator[None]:
    """Tell what the disk of the state directory refuses as the disk's fault."""
    try:
        yield
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        raise InfraError(
            f"{state} cannot be used: {what}{error.strerror or error}",
            hint="look at the space and the permissions there, or choose another with --state",
        ) from error


@contextlib.contextmanager
def sole_user(state: Path) -> Iterator[Path]:
    """Make and hold the state directory; the lock goes with the process, however it ends."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = state.resolve()
    lock = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(lock, 32).decode(errors="replace").strip() or "another process"
            raise UserError(
                f"a Cupel already runs on {state} (process {holder})",
                hint="stop that one first, or choose another directory with --state",
            ) from None
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        yield state
    finally:
        os.close(lock)


@contextlib.contextmanager
def _listening(listen: str) -> Iterator[socket.socket]:
    """A socket that listens on `ADDRESS:PORT`; port 0 takes a free one."""
    address, _, port = listen.rpartition(":")
    if not address or not port.isdigit() or int(port) > 65535:
        raise UserError(f"{listen!r} is not ADDRESS:PORT", hint="such as 127.0.0.1:8470")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as door:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((address.strip("[]"), int(port)))
        except OSError as error:
            raise UserError(
                f"cannot listen on {listen}: {error.strerror}",
                hint="stop what listens there, or choose another address with --listen",
            ) from None
        door.listen(1024)
        yield door


def _settled(config: ServerConfig, door: socket.socket) -> ServerConfig:
    """Who may read by default depends on who can reach the server."""
    if config.read != "auto":
        return config
    local = ipaddress.ip_address(door.getsockname()[0]).is_loopback
    alone = local and config.url is None
    return dataclasses.replace(config, read="anyone" if alone else "login")


def _url(door: socket.socket) -> str:
    address, port = door.getsockname()[:2]
    if address in ("0.0.0.0", "::"):  # noqa: S104 - what people are told to use instead
        address = "127.0.0.1"
    return f"http://[{address}]:{port}" if ":" in address else f"http://{address}:{port}"


async def _serve(state: Path, config: ServerConfig, door: socket.socket, say: Say) -> None:
    store = await open_store(config.database or f"sqlite:///{state / 'cupel.db'}")
    try:
        if not await store.lock_planner():
            raise UserError(
                "another Cupel plans on this database", hint="only one may; stop the other"
            )
        inner = _url(door)
        provider = NamespaceProvider(state, ahead=True)
        cupel = Cupel(
            state=state,
            config=config,
            store=store,
            clock=clock.now,
            images=keep_images(provider, config),
            url=config.url or inner,
            inner=inner,
        )
        hosts = await cupel.prepare()
        await _greet(cupel, inner, say)
        await _live(cupel, hosts, provider, door)
    finally:
        await store.close()


async def _greet(cupel: Cupel, inner: str, say: Say) -> None:
    """Say where everything is; the login link and the owner's token are for this computer."""
    user = getpass.getuser()
    secret = await _owner_token(cupel, inner, user)
    link = await cupel.auth.login_link(user, scopes=[Scope.WRITE, Scope.ADMIN])
    scheme, _, address = cupel.url.partition("://")
    remote = f"{scheme}://cupel:{secret}@{address}/PROJECT.git"
    say(messages.up(cupel.url, f"{inner}/login?token={link}", remote, str(cupel.state)))


async def _owner_token(cupel: Cupel, inner: str, user: str) -> str:
    """The token that the command line uses, kept where only its owner can read it."""
    file = cupel.state / directory.FILE
    secret = None
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError, KeyError):
        secret = json.loads(file.read_text())["token"]
    if secret is None or await _is_stale(cupel, secret):
        issued = await cupel.auth.create(
            user, name="owner", scopes=[Scope.READ, Scope.WRITE, Scope.ADMIN]
        )
        secret = issued.secret
    fresh = file.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps({"url": inner, "token": secret}) + "\n")
    fresh.replace(file)
    return str(secret)


async def _is_stale(cupel: Cupel, secret: str) -> bool:
    from cupel.control.auth import Unauthenticated

    try:
        return await cupel.auth.verify(authorization=f"Bearer {secret}") is None
    except Unauthenticated:
        return True


class _Server(uvicorn.Server):
    """Uvicorn without its own signal handlers: a stop has an order, which `_live` keeps."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def http(application: ASGIApp) -> _Server:
    """The server of an application. What is there by now is there for good: see `_settle`."""
    _settle()
    return _Server(
        uvicorn.Config(
            application,
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(_FAREWELL),
            timeout_keep_alive=_IDLE,
            # Hosts alone speak it; they keep connections alive, and flowing, by themselves.
            ws="websockets-sansio",
            ws_max_size=1 << 20,
            ws_per_message_deflate=False,
            ws_ping_interval=None,
        )
    )


def _settle() -> None:
    """Leave what has been loaded to itself, and look for garbage more rarely than Python does.

    A page of a long queue makes tens of thousands of values, all of which go by themselves. With
    Python's own thresholds each such page looked through everything that there is, for 0.1 s.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def keep_images(provider: NamespaceProvider, config: ServerConfig) -> Keeper:
    """The keeper of this computer's images: those of the configuration, and those of its labels."""

    def define(image: ImageConfig) -> Definition:
        return definition.define(image, base.architecture())

    return Keeper(
        provider.images,
        named=map(define, config.images.values()),
        inline=[define(each.image) for each in config.labels.values() if each.image.name is None],
        in_use=provider.images_in_use,
    )


async def _live(
    cupel: Cupel, hosts: Hosts, provider: NamespaceProvider, door: socket.socket
) -> None:
    """Run all parts until a signal comes; then stop them in order: people, builds, planning."""
    pages = api.create(cupel)
    web.mount(pages, cupel)
    remote = Remote(hosts, cupel.auth, lease=cupel.config.lease)
    server = http(cupel.application(pages, remote))
    cupel.hook_server.listen()
    async with asyncio.TaskGroup() as group:
        planning = group.create_task(cupel.run(hosts), name="planning")
        serving = group.create_task(server.serve(sockets=[door]), name="http")
        host = group.create_task(_make_machines(cupel, hosts, provider), name="host")
        away = group.create_task(remote.run(), name="other hosts")
        images = group.create_task(cupel.images.run(), name="images")
        await told_to_stop()
        server.should_exit = True
        cupel.feed.close()
        cupel.logs.close()
        # A push that waits for a verdict keeps its connection: its hook goes first.
        planning.cancel()
        await serving
        host.cancel()
        away.cancel()
        images.cancel()


async def _make_machines(cupel: Cupel, hosts: Hosts, provider: NamespaceProvider) -> None:
    """Be a host too, if that is wanted."""
    if cupel.config.slots == 0:
        return
    several = Several(provider, VmProvider(cupel.state, ahead=True))
    agent = Agent(
        name=HOST,
        slots=cupel.config.slots,
        provider=several,
        state=cupel.state,
        judge=_judging(provider.images),
        guard=Guard(cupel.state, prune=lambda: cupel.images.prune(keep=KEPT_IMAGES)),
    )
    try:
        await embed(agent, hosts)
    finally:
        await several.close()


def _judging(images: Catalogue) -> Judge:
    async def judge(digest: str, *, by_itself: bool) -> None:
        images.judge(digest, by_itself=by_itself)

    return judge


async def embed(agent: Agent, hosts: Hosts, *, pause: float = _RECONNECT) -> None:
    """Keep a host in this process connected, until cancelled; no machine of it is left then.

    A session that ends, whosever fault it was, is followed by another, as it would be over a wire.
    """
    while True:
        ours, theirs = transport.pair()
        # Tasks both, so that both are cancelled at once: a server that stops has lost no host.
        async with asyncio.TaskGroup() as group:
            group.create_task(hosts.serve(theirs), name="host session")
            group.create_task(_work(agent, ours), name="host agent")
        await asyncio.sleep(pause)


async def _work(agent: Agent, ours: transport.Transport) -> None:
    try:
        await agent.serve(ours)
    except InfraError as error:
        log.error("the embedded host broke off", error=str(error))
    finally:
        ours.close()


async def told_to_stop() -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()
    print("stopping…", file=sys.stderr, flush=True)
