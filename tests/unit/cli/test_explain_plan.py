from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from cupel.cli import explain_plan
from cupel.control import views
from cupel.core.model import BuildsetState, BuildState, Verdict
from unit.cli.calls import Command
from unit.control_views import world


def doubtful(cupel: Command) -> None:
    """The world, where the tests of #22 have failed once and #23 waits on #21 without it."""
    lint = world.build(224, 122, 22, world.LINT)
    failed = world.finished(world.build(223, 122, 22, world.TESTS, attempt=2), Verdict.FAILURE)
    asyncio.run(
        cupel.world.put(
            failed,
            replace(lint, state=BuildState.RUNNING, started_at=9_990.0, machine_id=1223),
            world.buildset(124, 23, world.sha(5122)),
            world.buildset(125, 23, world.sha(5121), number=2, state=BuildsetState.PREPARING,
                           commit=None, tree=None, jobs=()),
        )
    )  # fmt: skip


def test_the_plan_of_the_one_queue(cupel: Command) -> None:
    doubtful(cupel)
    said = cupel("explain-plan")
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == ("demo main: landing strict, planner expected-value, no window, 4 machines")
    assert "Changes, in order" in lines
    assert "  #22 Change 22" in lines
    assert "    expected on main + #21" in lines
    assert any("tests (python=3.12) failed once with #21 #22" in line for line in lines)
    assert any(line.startswith("    set aside: it is likely to be bad") for line in lines)
    assert "Wanted runs, most urgent first" in lines
    assert "    build 224, for 10 s" in lines
    assert max(map(len, lines)) <= explain_plan.WIDTH
    assert cupel("explain-plan").out == said.out


def test_what_is_proved_says_why_it_has_not_landed(cupel: Command) -> None:
    asyncio.run(cupel.world.put(world.queue(closed="a release", closed_by="ada")))
    lines = cupel("explain-plan", "demo", "--branch", "main").out.splitlines()
    assert "the tree is closed: a release" in lines
    assert "  #21: the tree is closed: a release" in lines


def test_the_plan_as_json(cupel: Command) -> None:
    doubtful(cupel)
    plan = views.PlanView.model_validate(json.loads(cupel("explain-plan", "--json").out))
    entries = {entry.changes[0]: entry for entry in plan.entries}
    assert entries[22].on == [21]
    assert entries[22].failures[0].doubted == [22]
    assert entries[22].aside == "suspect"
    assert entries[22].factors[0].text.endswith("of the project's changes are bad")
    rerun = next(want for want in plan.wants if want.rerun)
    assert (rerun.job, rerun.state) == ("tests (python=3.12)", [21, 22])


def test_a_queue_with_nothing_in_it(cupel: Command) -> None:
    said = cupel("explain-plan", "demo", "--branch", "stable")
    assert said.out.splitlines()[1:] == ["nothing waits to land"]


def test_an_unknown_queue_or_branch(cupel: Command) -> None:
    said = cupel("explain-plan", "nobody")
    assert (said.code, said.out) == (2, "")
    assert "there is no project or queue nobody" in said.err
    assert "no project of the queue demo has a guarded branch old" in (
        cupel("explain-plan", "demo", "--branch", "old").err
    )


def test_which_of_several_queues_has_to_be_said(cupel: Command) -> None:
    asyncio.run(cupel.world.put(world.queue(2, "other")))
    said = cupel("explain-plan")
    assert (said.code, said.err) == (2, "cupel: which queue?\n  there is demo, other\n")
