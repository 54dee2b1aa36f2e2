"""Finds out whether machines can be made here, by making one of nothing."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import socket
import tempfile
import time
from pathlib import Path

from cupel.errors import InfraError
from cupel.host.providers.inside import plan as plans
from cupel.host.providers.inside import wire
from cupel.host.providers.inside.plan import UIDS, Plan, Shell
from cupel.host.providers.namespace import users
from cupel.host.providers.namespace.launcher import Launcher
from cupel.image.catalogue import Kept

_SECONDS = 10.0
_DISK = 1 << 20


def attempt(directory: Path) -> float:
    """Make and end a machine with an empty image on the file system of `directory`.

    Returns the seconds that it took to stand. Raises `InfraError` that says what failed.
    """
    scratch = Path(tempfile.mkdtemp(prefix=".cupel-trial-", dir=directory))
    launcher = Launcher()
    try:
        (scratch / "image").mkdir()
        with (
            contextlib.closing(users.take(scratch, 0)) as taken,
            launcher.connect(Kept(digest="", rootfs=scratch / "image", file=None)) as sock,
            (scratch / "log").open("wb") as log,
        ):
            sock.settimeout(_SECONDS)
            began = time.perf_counter()
            shell = dataclasses.asdict(_shell(scratch, taken.first))
            wire.send(sock, shell, [log.fileno(), taken.descriptor])
            _expect("born", sock)
            _expect("laid out", sock)
            wire.send(sock, plans.encode(_plan()))
            _expect("ready", sock)
            took = time.perf_counter() - began
            sock.shutdown(socket.SHUT_WR)
            wire.receive(sock)  # the end: nothing of it runs any more
            return took
    except OSError as error:
        raise InfraError(f"no machine can be made: {error}") from error
    finally:
        launcher.close()
        shutil.rmtree(scratch, ignore_errors=True)


def _expect(event: str, sock: socket.socket) -> None:
    match wire.receive(sock):
        case ({"event": found}, _) if found == event:
            return
        case ({"text": str(text)}, _):
            raise InfraError(f"no machine can be made: {text}")
        case _:
            raise InfraError("no machine can be made: its process ended at once")


def _shell(scratch: Path, base: int) -> Shell:
    return Shell(
        base=base,
        ids=[(0, base, UIDS)],
        rootless=False,
        image=str(scratch / "image"),
        directory=str(scratch),
        disk_template=None,
        disk_size=_DISK,
        init_groups=[],
        build_groups=[],
        keep_core_limit=False,
    )


def _plan() -> Plan:
    return Plan(
        name="cupel-trial",
        shared_memory=_DISK,
        files={},
        copies={},
        binds=[],
        network=[],
        egress=None,
        unreachable=[],
    )
