"""A real PostgreSQL for tests: in a temporary directory, on a Unix socket alone."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg

START_TIMEOUT = 60

MISSING = "PostgreSQL is not installed: apt-get install postgresql"

# What a test writes need not survive a power cut.
_SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=100",
    "shared_buffers=16MB",
)


def binaries() -> Path | None:
    """Where `initdb` and `postgres` of the newest version here are; None if there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3])
    )
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    return Path(on_path).parent if on_path else None


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server."""

    directory: Path

    def url(self, database: str) -> str:
        return f"postgresql://cupel@/{database}?host={urllib.parse.quote(str(self.directory))}"

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new, empty database, dropped afterwards."""
        name = f"test_{uuid.uuid4().hex}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
            try:
                yield self.url(name)
            finally:
                connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """A server of its own. Raises `FileNotFoundError` when PostgreSQL is not installed."""
    programs = binaries()
    if programs is None:
        raise FileNotFoundError(MISSING)
    # A socket's path has at most 107 bytes, so not below pytest's deep directories.
    with tempfile.TemporaryDirectory(prefix="cupel-pg-", dir="/tmp") as name:
        directory = Path(name)
        user = _user()
        if user is not None:
            os.chown(directory, user.pw_uid, user.pw_gid)
        data = directory / "data"
        initdb = [programs / "initdb", "-D", data, "-U", "cupel", "-A", "trust", "-E", "UTF8"]
        _run([*initdb, "--locale=C.UTF-8", "--no-sync"], directory, user)
        with _running(programs / "postgres", data, directory, user):
            yield Server(directory)


@contextlib.contextmanager
def database() -> Iterator[str]:
    """The URL of a new database on a server of its own."""
    with server() as running, running.database() as url:
        yield url


def _user() -> pwd.struct_passwd | None:
    """Whom PostgreSQL runs as: it refuses to be root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def _identity(user: pwd.struct_passwd | None) -> dict[str, object]:
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _run(argv: list[Path | str], directory: Path, user: pwd.struct_passwd | None) -> None:
    subprocess.run(argv, check=True, cwd=directory, capture_output=True, **_identity(user))


@contextlib.contextmanager
def _running(
    program: Path, data: Path, directory: Path, user: pwd.struct_passwd | None
) -> Iterator[None]:
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    argv = [program, "-D", data, "-k", directory, *settings]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(argv, cwd=directory, stdout=log, stderr=log, **_identity(user))
    try:
        _wait(process, directory)
        yield
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait()


def _wait(process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            psycopg.connect(Server(directory).url("postgres")).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((directory / "log").read_text()) from None
            time.sleep(0.02)
        else:
            return
