"""Whether a system that was booted has passed, as its console and its end tell. No I/O."""

from __future__ import annotations

import re

from cupel.host.messages import BootSpec
from cupel.host.providers.interface import Ending, How

_LONGEST = 4096
"""Bytes of a line that are looked at: the last ones."""
_SHOWN = 200
_ENDS = re.compile(rb"[\r\n]")
_ESCAPES = re.compile(rb"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|[@-Z\\^_c-z]|[()][0-9A-B])")


class Watch:
    """Reads what comes over a console. `failed` says why it has failed, once that is sure."""

    def __init__(self, rule: BootSpec) -> None:
        self._rule = rule
        self._missing = list(rule.expect)
        self._line = b""
        self._is_quoting = False
        self.failed: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing that is still to come could alter the verdict."""
        return self.failed is not None or (self._is_complete and not self._must_end)

    @property
    def _is_complete(self) -> bool:
        return not self._missing

    @property
    def _must_end(self) -> bool:
        return self._rule.off or self._rule.exit is not None

    def feed(self, data: bytes) -> None:
        *lines, self._line = _ENDS.split(self._line + data)
        self._line = self._line[-_LONGEST:]
        if self._is_quoting:
            self._quote((lines or [self._line])[0])
            self._is_quoting = not lines
        for line in lines:
            self._look(line[-_LONGEST:])
        if not self.is_over:
            self._look(self._line)
            self._is_quoting = self.failed is not None

    def _look(self, raw: bytes) -> None:
        if self.is_over:  # what came together is judged as if it had come in turn
            return
        line = _plain(raw)
        self._missing = [text for text in self._missing if not holds(line, text)]
        if any(holds(line, text) for text in self._rule.fail):
            self._quote(raw)

    def _quote(self, raw: bytes) -> None:
        self.failed = f"the console said: {_plain(raw).strip()[-_SHOWN:]}"

    def end(self, ending: Ending) -> None:
        """The system has ended; from now on it is over."""
        if self.failed is not None:
            return
        if not self._is_right(ending):
            self.failed = f"the system {ending.text}"
        elif self._missing:
            self.failed = f"the system {ending.text} before its console said: {self._missing[0]}"

    def _is_right(self, ending: Ending) -> bool:
        if self._rule.exit is not None:
            return ending.how is How.EXIT and ending.number == self._rule.exit
        if self._rule.off:
            return ending.how is How.OFF
        return not self._must_end and ending.how in (How.OFF, How.EXIT, How.RESTART)


def _plain(line: bytes) -> str:
    return _ESCAPES.sub(b"", line).decode(errors="replace")


def holds(line: str, text: str) -> bool:
    """Whether a line has the text in it, in which `*` stands for anything.

    No regular expressions: whoever proposes a change writes the text, and the host matches it.
    """
    at = 0
    for part in text.split("*"):
        found = line.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return True
