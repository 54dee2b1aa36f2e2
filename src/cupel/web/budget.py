"""So much a second and no more, with something put by for when it is quiet. Pure."""

from __future__ import annotations

ROUNDING = 1e-6
"""What is left after exactly the time to wait may be so little short of it."""


class Budget:
    """`rate` comes in each second, up to `burst`; spending may leave a debt."""

    def __init__(self, *, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = float("-inf")

    def left(self, now: float) -> float:
        if now > self._at:
            self._left = min(self._burst, self._left + self._rate * (now - self._at))
            self._at = now
        return self._left

    def spend(self, amount: float, now: float) -> None:
        self._left = self.left(now) - amount

    def has(self, amount: float, now: float) -> bool:
        return self.left(now) >= amount - ROUNDING

    def wait(self, amount: float, now: float) -> float:
        """Seconds until it has so much, which is no more than `burst`."""
        return 0.0 if self.has(amount, now) else (amount - self.left(now)) / self._rate
