"""Loggers that load what they need with their first line."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import logging, sys
from cupel import logger
log = logger.of("test")
logger.later(logging.ERROR)
log.info("never", about="this")
log.warning("never", about="this")
assert "structlog" not in sys.modules
log.error("it broke", about="that")
assert "structlog" in sys.modules
"""


def test_what_is_not_logged_loads_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "it broke" in done.stderr
    assert "about=that" in done.stderr
    assert "never" not in done.stderr
