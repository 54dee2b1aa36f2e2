"""How `cupel run` tells what happens: lines as they come, and below them what goes on right now."""

from __future__ import annotations

import codecs
import collections
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Protocol, assert_never

from cupel.cli import output, terminal
from cupel.core.results import Tally
from cupel.local import events

TICK = 0.2
"""Seconds between two looks of the progress line at the clock."""

WIDEST = 64 << 10
"""Bytes of a line after which the rest is shown on a line of its own."""

_WORDS = {"success": "passed", "failure": "failed", "timeout": "took too long", "infra": "was lost"}
_NAMES = {
    events.Begun: "begun",
    events.Passed: "job.passed_over",
    events.Told: "told",
    events.Stands: "machine.ready",
    events.StepBegun: "step.begun",
    events.Printed: "printed",
    events.StepEnded: "step.ended",
    events.Ended: "job.ended",
    events.Offered: "job.offered",
}
"""What events are called in JSON."""


class Shown(Protocol):
    def show(self, event: events.Event) -> None: ...
    def close(self) -> None: ...


class Audience:
    """Shows events until nobody can be told any more: then the run is asked to stop, in order.

    `error` is why. What is written after that goes nowhere.
    """

    def __init__(self, shown: Shown) -> None:
        self.error: OSError | None = None
        self._shown = shown

    def show(self, event: events.Event) -> None:
        try:
            self._shown.show(event)
        except OSError as error:
            self._lose(error)
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                raise  # nothing runs yet that would have to be stopped
            os.kill(os.getpid(), signal.SIGTERM)

    def close(self) -> None:
        try:
            self._shown.close()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        self.error = self.error or error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def showing(*, as_json: bool) -> Iterator[Audience]:
    """Events as JSON, a line for each; else as lines, with a progress line on a terminal."""
    audience = Audience(Json() if as_json else Lines(live=output.is_terminal()))
    try:
        yield audience
    finally:
        audience.close()


class Json:
    """Each event as an object on a line of its own."""

    def __init__(self) -> None:
        self._decoders: collections.defaultdict[tuple[str, str, str], codecs.IncrementalDecoder] = (
            collections.defaultdict(lambda: codecs.getincrementaldecoder("utf-8")("replace"))
        )
        """By job, part and stream: a character may come in two pieces."""

    def _text(self, event: events.Printed) -> str:
        return self._decoders[event.job, event.part, event.stream].decode(event.data)

    def show(self, event: events.Event) -> None:
        told: dict[str, object] = {"event": _NAMES[type(event)]}
        for field in dataclasses.fields(event):
            value = getattr(event, field.name)
            told[field.name] = dataclasses.asdict(value) if isinstance(value, Tally) else value
        if isinstance(event, events.Printed):
            told["data"] = self._text(event)
        print(json.dumps(told, ensure_ascii=False), flush=True)

    def close(self) -> None:
        """Every line has gone out."""


@dataclasses.dataclass(slots=True)
class _Job:
    """A job that runs: what it does, since when, and what it has printed of a line."""

    begun: float
    doing: str = "waits for its machine"
    pending: dict[str, bytes] = dataclasses.field(default_factory=dict)


class Lines:
    """What jobs print, each line whole, with the job's name before it where there are several.

    `live`: a last line says what goes on; it is drawn anew whenever something is printed.
    """

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._prefixed = False
        self._running: dict[str, _Job] = {}
        self._ended: list[events.Ended] = []
        self._drawn = False
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True) if live else None
        if self._ticker is not None:
            self._ticker.start()

    def show(self, event: events.Event) -> None:
        with self._lock:
            self._show(event)
            self._draw()

    def close(self) -> None:
        """End with what became of all, where that is not said yet."""
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()
        with self._lock:
            self._erase()
            if len(self._ended) > 1:
                self._print("")
                for ended in self._ended:
                    self._print_ending(ended)
            elif self._ended:
                self._print_error(self._ended[0])
            sys.stdout.flush()

    def _show(self, event: events.Event) -> None:
        match event:
            case events.Begun():
                self._prefixed = len(event.jobs) > 1
                state = f"{event.commit[:12]}{', not committed yet' if event.dirty else ''}"
                jobs = ", ".join(event.jobs) or "nothing is left to run"
                self._print(f"{event.project} at {state}: {jobs}", "dim")
            case events.Passed():
                self._print(f"✓ {event.job} is not run: {event.reason}", "green")
            case events.Told():
                if event.job:
                    self._job(event.job).doing = event.text
                self._line(event.job, f"· {event.text}", "dim")
            case events.Stands():
                self._job(event.job).doing = "gets its files"
            case events.StepBegun():
                self._begin_step(event)
            case events.Printed():
                self._printed(event)
            case events.StepEnded():
                self._end_step(event)
            case events.Ended():
                self._end(event)
            case events.Offered():
                taken = f"is build {event.build} of the server by your word"
                said = taken if event.reason is None else f"is not offered: {event.reason}"
                self._print(f"· {event.job} {terminal.single(said)}", "dim")
            case _:
                assert_never(event)

    def _job(self, name: str) -> _Job:
        return self._running.setdefault(name, _Job(time.monotonic()))

    def _begin_step(self, event: events.StepBegun) -> None:
        of = f"{event.number}/{event.count} " if event.count > 1 else ""
        self._job(event.job).doing = f"{of}{event.name}"
        self._line(event.job, f"▶ {of}{terminal.single(event.name)}", "cyan")

    def _end_step(self, event: events.StepEnded) -> None:
        self._flush(event.job)
        job = self._job(event.job)
        job.doing = "leaves its files"
        if event.exit_status == 0:
            self._line(event.job, f"  {duration(event.seconds)}", "dim")

    def _end(self, event: events.Ended) -> None:
        self._flush(event.job)
        self._running.pop(event.job, None)
        self._ended.append(event)
        self._print(_ending(event), _style(event))
        if event.artefacts:
            self._line(event.job, f"· files that it left: {event.artefacts}", "dim")

    def _print_ending(self, ended: events.Ended) -> None:
        self._print(_ending(ended), _style(ended))
        self._print_error(ended)

    def _print_error(self, ended: events.Ended) -> None:
        for line in ended.error:
            self._print(f"  {terminal.plain(line)}")

    def _printed(self, event: events.Printed) -> None:
        job = self._job(event.job)
        of = f"{event.part}\0{event.stream}"
        *lines, rest = (job.pending.pop(of, b"") + event.data).split(b"\n")
        for line in lines:
            self._print_of(event.job, event.part, event.stream, line)
        if len(rest) > WIDEST:
            self._print_of(event.job, event.part, event.stream, rest)
        elif rest:
            job.pending[of] = rest

    def _flush(self, name: str) -> None:
        job = self._running.get(name)
        for of, rest in list(job.pending.items()) if job is not None else ():
            part, _, stream = of.partition("\0")
            self._print_of(name, part, stream, rest)
        if job is not None:
            job.pending.clear()

    def _print_of(self, job: str, part: str, stream: str, line: bytes) -> None:
        text = line.decode(errors="replace")
        text = terminal.coloured(text) if self._live else terminal.plain(text)
        before = f"{part}: " if part else ""
        self._line(job, f"{before}{text}", "dim" if stream == "cupel" else "")

    def _line(self, job: str, text: str, style: str = "") -> None:
        self._print(f"{terminal.single(job)} | {text}" if self._prefixed and job else text, style)

    def _print(self, text: str, style: str = "") -> None:
        self._erase()
        sys.stdout.write(f"{self._styled(text, style)}\n")
        if not self._live:
            sys.stdout.flush()

    def _styled(self, text: str, style: str) -> str:
        if not self._live or not style or output.is_monochrome():
            return text
        return f"{_CODES[style]}{text}\x1b[0m"

    def _tick(self) -> None:
        while not self._over.wait(TICK):
            with self._lock:
                self._draw()

    def _draw(self) -> None:
        if not self._live:
            return
        self._erase()
        if self._running:
            text = self._status()[: shutil.get_terminal_size().columns - 1]
            sys.stdout.write(self._styled(text, "dim"))
            self._drawn = True
        sys.stdout.flush()

    def _erase(self) -> None:
        if self._drawn:
            sys.stdout.write("\r\x1b[K")
            self._drawn = False

    def _status(self) -> str:
        """What goes on now; of a single job, what it has printed of a line."""
        now = time.monotonic()
        if len(self._running) == 1:
            name, job = next(iter(self._running.items()))
            for rest in job.pending.values():
                return terminal.plain(rest.decode(errors="replace"))
            doing = f"{terminal.single(name)}: {terminal.single(job.doing)}"
            return f"{doing}  {duration(now - job.begun)}"
        shown = (
            f"{terminal.single(name)} {duration(now - job.begun)}"
            for name, job in self._running.items()
        )
        return f"{len(self._running)} jobs run: {', '.join(shown)}"


_CODES = {
    "dim": "\x1b[2m",
    "green": "\x1b[32m",
    "red": "\x1b[31m",
    "magenta": "\x1b[35m",
    "cyan": "\x1b[36m",
}


def _style(ended: events.Ended) -> str:
    return output.STYLES.get(ended.verdict, ("·", "dim"))[1]


def _ending(ended: events.Ended) -> str:
    symbol = output.STYLES.get(ended.verdict, ("·", ""))[0]
    word = _WORDS.get(ended.verdict, f"was {ended.verdict}")
    took = f" in {duration(ended.seconds)}" if ended.seconds else ""
    tests = f" ({_tests(ended.tests)})" if ended.tests is not None else ""
    why = f": {terminal.plain(ended.reason)}" if ended.reason else ""
    votes = "" if ended.voting else " (does not vote)"
    return f"{symbol} {terminal.single(ended.job)}{votes} {word}{took}{tests}{why}"


def _tests(tally: Tally) -> str:
    from cupel.report import messages

    return messages.tests(tally)


def duration(seconds: float) -> str:
    """A time for people: tenths below a minute, then minutes and seconds."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60}:{int(seconds) % 60:02} min"
