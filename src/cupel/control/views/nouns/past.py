"""What hosts and machines have been through."""

from __future__ import annotations

from cupel.control.views.nouns.event import EventView
from cupel.control.views.nouns.fleet import HostView, MachineView
from cupel.control.views.nouns.view import View
from cupel.core.model import MachineState, Verdict


class RateView(View):
    """That `count` of `builds` ended in some way: `part` of them. With so few or so many, the part
    of all builds like them lies between `low` and `high` in 95 of 100 cases."""

    count: int
    builds: int
    part: float
    low: float
    high: float


class HostBuildView(View):
    """A build that ended on a host, on its own machine."""

    id: int
    machine: int
    job: str
    project: str
    change: int | None
    verdict: Verdict
    reason: str | None
    started_at: float | None
    finished_at: float | None
    seconds: float | None


class HostPastView(View):
    """What a host has been through: its newest builds, how many of them it lost to infrastructure
    (`lost`) and how many failed or timed out by themselves (`failed`), the same of all others'
    newest builds, `verdict` on the difference in words, and its newest events.

    Builds that nobody could have saved are not counted: those that people deleted or went into,
    and those that a restart ended.
    """

    host: HostView
    builds: list[HostBuildView]
    lost: RateView | None
    failed: RateView | None
    lost_elsewhere: RateView | None
    failed_elsewhere: RateView | None
    verdict: str
    quarantined: int
    events: list[EventView]


class MachineStateView(View):
    """A state that a machine was in, from `at` on, for so many `seconds`, and why if that is known.

    The last one goes on, unless it is `gone`, which has no end.
    """

    state: MachineState
    at: float
    seconds: float | None
    why: str | None


class MachinePastView(View):
    """What a machine has been through: its states and events, oldest first."""

    machine: MachineView
    states: list[MachineStateView]
    events: list[EventView]
