"""Zuul's dependent pipeline: nearest non-failing item, with a window that follows success.

Source: Zuul's documentation, "Project Gating" and the pipeline attributes `window` (20),
`window-floor` (3), `window-increase-factor` (1, linear) and `window-decrease-factor` (2,
exponential): each landing widens the window by one, each rejection halves it. The algorithm itself
is the gate's own `Optimistic`.
"""

from __future__ import annotations

from cupel.core.speculation.belief import Beliefs
from cupel.core.speculation.lattice import Lattice
from cupel.core.speculation.optimistic import Optimistic
from cupel.core.speculation.policy import Plan

WINDOW, FLOOR = 20, 3


class Zuul:
    """What has landed or left is seen in the lattice, from one plan to the next."""

    def __init__(self, *, reruns: int) -> None:
        self._inner = Optimistic(window=WINDOW, reruns=reruns)
        self._known: dict[int, int] = {}
        """Of each entry of the last plan, its id → its bit."""

    @property
    def window(self) -> int:
        return self._inner.window or FLOOR

    def plan(
        self, lattice: Lattice, beliefs: Beliefs, *, now: float, machines: int, landing_set: bool
    ) -> Plan:
        """As the inner policy's, within the window as it is by now."""
        present = {entry.id: entry.bit for entry in lattice.entries}
        for number, bit in self._known.items():
            if number not in present:
                self._leave(landed=bool(bit & lattice.landed))
        self._known = present
        return self._inner.plan(
            lattice, beliefs, now=now, machines=machines, landing_set=landing_set
        )

    def _leave(self, *, landed: bool) -> None:
        window = self.window
        self._inner.window = window + 1 if landed else max(FLOOR, window // 2)
