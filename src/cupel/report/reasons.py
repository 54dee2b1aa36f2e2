"""How what a queue believes is said. Chances are in words and whole percents."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cupel.core.explain import Aside, Failure, Pending, Possible, Proved

ASIDE: Mapping[Aside, str] = {
    Aside.SUSPECT: "it is likely to be bad; those behind it are proved without it",
    Aside.HALF: "a set with it failed and nobody in it stands out; it is in the later half, which"
    " is left out to see which half it is",
    Aside.CANNOT: "its state can never pass; those behind it are proved without it",
    Aside.NEEDS: "a change that it needs is set aside",
}

PENDING: Mapping[Pending, str] = {
    Pending.STATE: "waits for its state to be made",
    Pending.MACHINE: "waits for a machine",
}

_SLIGHT, _MUCH = 0.5, 1.5
_NOTHING = 0.05
"""Log-odds below which a factor makes no difference that can be seen."""


def percent(chance: float) -> str:
    """A chance: `under 1 %`, `12 %`, `over 99 %`."""
    if chance < 0.01:
        return "under 1 %"
    return "over 99 %" if chance > 0.99 else f"{100 * chance:.0f} %"


def numbers(changes: Sequence[int]) -> str:
    """Changes as they are named everywhere: `#1 #2`."""
    return " ".join(f"#{number}" for number in changes)


_FULL = 6
"""So many changes of a state are all named; of more only the outer ones."""


def state(changes: Sequence[int], branch: str) -> str:
    """A state by the changes on top of the branch: `main + #1 + #2`."""
    shown = [f"#{number}" for number in changes]
    if len(shown) > _FULL:
        shown = [*shown[:2], f"{len(shown) - 4} more", *shown[-2:]]
    return " + ".join([branch, *shown])


def expected(on: Sequence[int] | None, branch: str) -> str:
    """On what a change is thought to land."""
    if on is None:
        return "what it will land on is not clear yet"
    return f"expected on {state(on, branch)}"


def chance(now: float, began: float) -> str:
    """How likely a change is to be bad, and what that has come from."""
    return f"bad: {percent(now)}; before anything ran: {percent(began)}"


def is_noteworthy(odds: float) -> bool:
    """Whether something known of a change makes a difference to speak of."""
    return abs(odds) >= _SLIGHT


def usual(odds: float) -> str:
    """What a change of the project is taken to be, before anything is known of it."""
    return f"{percent(1 / (1 + math.exp(-odds)))} of the project's changes are bad"


def factor(name: str, odds: float) -> str:
    """Something known of a change, and what it says."""
    if abs(odds) < _NOTHING:
        return f"{name}: says nothing"
    strength = "a little " if abs(odds) < _SLIGHT else "much " if abs(odds) > _MUCH else ""
    return f"{name}: {strength}{'likelier' if odds > 0 else 'less likely'} to be bad"


def possible(state: Possible, ahead: Sequence[int]) -> str:
    """When a state of the branch is the one that is needed."""
    own = numbers(state.own)
    missing = [number for number in ahead if number not in state.changes]
    if state.expected:
        return f"where {own} is expected to land"
    if missing:
        return f"in case {numbers(missing)} {'leaves' if len(missing) == 1 else 'leave'}"
    return "in case all ahead of it land"


def times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def failure(failed: Failure) -> str:
    """A failure and whose it may be."""
    said = f"{failed.job} failed {times(failed.times)} with {numbers(failed.changes)}"
    if failed.flake is None:
        return said
    return f"{said}; nobody's fault: {percent(failed.flake)}"


def proved(found: Proved, *, closed: str | None, landing: bool) -> str:
    """What keeps changes that are proved from landing, first of all."""
    if found.needs:
        return f"waits for what it needs: {numbers(found.needs)}"
    if found.first:
        return f"waits for its turn, after {numbers(found.first)}"
    if closed is not None:
        return f"the tree is closed: {closed}"
    return "lands after what is landing" if landing else "lands now"
