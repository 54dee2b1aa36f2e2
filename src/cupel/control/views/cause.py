"""Why builds did not pass, the error first: what the push, the CLI and the pages begin with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cupel.control.views import blame, results
from cupel.control.views.flake import known_flakes
from cupel.control.views.nouns.cause import CauseView, ErrorLine, FailingTest
from cupel.core import blame as blames
from cupel.core.model import Build, Buildset, Role, Verdict
from cupel.core.results import Result, one_line
from cupel.log.store import LogStore
from cupel.store.interface import Transaction

TESTS = 5
"""Failing tests that are shown at once."""

CAUSES = 3
"""Builds of an item whose errors are shown at once."""

_MESSAGE = 300
_OPERANDS = " + where "
"""What pytest goes on with, after what was asserted: where the values in it come from."""


def failed_step(build: Build) -> int | None:
    """The step that did not end well, as the log counts them; None if none was begun."""
    for number in reversed(range(len(build.steps))):
        if build.steps[number].exit_status != 0:
            return number
    return len(build.steps) - 1 if build.steps else None


async def causes(tx: Transaction, logs: LogStore, builds: Sequence[Build]) -> list[CauseView]:
    """Why these builds did not pass, in their order; those that are nobody's fault are left out."""
    found = await blame.findings(tx, builds)
    bad = [build for build in builds if build.id in found]
    return [await _cause(tx, logs, build, found[build.id]) for build in bad]


async def _cause(
    tx: Transaction, logs: LogStore, build: Build, finding: blames.Finding
) -> CauseView:
    in_short = (await results.in_short(tx, [build.id])).get(build.id)
    failing = await results.first_failing(tx, build.id, limit=TESTS)
    tests = [each for each in failing if each.is_failed]
    known = await known_flakes(tx, build.project_id, build.job, (each.digest for each in tests))
    lines = []
    if not tests or build.verdict is not Verdict.FAILURE:
        lines = await logs.excerpt(build.id, failed_step(build))
    if build.verdict is Verdict.INFRA:  # what was printed last has nothing to do with it
        lines = [line for line in lines if line.found]
    return CauseView(
        build=build.id,
        job=build.job,
        reason=build.reason,
        blame=blame.view(finding),
        tests=[_test(each, flaky=each.digest in known) for each in tests],
        failing=len(tests) if in_short is None else in_short.tally.bad,
        lines=[
            ErrorLine(number=line.number + 1, text=line.text, found=line.found, main=line.main)
            for line in lines
        ],
    )


def _test(result: Result, *, flaky: bool) -> FailingTest:
    message = result.message or result.text.strip().partition("\n")[0]
    message = message.partition(_OPERANDS)[0]
    return FailingTest(
        name=one_line(result.id, _MESSAGE),
        message=one_line(message, _MESSAGE),
        place=result.place,
        flaky=flaky,
    )


def to_tell(builds: Iterable[Build], states: Iterable[Buildset]) -> list[Build]:
    """Of an item's builds those whose causes are worth telling: the last failure of each job, on
    the newest state on which there is one; without any, what the infrastructure failed there."""
    for state in sorted(states, key=lambda state: state.id, reverse=True):
        if state.role is Role.BASE:
            continue
        tried = [b for b in builds if b.buildset_id == state.id and b.verdict in blames.BAD]
        passed = {b.job for b in builds if b.buildset_id == state.id and _passed(b)}
        bad = [b for b in tried if b.job not in passed]
        bad = [b for b in bad if b.verdict in blames.FAILED] or bad
        if bad:
            last = {build.job: build for build in sorted(bad, key=lambda build: build.id)}
            voting = sorted(last.values(), key=lambda build: (not build.voting, build.id))
            return voting[:CAUSES]
    return []


def _passed(build: Build) -> bool:
    return build.verdict is Verdict.SUCCESS
