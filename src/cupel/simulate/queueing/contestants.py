"""The policies that can be compared, by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cupel.core.speculation.expected import ExpectedValue, Levers
from cupel.core.speculation.judge import Rules
from cupel.core.speculation.optimistic import Optimistic
from cupel.core.speculation.policy import Policy
from cupel.simulate.queueing.peers import submitqueue
from cupel.simulate.queueing.peers.bors import Bors
from cupel.simulate.queueing.peers.github import GitHub, HeadGreen
from cupel.simulate.queueing.peers.submitqueue import Commutative, SubmitQueue
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
    """An algorithm as published; `policy` and `verdicts` are told how many reruns there are."""

    about: str
    lands: str
    policy: Callable[[int], Policy]
    verdicts: Callable[[int], Verdicts]


def _in_order(reruns: int) -> Verdicts:
    return simple(reruns)


def _in_sets(reruns: int) -> Verdicts:
    return simple(reruns, landing_set=True)


_PEERS: Mapping[str, _Peer] = {
    "serial": _Peer(
        "one change at a time", "strict", lambda n: Optimistic(window=1, reruns=n), _in_order
    ),
    "bors-8": _Peer(
        "bors-ng: batches of up to 8, halved on failure",
        "set",
        lambda n: Bors(size=8, reruns=n),
        _in_sets,
    ),
    "bors": _Peer(
        "bors-ng: batches of all that waits, halved on failure",
        "set",
        lambda n: Bors(size=None, reruns=n),
        _in_sets,
    ),
    "zuul-20": _Peer(
        "Zuul: nearest non-failing item, a window of 20 that grows and halves",
        "strict",
        lambda n: Zuul(reruns=n),
        _in_order,
    ),
    "zuul-unlimited": _Peer(
        "Zuul: nearest non-failing item, no window",
        "strict",
        lambda n: Optimistic(reruns=n),
        _in_order,
    ),
    "github": _Peer(
        "GitHub's merge queue: 5 builds at a time, all green",
        "strict",
        lambda n: GitHub(concurrency=5, reruns=n),
        _in_order,
    ),
    "github-100": _Peer(
        "GitHub's merge queue: 100 builds at a time, all green",
        "strict",
        lambda n: GitHub(concurrency=100, reruns=n),
        _in_order,
    ),
    "github-headgreen": _Peer(
        "GitHub's merge queue: 5 builds at a time, the last of a group green",
        "set",
        lambda n: GitHub(concurrency=5, reruns=n),
        lambda n: HeadGreen(reruns=n),
    ),
    "github-headgreen-100": _Peer(
        "GitHub's merge queue: 100 builds at a time, the last of a group green",
        "set",
        lambda n: GitHub(concurrency=100, reruns=n),
        lambda n: HeadGreen(reruns=n),
    ),
    "submitqueue-2019": _Peer(
        "Uber's SubmitQueue: the likeliest builds of the speculation tree",
        "strict",
        lambda n: SubmitQueue(threshold=0.0, reruns=n),
        lambda n: Commutative(reruns=n),
    ),
    "submitqueue-2025": _Peer(
        "the same with a threshold, and bypassing large diffs",
        "strict",
        lambda n: SubmitQueue(threshold=submitqueue.THRESHOLD, reruns=n),
        lambda n: Commutative(reruns=n, bypass=True),
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
        return Setup(policy=peer.policy(reruns), verdicts=peer.verdicts(reruns), early=early)

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
