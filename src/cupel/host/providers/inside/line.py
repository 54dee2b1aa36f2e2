"""What a line between two machines does to a frame: when it arrives, if it does."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

QUEUE = 0.5
"""Seconds of frames that wait for a slow line; more are dropped, as by a router."""


@dataclasses.dataclass(slots=True, kw_only=True)
class Line:
    """One direction. `delay` in seconds, `loss` from 0 to 1, `rate` in bits per second.

    `free` is when the last frame will have been sent, at the line's rate.
    """

    delay: float = 0.0
    loss: float = 0.0
    rate: float | None = None
    cut: bool = False
    free: float = 0.0

    @property
    def is_perfect(self) -> bool:
        return not (self.delay or self.loss or self.rate or self.cut)

    def arrival(self, now: float, size: int, chance: Callable[[], float]) -> float | None:
        """When a frame of `size` bytes that is sent now arrives; None: it is lost.

        `chance` gives numbers from 0 on below 1.
        """
        if self.cut or (self.loss and chance() < self.loss):
            return None
        if self.rate is None:
            return now + self.delay
        begin = max(now, self.free)
        if begin - now > QUEUE:
            return None
        self.free = begin + size * 8 / self.rate
        return self.free + self.delay
