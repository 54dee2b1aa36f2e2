"""The one place that asks what time it is."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], float]
"""Seconds since the epoch, UTC."""


def now() -> float:
    return time.time()
