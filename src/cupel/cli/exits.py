"""What the exit codes of every command mean; the one place that says it."""

from __future__ import annotations

import enum


class Exit(enum.IntEnum):
    """The numbers are `cupel.errors`' too."""

    OK = 0
    NEGATIVE = 1
    USER = 2
    INFRASTRUCTURE = 3
    BUG = 4
    INTERRUPTED = 130


MEANING = {
    Exit.OK: "done, and the answer is good",
    Exit.NEGATIVE: "done, and the answer is not good: a build failed, a thing is missing",
    Exit.USER: "not done: what was asked or configured cannot be used",
    Exit.INFRASTRUCTURE: "not done: a server, network, disk or tool failed; trying again may help",
    Exit.BUG: "not done: a bug in Cupel",
    Exit.INTERRUPTED: "stopped by Ctrl-C",
}

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:3} {MEANING[code]}" for code in Exit)
