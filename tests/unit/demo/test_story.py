"""What the demo's second act is told to have been, and what it is made of."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cupel.control.views import AttemptView, BuildsetView, ChangeView, HistoryView, ItemView
from cupel.core.model import ItemState, Pipeline, Role, Verdict
from cupel.demo import scenes, story
from cupel.demo.scenes import Part


@dataclass(kw_only=True)
class Run:
    """A build that began to wait at `at` and took a second."""

    job: str
    at: float
    verdict: Verdict = Verdict.SUCCESS
    flaked: bool = False
    reused: int | None = None

    def view(self) -> AttemptView:
        return AttemptView.model_construct(
            id=int(self.at),
            job=self.job,
            verdict=self.verdict,
            queued_at=self.at,
            finished_at=self.at + 1,
            flaked=self.flaked,
            reused_from=self.reused,
        )


def state(*runs: Run, commit: str = "c", role: Role = Role.PROOF) -> BuildsetView:
    builds = [run.view() for run in runs]
    return BuildsetView.model_construct(commit=commit, role=role, builds=builds)


def change(id: int, ended: float, state: ItemState, *states: BuildsetView) -> ChangeView:
    item = ItemView.model_construct(pipeline=Pipeline.GATE, state=state, finished_at=ended)
    landed = "c" if state is ItemState.LANDED else None
    history = HistoryView.model_construct(item=item, buildsets=list(states))
    return ChangeView.model_construct(id=id, landed_commit=landed, items=[history])


FAILED = Verdict.FAILURE
FLAKY = change(
    1, 14.0, ItemState.LANDED,
    state(Run(job="examples", at=10, verdict=FAILED), Run(job="examples", at=12, flaked=True)),
)  # fmt: skip
BROKEN = change(
    2, 30.0, ItemState.REJECTED,
    state(Run(job="tests", at=10, verdict=FAILED), Run(job="tests", at=20, verdict=FAILED)),
    state(Run(job="tests", at=21), role=Role.BASE),
)  # fmt: skip
EARLY = change(3, 20.0, ItemState.LANDED, state(Run(job="tests", at=15)))
LATER = change(4, 33.0, ItemState.LANDED, state(Run(job="tests", at=25)))


def told(*parts: tuple[Part, ChangeView]) -> dict[int, tuple[str, bool]]:
    return {each.change: (each.text, each.so) for each in story.tell(parts)}


def test_the_story_as_it_should_be() -> None:
    found = told((Part.FLAKY, FLAKY), (Part.BROKEN, BROKEN), (Part.GOOD, EARLY), (Part.GOOD, LATER))
    assert all(so for _, so in found.values()), found
    assert "a flake of examples" in found[1][0]
    assert found[2][0] == (
        "tests failed, was run again, and failed again;"
        " tests passes without it (build 21), so it was rejected"
    )
    assert found[3][0] == "landed 10 s before #2 was rejected"
    assert found[4][0] == (
        "what proved it began 5 s before #2 was rejected, and went on; it landed 3 s after"
    )


def test_a_good_change_that_waited_is_told() -> None:
    waited = change(4, 50.0, ItemState.LANDED, state(Run(job="tests", at=31)))
    assert not told((Part.BROKEN, BROKEN), (Part.GOOD, waited))[4][1]


def test_a_proof_began_where_its_pass_was_made() -> None:
    moved = change(
        4, 50.0, ItemState.LANDED,
        state(Run(job="tests", at=45, reused=22)),
        state(Run(job="tests", at=22), commit="before the head moved"),
    )  # fmt: skip
    text, so = told((Part.BROKEN, BROKEN), (Part.GOOD, moved))[4]
    assert so
    assert text.startswith("what proved it began 8 s before #2 was rejected")


def test_what_had_passed_for_others_needs_no_run() -> None:
    old = change(4, 31.0, ItemState.LANDED, state(Run(job="tests", at=30, reused=5)))
    text = "needed no run of its own, since what it depends on had passed"
    found = told((Part.BROKEN, BROKEN), (Part.GOOD, old))[4]
    assert found == (f"{text}; it landed 1 s after #2 was rejected", True)
    other = change(3, 60.0, ItemState.LANDED, state(Run(job="tests", at=31)))
    late = change(4, 61.0, ItemState.LANDED, state(Run(job="tests", at=60, reused=31)))
    assert not told((Part.BROKEN, BROKEN), (Part.GOOD, other), (Part.GOOD, late))[4][1]


def test_a_test_that_was_not_flaky_or_not_run_again_is_told() -> None:
    steady = change(1, 14.0, ItemState.LANDED, state(Run(job="examples", at=10)))
    once = change(
        2, 30.0, ItemState.REJECTED,
        state(Run(job="tests", at=10, verdict=FAILED)),
        state(Run(job="tests", at=12), role=Role.BASE),
    )  # fmt: skip
    found = told((Part.FLAKY, steady), (Part.BROKEN, once))
    assert not found[1][1]
    assert not found[2][1]


def test_a_reused_pass_does_not_speak_against_the_broken_change() -> None:
    reused = change(
        2, 30.0, ItemState.REJECTED, BROKEN.items[0].buildsets[0],
        state(Run(job="tests", at=21, reused=9), role=Role.BASE),
    )  # fmt: skip
    assert not told((Part.BROKEN, reused))[2][1]


def test_the_flaky_example_fails_before_its_time_and_passes_after(tmp_path: Path) -> None:
    flaky = scenes.flaky_and_broken(patience=2.0)[0]
    (_, make) = flaky.commits[0]
    make(tmp_path)
    command = [sys.executable, "-m", "unittest", "discover", "-s", tmp_path / "examples"]
    first = subprocess.run(command, capture_output=True, check=False, timeout=60)
    again = subprocess.run(command, capture_output=True, check=False, timeout=60)
    assert (first.returncode, again.returncode) == (1, 0)
