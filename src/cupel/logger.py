"""Loggers of modules that every command loads: structlog is loaded with the first line, if any.

A server says where its lines go when it starts; a command that may never log says so for later.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(slots=True)
class _Settings:
    """`level` is that from which on lines are logged at all; `prepare` comes before the first."""

    level: int = logging.NOTSET
    prepare: Callable[[], None] | None = None


_settings = _Settings()


class Logger:
    """Logs events with values, by structlog."""

    def __init__(self, name: str) -> None:
        self._name = name

    def info(self, event: str, **values: Any) -> None:
        self._log(logging.INFO, event, values)

    def warning(self, event: str, **values: Any) -> None:
        self._log(logging.WARNING, event, values)

    def error(self, event: str, **values: Any) -> None:
        self._log(logging.ERROR, event, values)

    def _log(self, level: int, event: str, values: dict[str, Any]) -> None:
        if level < _settings.level:
            return
        import structlog

        if _settings.prepare is not None:
            prepare, _settings.prepare = _settings.prepare, None
            prepare()
        getattr(structlog.get_logger(self._name), _METHODS[level])(event, **values)


_METHODS = {logging.INFO: "info", logging.WARNING: "warning", logging.ERROR: "error"}


def of(name: str) -> Logger:
    return Logger(name)


def later(level: int) -> None:
    """Log from this level on, `plainly`, and load nothing for that before there is a line."""
    _settings.level = level
    _settings.prepare = lambda: plainly(level)


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
