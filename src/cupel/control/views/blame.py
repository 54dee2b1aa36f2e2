"""Whose fault builds are: what `core.blame` reads, in a fixed number of batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cupel.control.views import lookup, results
from cupel.control.views.nouns.cause import BlameView, ProofText
from cupel.core import blame
from cupel.core.blame import Finding, Known
from cupel.core.flake import Flake
from cupel.core.model import Build, Buildset, BuildState, Item, ItemState, Role
from cupel.core.results import FailedTest
from cupel.report import blame as words
from cupel.store.interface import Transaction

_PROOFS = 3
"""Tests of which is shown what proves that they are flaky."""

_MOST = 500
"""Builds of the same question that are looked at, the newest: a pass is reused without an end."""


async def findings(tx: Transaction, builds: Iterable[Build]) -> dict[int, Finding]:
    """By id of those builds that are somebody's fault, whose, as the rows are now."""
    bad = [b for b in builds if b.state is BuildState.FINISHED and b.verdict in blame.BAD]
    if not bad:
        return {}
    items = await lookup.by_id(tx, Item, (build.item_id for build in bad))
    states = await lookup.by_id(tx, Buildset, (build.buildset_id for build in bad))
    beneath = {state.onto for state in states.values()} - {None}
    for state in await tx.select(Buildset, {"commit": beneath}) if beneath else []:
        states[state.id] = state
    others = await _others(tx, bad, items, [s.id for s in states.values() if s.commit in beneath])
    states |= await lookup.by_id(tx, Buildset, {b.buildset_id for b in others} - set(states))
    ahead = await _ahead(tx, [state for state in states.values() if state.commit in beneath])
    flakes = await _flakes(tx, bad)
    found: dict[int, Finding] = {}
    for build in bad:
        finding = blame.find(
            Known(
                build=build,
                state=states[build.buildset_id],
                item=items[build.item_id],
                others=[
                    other
                    for other in others
                    if (other.project_id, other.job) == (build.project_id, build.job)
                    and other.id != build.id
                ],
                states=states,
                ahead=ahead,
                flakes=flakes.get(build.id, ()),
            )
        )
        if finding is not None:
            found[build.id] = finding
    return found


async def _ahead(tx: Transaction, beneath: Sequence[Buildset]) -> frozenset[int]:
    """The states that changes were merged with and that are of changes that had not landed."""
    items = await lookup.by_id(tx, Item, (state.item_id for state in beneath))
    return frozenset(
        state.id
        for state in beneath
        if state.role is Role.PROOF and items[state.item_id].state is not ItemState.LANDED
    )


async def _flakes(tx: Transaction, bad: Sequence[Build]) -> dict[int, tuple[int, ...]]:
    """By build of which every failed test is known to be flaky, what proves it of the first few."""
    in_short = await results.in_short(tx, (build.id for build in bad))
    failed = await tx.select(FailedTest, {"build_id": set(in_short)}) if in_short else []
    if not failed:
        return {}
    where = {
        "project_id": {row.project_id for row in failed},
        "job": {row.job for row in failed},
        "test": {row.test for row in failed},
    }
    known = {(row.project_id, row.job, row.test): row for row in await tx.select(Flake, where)}
    found: dict[int, tuple[int, ...]] = {}
    for number, of in in_short.items():
        tests = [row for row in failed if row.build_id == number and row.result.is_failed]
        flakes = [known.get((row.project_id, row.job, row.test)) for row in tests]
        if tests and len(tests) == of.tally.bad and None not in flakes:
            proofs = [proof for flake in flakes if flake for proof in flake.proofs[-1:]]
            pairs = [build for proof in proofs[:_PROOFS] for build in (proof.failed, proof.passed)]
            found[number] = tuple(dict.fromkeys(each for each in pairs if each != number))
    return found


async def _others(
    tx: Transaction, bad: Sequence[Build], items: dict[int, Item], beneath: Sequence[int]
) -> list[Build]:
    """Builds of the same items, of what these were merged with, and that asked the same.

    What was not seen here is no proof against what was: passes that were offered are left out.
    """
    jobs = {build.job for build in bad}
    rows = await tx.select(Build, {"item_id": set(items), "job": jobs})
    if beneath:
        rows += await tx.select(Build, {"buildset_id": set(beneath), "job": jobs})
    keys = {build.key for build in bad if build.key is not None}
    if keys:
        where = {"key": keys, "job": jobs, "reused_from": None}
        rows += await tx.select(Build, where, descending=True, limit=_MOST)
    convictions = [item.conviction for item in items.values() if item.conviction is not None]
    witnesses = {each.witness for each in convictions if each.witness is not None}
    rows += await tx.select(Build, {"id": witnesses}) if witnesses else []
    by_id = {row.id: row for row in rows if row.offer is None}
    return [by_id[number] for number in sorted(by_id)]


def view(finding: Finding) -> BlameView:
    return BlameView(
        blame=finding.blame,
        sure=finding.sure,
        text=words.words(finding),
        proofs=[
            ProofText(text=words.proof(each), builds=list(each.builds)) for each in finding.proofs
        ],
    )
