"""A person at a terminal of ours: starts a program there, types, and reads what comes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

PATIENCE = 30.0


class Terminal:
    """`cupel` with these words at a new terminal of this size."""

    def __init__(self, state: Path, *words: str, rows: int = 24, columns: int = 80) -> None:
        self._ours, theirs = pty.openpty()
        self.resize(rows, columns)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cupel", "--state", str(state), *words],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color"},
        )  # fmt: skip
        os.close(theirs)
        self.all = b""
        self._seen = 0

    def resize(self, rows: int, columns: int) -> None:
        size = struct.pack("HHHH", rows, columns, 0, 0)
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, size)
        if hasattr(self, "process"):  # it is the leader of a session that has no such terminal
            self.process.send_signal(signal.SIGWINCH)

    def type(self, text: str) -> None:
        os.write(self._ours, text.encode())

    def expect(self, wanted: str, seconds: float = PATIENCE) -> None:
        """Read on until that has come, after what was waited for last."""
        end = time.monotonic() + seconds
        while (at := self.all.find(wanted.encode(), self._seen)) < 0:
            left = end - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"{wanted!r} is not in {self.all[self._seen :]!r}")
        self._seen = at + len(wanted.encode())

    def _read(self, seconds: float) -> bool:
        if not select.select([self._ours], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self._ours, 65536)
        except OSError:  # nobody has it open any more
            return False
        self.all += data
        return bool(data)

    def ended(self, seconds: float = PATIENCE) -> int:
        """The exit status, once all that was written is read."""
        while self._read(seconds):
            pass
        return self.process.wait(seconds)

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()
        os.close(self._ours)
