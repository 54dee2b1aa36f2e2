"""The agent's end of the launcher: starts it when needed and hands it the sockets of machines."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cupel.errors import InfraError
from cupel.host.providers.inside import wire

if TYPE_CHECKING:
    from cupel.image import catalogue

_SOURCES = Path(__file__).parents[4]
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "import importlib; importlib.import_module(sys.argv[3]).main(int(sys.argv[2]))"
)


class Launcher:
    """One small process that forks the machines' own; started again should it end.

    `module` is what it runs: the function `main` there gets the number of its socket. `prefix` is
    a command that starts it, for one that is not root.
    """

    def __init__(
        self, prefix: Sequence[str] = (), *, module: str = "cupel.host.providers.inside.launch"
    ) -> None:
        self._prefix = prefix
        self._module = module
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process now, unless it runs, so that the first machine need not wait for it."""
        if self._socket is None:
            self._start()

    def connect(self, image: catalogue.Kept | None = None) -> socket.socket:
        """A new socket to the process of a machine to come, which needs `image` mounted."""
        return self._connect(
            {"file": str(image.file), "at": str(image.rootfs)} if image and image.file else {}
        )

    def connect_wires(self) -> socket.socket:
        """A new socket to the private network of a build to come."""
        return self._connect({"wires": True})

    def connect_layers(self) -> socket.socket:
        """A new socket to what lays an image into a machine."""
        return self._connect({"layers": True})

    def _connect(self, order: wire.Frame) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            for attempt in (1, 2):
                try:
                    self._hand_over(theirs.fileno(), order)
                except OSError as error:
                    self.close()
                    if attempt == 2:
                        ours.close()
                        raise InfraError(
                            f"the launcher of machines does not run: {error}"
                        ) from error
                else:
                    break
        return ours

    def _hand_over(self, descriptor: int, order: wire.Frame) -> None:
        if self._socket is None:
            self._start()
        assert self._socket is not None
        header, body = wire.encode(order)
        self._socket.sendmsg([header + body], wire.ancillary([descriptor]))

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            words = (str(_SOURCES), str(theirs.fileno()), self._module)
            # -I -S: nothing of the host's environment or packages, and a fast start.
            self._process = subprocess.Popen(
                [*self._prefix, sys.executable, "-I", "-S", "-c", _PROGRAM, *words],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env={"PATH": os.defpath},
                start_new_session=True,
            )

    def close(self) -> None:
        """Stop it. Machines that exist go on."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        if self._process is not None:
            self._process.wait()
            self._process = None
