"""Loggers of modules that every command loads: structlog is loaded with the first line, if any.

A server says where its lines go when it starts; a command that may never log says so for later.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Any

_preparations: list[Callable[[], None]] = []
"""What is still to be done before the first line."""


class Logger:
    """Logs events with values, by structlog."""

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, event: str, **values: Any) -> None:
        self._log("info", event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._log("warning", event, values)

    def error(self, event: str, **values: Any) -> None:
        self._log("error", event, values)

    def _log(self, level: str, event: str, values: dict[str, Any]) -> None:
        import structlog

        while _preparations:
            _preparations.pop()()
        getattr(structlog.get_logger(self._name), level)(event, **values)


def of(name: str) -> Logger:
    return Logger(name)


def later(prepare: Callable[[], None]) -> None:
    """Have this done before the first line is logged."""
    _preparations.append(prepare)


def plainly(level: int = logging.INFO) -> None:
    """One line an event on stderr. Tracebacks come without local variables, which hold secrets."""
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(),
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
