"""Running again what somebody wants once more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cupel.core import events, retry
from cupel.core.actions import MakeMachine, PrepareState, RunBuild
from cupel.core.model import (
    Build,
    Buildset,
    Host,
    Item,
    ItemState,
    Job,
    MachineState,
    Pipeline,
    Purpose,
    Verdict,
)
from unit.core.making import Core, job

TESTS, LINT = job("tests"), job("lint")
PACKAGE = job("package", needs=("tests",))


def ask(item: Item, job: str | None = None, *, everything: bool = False) -> events.RetryAsked:
    return events.RetryAsked(item_id=item.id, job=job, everything=everything, user="ada")


def end(core: Core, **verdicts: Verdict) -> None:
    """Let what is to run end: as said by job, or well."""
    for action in core.runs():
        core.begin(action.machine.id)
        core.now += 100.0
        core.finish(action.machine.id, verdicts.get(action.job.name, Verdict.SUCCESS))
    core.step()


def checked(*jobs: Job, **verdicts: Verdict) -> Core:
    """A change whose check has ended that way."""
    core = Core(slots=8)
    core.push(7)
    core.prepare(*jobs)
    until_ended(core, **verdicts)
    return core


def until_ended(core: Core, **verdicts: Verdict) -> None:
    for _ in range(10):
        if core.item(7, Pipeline.CHECK).state is ItemState.LIVE:
            core.now += 10_000.0  # whatever a host that failed something has to wait
            end(core, **verdicts)
    assert core.item(7, Pipeline.CHECK).state is not ItemState.LIVE


def tried(core: Core) -> list[tuple[str, int, str, str]]:
    return [
        (each.job, each.attempt, str(each.verdict or each.state), str(each.purpose))
        for each in core.builds()
    ]


def refused(core: Core, fact: events.RetryAsked) -> str | None:
    found = retry.refusal(core.draft(), fact)
    return None if found is None else found.text


FAILED = {"tests": Verdict.FAILURE}


def test_only_what_failed_runs_again_on_the_same_state_with_the_same_jobs() -> None:
    core = checked(TESTS, LINT, **FAILED)
    before = core.item(7, Pipeline.CHECK)
    state = core.draft().get(Buildset, before.buildset_id)
    assert before.state is ItemState.REJECTED
    core.hear(ask(before))
    assert [each for each in core.step() if isinstance(each, PrepareState)]
    core.prepare(job("tests", timeout=1.0))
    end(core)
    after = core.item(7, Pipeline.CHECK)
    assert (after.id, after.state) == (before.id, ItemState.PASSED)
    now = core.draft().get(Buildset, before.buildset_id)
    assert (now.jobs, now.onto) == (state.jobs, state.onto)
    assert tried(core) == [
        ("tests", 1, "failure", "first"),
        ("lint", 1, "success", "first"),
        ("tests", 2, "success", "asked"),
    ]


def test_what_fails_again_is_rejected_again_and_may_be_wanted_once_more() -> None:
    core = checked(TESTS, **FAILED)
    for attempt in (2, 3):
        core.hear(ask(core.item(7, Pipeline.CHECK)))
        core.prepare()
        end(core, **FAILED)
        assert core.item(7, Pipeline.CHECK).state is ItemState.REJECTED
        assert len(core.builds()) == attempt


def test_with_everything_what_passed_runs_too_and_what_it_says_counts() -> None:
    core = checked(TESTS, LINT)
    core.hear(ask(core.item(7, Pipeline.CHECK), everything=True))
    core.prepare()
    end(core, lint=Verdict.FAILURE)
    assert core.item(7, Pipeline.CHECK).state is ItemState.REJECTED
    assert [each[1:] for each in tried(core)[2:]] == [
        (2, "success", "asked"),
        (2, "failure", "asked"),
    ]


def test_what_was_skipped_comes_along_once_what_it_needs_has_passed() -> None:
    core = checked(TESTS, PACKAGE, **FAILED)
    core.hear(ask(core.item(7, Pipeline.CHECK), "tests"))
    core.prepare()
    end(core)
    end(core)
    assert [each[:3] for each in tried(core)] == [
        ("tests", 1, "failure"),
        ("package", 1, "skipped"),
        ("tests", 2, "success"),
        ("package", 2, "success"),
    ]
    assert core.item(7, Pipeline.CHECK).state is ItemState.PASSED


def test_a_job_may_be_wanted_while_others_still_run() -> None:
    core = Core()
    core.push(7)
    core.prepare(TESTS, LINT)
    first, other = sorted(core.runs(), key=lambda each: each.build.id)
    core.finish(first.machine.id, Verdict.FAILURE)
    core.step()
    assert refused(core, ask(core.item(7, Pipeline.CHECK), "lint")) is not None
    core.hear(ask(core.item(7, Pipeline.CHECK)))
    again = [each for each in core.runs() if each.machine.id != other.machine.id]
    assert [each.job.name for each in again] == ["tests"]
    core.finish(other.machine.id)
    assert core.item(7, Pipeline.CHECK).state is ItemState.LIVE
    core.finish(again[0].machine.id)
    core.step()
    assert core.item(7, Pipeline.CHECK).state is ItemState.PASSED


def test_infrastructure_has_all_its_attempts_again() -> None:
    core = checked(TESTS, tests=Verdict.INFRA)
    spent = len(core.builds())
    core.hear(ask(core.item(7, Pipeline.CHECK)))
    core.prepare()
    until_ended(core, tests=Verdict.INFRA)
    assert len(core.builds()) == 2 * spent


def test_what_left_the_gate_enters_it_again_with_the_same_patch_set() -> None:
    core = Core()
    core.push(7, land=True)
    core.prepare(TESTS)
    core.hear(events.DequeueAsked(change_id=7, user="ada"))
    core.step()
    left = core.item(7)
    assert left.state is ItemState.REMOVED
    core.hear(ask(left))
    core.step()
    again = core.item(7)
    assert (again.state, again.patch_set, again.commit) == (ItemState.LIVE, 1, left.commit)
    assert again.id != left.id


def passed(core: Core) -> list[Build]:
    return [each for each in core.builds() if each.verdict is Verdict.SUCCESS]


@pytest.mark.parametrize("everything", [False, True])
def test_everything_in_the_gate_reuses_nothing(everything: bool) -> None:
    core = Core()
    core.push(7, land=True)
    core.prepare(TESTS, LINT)
    _with_keys(core)
    one = next(each for each in core.runs() if each.job.name == "tests")
    core.finish(one.machine.id)
    core.hear(events.DequeueAsked(change_id=7, user="ada"))
    core.step()
    core.hear(ask(core.item(7), everything=everything))
    core.prepare(TESTS, LINT)
    _with_keys(core)
    core.runs()
    reused = [each.job for each in core.builds() if each.reused_from is not None]
    assert reused == ([] if everything else ["tests"])


def _with_keys(core: Core) -> None:
    """The jobs of each state depend on nothing but themselves."""
    for state in core.draft().all(Buildset):
        keys = tuple((each.name, each.name) for each in state.jobs)
        core.rows[Buildset, state.id] = replace(state, keys=keys)


def test_what_is_not_run_again_says_why() -> None:
    core = checked(TESTS)
    item = core.item(7, Pipeline.CHECK)
    assert refused(core, ask(item)) == "none of its jobs has failed"
    core.hear(ask(item))
    assert core.item(7, Pipeline.CHECK) == item
    assert refused(core, ask(item, "tests")) is None
    core.push(7, number=2)
    assert refused(core, ask(item, everything=True)) == "change 7 is at patch set 2, not 1"
    core.hear(events.Abandoned(change_id=7, user="ada"))
    assert refused(core, ask(item, everything=True)) == "change 7 is abandoned"


def test_what_is_asked_for_never_takes_the_pass_of_another() -> None:
    core = checked(TESTS)
    core.hear(ask(core.item(7, Pipeline.CHECK), "tests"))
    core.prepare()
    (run,) = core.runs()
    assert run.build.purpose is Purpose.ASKED


def test_a_state_that_comes_out_differently_is_not_proved() -> None:
    core = checked(TESTS, **FAILED)
    item = core.item(7, Pipeline.CHECK)
    core.hear(ask(item))
    assert item.buildset_id is not None
    core.hear(
        events.StatePrepared(
            buildset_id=item.buildset_id, commit="other", tree="other", jobs=(), notice=None
        )
    )
    core.step()
    assert core.item(7, Pipeline.CHECK).detail == "the state cannot be made again as it was"


def rolled(core: Core, image: str) -> None:
    """The label has another image from now on."""
    core.hear(events.HostSeen(name="host", images=(("debian-12", image),)))


def test_it_runs_on_the_image_that_it_had_whatever_its_label_has_by_now() -> None:
    core = checked(TESTS, **FAILED)
    rolled(core, "sha256:new")
    fact = ask(core.item(7, Pipeline.CHECK))
    assert retry.images(core.draft(), fact) == {"sha256:image": core.builds()[0].id}
    core.hear(fact)
    core.prepare()
    [made] = [each for each in core.step() if isinstance(each, MakeMachine)]
    assert made.machine.pinned == "sha256:image"
    core.push(8)
    core.prepare()
    other = [each for each in core.step() if isinstance(each, MakeMachine)]
    assert [each.machine.pinned for each in other if each != made] == [""]
    core.ready(made.machine.id)
    [run] = [each for each in core.step() if isinstance(each, RunBuild)]
    assert (run.machine.image, run.build.purpose) == ("sha256:image", Purpose.ASKED)
    assert dict(core.draft().all(Host)[0].images) == {"debian-12": "sha256:new"}


def test_a_machine_of_an_old_image_is_for_nobody_else() -> None:
    core = checked(TESTS, **FAILED)
    rolled(core, "sha256:new")
    core.hear(ask(core.item(7, Pipeline.CHECK)))
    core.prepare()
    [made] = [each for each in core.step() if isinstance(each, MakeMachine)]
    core.hear(events.Abandoned(change_id=7, user="ada"))
    core.step()
    core.push(8)
    core.prepare()
    core.step()
    core.ready(made.machine.id)
    core.step()
    assert core.machine(made.machine.id).state is MachineState.DELETING


def test_where_the_label_has_the_same_image_any_machine_of_it_will_do() -> None:
    core = checked(TESTS, **FAILED)
    fact = ask(core.item(7, Pipeline.CHECK))
    assert retry.images(core.draft(), fact) == {}
    core.hear(fact)
    core.prepare()
    [made] = [each for each in core.step() if isinstance(each, MakeMachine)]
    assert made.machine.pinned == ""


def test_an_image_that_cannot_be_had_ends_the_retry_and_is_held_against_no_host() -> None:
    core = checked(TESTS, **FAILED)
    rolled(core, "sha256:new")
    core.hear(ask(core.item(7, Pipeline.CHECK)))
    core.prepare()
    for _ in range(3):
        [made] = [each for each in core.step() if isinstance(each, MakeMachine)]
        core.hear(events.MachineFailed(machine_id=made.machine.id, reason="it is not here"))
        core.step()
        core.hear(events.MachineGone(machine_id=made.machine.id))
    core.step()
    item = core.item(7, Pipeline.CHECK)
    assert (item.state, str(item.reason)) == (ItemState.REJECTED, "infrastructure")
    assert "the image sha256:image: it is not here" in str(item.detail)
    [host] = core.draft().all(Host)
    assert (host.strikes, host.failures) == (0, ())
