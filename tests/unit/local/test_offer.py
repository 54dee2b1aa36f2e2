"""What of a run is offered to a server, and what is told of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from cupel.core.key import combine
from cupel.errors import Conflict, Forbidden, InfraError, UserError
from cupel.git import inputs
from cupel.git.snapshot import Snapshot
from cupel.local import events, offer
from cupel.local.build import Result
from cupel.local.offer import Offer
from unit.core.making import job

STATE = Snapshot(repo=Path("repo.git"), commit="c" * 40, tree="t" * 40, dirty=False)
TESTS, LINT = job("tests"), job("lint")


class Taker:
    """A server that refuses what is named, and counts its builds."""

    def __init__(self, **refused: Exception) -> None:
        self.refused = refused
        self.offers: list[Offer] = []

    async def __call__(self, given: Offer) -> int | None:
        if given.job in self.refused:
            raise self.refused[given.job]
        self.offers.append(given)
        return None if given.images is None else 7


def wanted(taker: Taker, *jobs: Any) -> tuple[list[str], list[events.Event]]:
    told: list[events.Event] = []
    made = asyncio.run(offer.wanted("app", STATE, jobs, taker, told.append))
    return [each.name for each in made], told


def passed(
    monkeypatch: pytest.MonkeyPatch, taker: Taker, *results: tuple[Any, Result]
) -> list[events.Event]:
    async def keys(repo: Path, commit: str, jobs: Any) -> Any:
        return [(each.name, f"k-{each.name}") for each in jobs]

    monkeypatch.setattr(inputs, "keys", keys)
    told: list[events.Event] = []
    jobs = [each for each, _ in results]
    made = {each.name: result for each, result in results}
    asyncio.run(offer.passed("app", STATE, jobs, made, taker, told.append))
    return told


def test_jobs_are_asked_for_before_they_run_and_what_is_refused_is_told() -> None:
    taker = Taker(lint=Conflict("never", hint="really"))
    names, told = wanted(taker, TESTS, LINT)
    assert names == ["tests"]
    assert told == [events.Offered(job="lint", build=None, reason="never; really")]
    assert [(each.job, each.images) for each in taker.offers] == [("tests", None)]


def test_where_nothing_would_be_taken_nothing_is_run() -> None:
    with pytest.raises(UserError, match="no pass of these jobs"):
        wanted(Taker(tests=Conflict("no"), lint=Conflict("no")), TESTS, LINT)
    with pytest.raises(Forbidden, match="takes none"):
        wanted(Taker(tests=Forbidden("takes none")), TESTS, LINT)
    assert wanted(Taker()) == ([], [])


def test_a_pass_is_offered_with_its_images_and_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    taker = Taker()
    result = Result(number=1, verdict="success", images=("sha256:i",), seconds=2.5)
    failed = Result(number=2, verdict="failure", images=("sha256:i",))
    told = passed(monkeypatch, taker, (TESTS, result), (LINT, failed))
    assert told == [events.Offered(job="tests", build=7, reason=None)]
    (given,) = taker.offers
    assert (given.project, given.commit, given.images) == ("app", "c" * 40, ("sha256:i",))
    assert (given.key, given.seconds) == (combine("k-tests", "sha256:i", ()), 2.5)


def test_a_server_that_is_away_by_then_fails_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    result = Result(number=1, verdict="success", images=("sha256:i",))
    told = passed(monkeypatch, Taker(tests=InfraError("no Cupel answers")), (TESTS, result))
    assert told == [events.Offered(job="tests", build=None, reason="no Cupel answers")]


def test_what_is_not_committed_can_be_known_to_no_server() -> None:
    dirty = Snapshot(repo=STATE.repo, commit=STATE.commit, tree=STATE.tree, dirty=True)
    with pytest.raises(UserError, match="not committed"):
        offer.check(dirty)
    offer.check(STATE)
