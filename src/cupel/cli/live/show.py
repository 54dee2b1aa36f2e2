"""The terminal of `cupel top`: keys in, the screen out, and everything as it was at the end."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType

from rich.live import Live
from rich.text import Text

from cupel.cli import output
from cupel.cli.live import keys, screen, seen
from cupel.cli.live.feed import Feed
from cupel.cli.live.seen import History, Look, Snapshot
from cupel.client import Client

TICK = 1.0
"""Seconds after which times that go on are drawn anew."""


class Show:
    """What is seen, and what is looked at. `wake` is written to when there is something new."""

    def __init__(self, wake: int) -> None:
        self._wake = wake
        self.newest = Snapshot(at=time.time())
        self.shown = self.newest
        self.look = Look()
        self.history = History()
        self._sampled: object = None

    def tell(self, snapshot: Snapshot) -> None:
        """Take a snapshot; called by another thread."""
        self.newest = snapshot
        with suppress(OSError):
            os.write(self._wake, b".")

    def catch_up(self) -> None:
        """Show the newest, unless that is not wanted."""
        newest = self.newest
        if newest.hosts is not self._sampled:
            self._sampled = newest.hosts
            self.history.add(newest.hosts)
        if not self.look.paused:
            self.shown = newest
            self.look = seen.settled(newest, self.look)
        elif not _same_log(self.shown, seen.wanted_log(self.shown, self.look)):
            self.shown = replace(self.shown, log=newest.log)


def _same_log(shown: Snapshot, build: int | None) -> bool:
    return (None if shown.log is None else shown.log.build) == build


def run(connect: Callable[[], Client]) -> None:
    """Show it until `q` or Ctrl-C."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    os.set_blocking(reading, False)
    show = Show(writing)
    feed = Feed(connect, show.tell)
    console = output.console()
    try:
        with (
            _signals(writing),
            _keyboard() as keyboard,
            feed.running(),
            Live(console=console, screen=True, auto_refresh=False, transient=True) as live,
        ):
            while not show.look.over:
                show.catch_up()
                feed.want_log(seen.wanted_log(show.shown, show.look))
                live.update(_drawn(show, console.width, console.height), refresh=True)
                for key in _pressed(keyboard, reading):
                    page = max(1, console.height // 2)
                    show.look = seen.press(key, show.shown, show.look, page=page)
    except KeyboardInterrupt:
        pass
    finally:
        os.close(reading)
        os.close(writing)


def _drawn(show: Show, width: int, height: int) -> Text:
    now = show.shown.at if show.look.paused else time.time()
    lines = screen.draw(show.shown, show.look, show.history, width=width, height=height, now=now)
    return Text("\n", no_wrap=True, overflow="crop").join(lines)


def _pressed(keyboard: int | None, wake: int) -> list[str]:
    """Wait for keys, news or a tick; the keys."""
    sources = [wake] if keyboard is None else [wake, keyboard]
    ready, _, _ = select.select(sources, [], [], TICK)
    if wake in ready:
        with suppress(BlockingIOError):
            os.read(wake, 4096)
    if keyboard is None or keyboard not in ready:
        return []
    data = os.read(keyboard, 4096)
    if not data:
        raise KeyboardInterrupt  # the terminal is gone
    if data.endswith(b"\x1b") and select.select([keyboard], [], [], 0.05)[0]:
        data += os.read(keyboard, 4096)  # a sequence that came in two parts
    return list(keys.parse(data.decode(errors="ignore")))


@contextmanager
def _keyboard() -> Iterator[int | None]:
    """The keys one by one, not shown; None if stdin is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)
    try:
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@contextmanager
def _signals(wake: int) -> Iterator[None]:
    """A new size of the window draws anew; a wish to end ends as Ctrl-C does."""

    def resized(number: int, frame: FrameType | None) -> None:
        with suppress(OSError):
            os.write(wake, b".")

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {
        number: signal.signal(number, handler)
        for number, handler in (
            (signal.SIGWINCH, resized),
            (signal.SIGTERM, end),
            (signal.SIGHUP, end),
        )
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
