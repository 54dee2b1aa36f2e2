"""The policies that can be compared, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from cupel.core.speculation.expected import ExpectedValue, Levers
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.optimistic import Optimistic
from cupel.core.speculation.policy import Policy
from cupel.simulate.queueing.peers import submitqueue
from cupel.simulate.queueing.peers.bors import Bors
from cupel.simulate.queueing.peers.github import GitHub, HeadGreen
from cupel.simulate.queueing.peers.submitqueue import SubmitQueue
from cupel.simulate.queueing.peers.zuul import Zuul
from cupel.simulate.queueing.verdicts import ByRules, Verdicts, simple

OURS = "expected-value"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A policy with what its gate does beside it; see `Gate`."""

    policy: Policy
    verdicts: Verdicts
    early: bool = True
    believes: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """`lands` is "strict" or "set" where the policy itself says so, None where the queue does.

    `make` is told whether the queue lands in sets.
    """

    name: str
    about: str
    lands: str | None
    make: Callable[[bool], Setup]

    def landing(self, *, landing_set: bool) -> str:
        return self.lands or ("set" if landing_set else "strict")


@dataclasses.dataclass(frozen=True, slots=True)
class _Peer:
    """An algorithm as published; `play` is told how often a job is run again before it counts."""

    about: str
    lands: str
    play: Callable[[int], tuple[Policy, Verdicts]]


def _zuul(reruns: int, *, window: int | None) -> tuple[Policy, Verdicts]:
    return Optimistic(window=window, reruns=reruns), simple(reruns)


def _bors(reruns: int, *, size: int | None) -> tuple[Policy, Verdicts]:
    both = Bors(size=size, reruns=reruns)
    return both, both


def _github(reruns: int, *, concurrency: int, head: bool = False) -> tuple[Policy, Verdicts]:
    verdicts = HeadGreen(reruns=reruns) if head else simple(reruns)
    return GitHub(concurrency=concurrency, reruns=reruns), verdicts


def _submitqueue(
    reruns: int, *, threshold: float = 0.0, bypass: bool = False
) -> tuple[Policy, Verdicts]:
    both = SubmitQueue(threshold=threshold, bypass=bypass, reruns=reruns)
    return both, both


_PEERS: Mapping[str, _Peer] = {
    "serial": _Peer("one change at a time", "strict", partial(_zuul, window=1)),
    "bors-8": _Peer(
        "bors-ng: batches of up to 8, halved on failure", "set", partial(_bors, size=8)
    ),
    "bors": _Peer(
        "bors-ng: batches of all that waits, halved on failure", "set", partial(_bors, size=None)
    ),
    "zuul-20": _Peer(
        "Zuul: nearest non-failing item, a window of 20 that grows and halves",
        "strict",
        lambda reruns: (Zuul(reruns=reruns), simple(reruns)),
    ),
    "zuul-unlimited": _Peer(
        "Zuul: nearest non-failing item, no window", "strict", partial(_zuul, window=None)
    ),
    "github": _Peer(
        "GitHub's merge queue: 5 builds at a time, all green",
        "strict",
        partial(_github, concurrency=5),
    ),
    "github-100": _Peer(
        "GitHub's merge queue: 100 builds at a time, all green",
        "strict",
        partial(_github, concurrency=100),
    ),
    "github-headgreen": _Peer(
        "GitHub's merge queue: 5 builds at a time, the last of a group green",
        "set",
        partial(_github, concurrency=5, head=True),
    ),
    "github-headgreen-100": _Peer(
        "GitHub's merge queue: 100 builds at a time, the last of a group green",
        "set",
        partial(_github, concurrency=100, head=True),
    ),
    "submitqueue-2019": _Peer(
        "Uber's SubmitQueue: the likeliest builds of the speculation tree", "strict", _submitqueue
    ),
    "submitqueue-2025": _Peer(
        "the same with a threshold, and bypassing large diffs",
        "strict",
        partial(_submitqueue, threshold=submitqueue.THRESHOLD, bypass=True),
    ),
}

_EDITIONS = (
    ("", "", 0, False),
    ("-retry", "; a failed job is run once more", 1, False),
    ("+", "; that, and failures are acted on as soon as they show", 1, True),
)

LEVERS_OFF: Mapping[str, float | bool] = {
    "aside": 1.0,
    "floor": 0.0,
    "alternates": 0,
    "sticky": 1.0,
}
"""The values of `Levers` that switch off those which are no flags."""


def _expected(levers: Levers | None = None, **other: bool) -> Callable[[bool], Setup]:
    def make(landing_set: bool) -> Setup:
        rules = Rules(landing_set=landing_set, overtaking=other.get("overtaking", True))
        return Setup(
            policy=ExpectedValue(levers),
            verdicts=ByRules(rules),
            early=other.get("early", True),
            believes=True,
        )

    return make


def _optimistic(landing_set: bool) -> Setup:
    return Setup(policy=Optimistic(), verdicts=simple(1, landing_set=landing_set))


def _played(peer: _Peer, reruns: int, early: bool) -> Callable[[bool], Setup]:
    def make(landing_set: bool) -> Setup:
        policy, verdicts = peer.play(reruns)
        return Setup(policy=policy, verdicts=verdicts, early=early)

    return make


def _own() -> Iterator[Contestant]:
    yield Contestant(
        name=OURS,
        about="Cupel's default: what is likeliest to be needed",
        lands=None,
        make=_expected(),
    )
    yield Contestant(
        name="optimistic",
        about="Cupel's classical gate: nearest non-failing item, one rerun, early failures",
        lands=None,
        make=_optimistic,
    )


def _peers() -> Iterator[Contestant]:
    for name, peer in _PEERS.items():
        for suffix, more, reruns, early in _EDITIONS:
            yield Contestant(
                name=f"{name}{suffix}",
                about=f"{peer.about}{more}",
                lands=peer.lands,
                make=_played(peer, reruns, early),
            )


def _ablated() -> Iterator[Contestant]:
    """The default policy, without one thing each."""
    for field in dataclasses.fields(Levers):
        off = LEVERS_OFF.get(field.name, False if field.default is True else None)
        if off is not None:
            change: dict[str, Any] = {field.name: off}
            levers = dataclasses.replace(Levers(), **change)
            yield _without(field.name.replace("_", "-"), _expected(levers))
    yield _without("overtaking", _expected(overtaking=False))
    yield _without("early-failures", _expected(early=False))


def _without(what: str, make: Callable[[bool], Setup]) -> Contestant:
    return Contestant(
        name=f"{OURS}-without-{what}",
        about=f"Cupel's default without {what.replace('-', ' ')}",
        lands=None,
        make=make,
    )


OWN: Mapping[str, Contestant] = {each.name: each for each in _own()}
PEERS: Mapping[str, Contestant] = {each.name: each for each in _peers()}
ABLATIONS: Mapping[str, Contestant] = {each.name: each for each in _ablated()}
ALL: Mapping[str, Contestant] = {**OWN, **PEERS, **ABLATIONS}
