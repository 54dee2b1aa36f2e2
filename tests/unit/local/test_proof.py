"""What is proved already, and why the rest is not."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from cupel.core import key as keys
from cupel.core.job import Job, Step
from cupel.local import proof
from cupel.local.proof import Pass, Passes, State

IMAGES: dict[str, str | None] = {"small": "sha256:i"}
NOTHING = keys.outputs([])


def job(name: str, *needs: str, run: str = "x", **fields: object) -> Job:
    made = {"name": name, "base": name, "label": "small", "steps": (Step(name="x", run=run),)}
    return Job(**(made | {"needs": needs} | fields))  # type: ignore[arg-type]


def state(*jobs: Job, commit: str = "c" * 40, **found: str) -> State:
    return State(repo=Path(), commit=commit, jobs={each.name: each for each in jobs}, keys=found)


def prove(
    jobs: list[Job],
    here: State,
    since: State,
    passes: Passes,
    images: dict[str, str | None] = IMAGES,
    ask: proof.Ask | None = None,
) -> dict[str, str]:
    found = asyncio.run(proof.prove(jobs, here, since, images=images, passes=passes, ask=ask))
    return {name: each.text for name, each in found.items()}


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    return Passes(tmp_path / "passes", now=lambda: 1000.0)


def test_what_does_not_differ_from_a_good_commit_is_proved(passes: Passes) -> None:
    jobs = [job("a"), job("b")]
    found = prove(jobs, state(*jobs, a="1", b="2"), state(*jobs, a="1", b="3"), passes)
    assert found == {"a": "nothing that it depends on differs from cccccccccccc"}


def test_a_job_is_as_good_as_those_it_needs(passes: Passes) -> None:
    jobs = [job("a"), job("b", "a")]
    assert prove(jobs, state(*jobs, a="1", b="2"), state(*jobs, a="0", b="2"), passes) == {}


def test_a_pass_of_the_same_key_counts_also_with_what_was_needed(passes: Passes) -> None:
    jobs = [job("a"), job("b", "a")]
    here, since = state(*jobs, a="1", b="2"), state(*jobs)
    passes.keep(keys.combine("1", "sha256:i", []), "left")
    passes.keep(keys.combine("2", "sha256:i", [("a", "left")]), NOTHING)
    assert set(prove(jobs, here, since, passes)) == {"a", "b"}
    assert prove(jobs, here, since, passes, {"small": "sha256:other"}) == {}
    assert prove(jobs, here, since, passes, {"small": None}) == {}


def test_another_artefact_of_what_is_needed_is_another_key(passes: Passes) -> None:
    jobs = [job("a"), job("b", "a")]
    passes.keep(keys.combine("1", "sha256:i", []), "left")
    passes.keep(keys.combine("2", "sha256:i", [("a", "something else")]), NOTHING)
    assert set(prove(jobs, state(*jobs, a="1", b="2"), state(*jobs), passes)) == {"a"}


def test_a_job_that_opted_out_is_never_proved(passes: Passes) -> None:
    jobs = [job("a", evidence=False)]
    assert prove(jobs, state(*jobs, a="1"), state(*jobs, a="1"), passes) == {}


def test_a_server_is_asked_for_what_is_not_known_here(passes: Passes) -> None:
    asked = []

    async def ask(key: str) -> Pass | None:
        asked.append(key)
        return Pass(text="it passed there", outputs=NOTHING)

    jobs = [job("a")]
    assert prove(jobs, state(*jobs, a="1"), state(), passes, ask=ask) == {"a": "it passed there"}
    assert asked == [keys.combine("1", "sha256:i", [])]


def test_old_and_broken_passes_count_for_nothing(tmp_path: Path) -> None:
    now = [0.0]
    passes = Passes(tmp_path, now=lambda: now[0])
    passes.keep("ab12", NOTHING)
    assert passes.find("ab12") == Pass(text="it passed here a moment ago", outputs=NOTHING)
    now[0] = 7200.0
    assert passes.find("ab12") == Pass(text="it passed here 2 hours ago", outputs=NOTHING)
    now[0] = proof.KEPT + 1
    assert passes.find("ab12") is None
    (tmp_path / "ab/ab12").write_text('{"at": ')
    assert passes.find("ab12") is None
    now[0] = 1e12
    passes.forget_old()
    assert not (tmp_path / "ab/ab12").exists()


def test_what_is_needed_runs_with_what_needs_it() -> None:
    jobs = [job("a"), job("b", "a"), job("c")]
    here, since = state(*jobs, a="1", b="2", c="3"), state(*jobs, a="1", b="0", c="3")
    proved = {"a": Pass(text="good"), "c": Pass(text="good")}
    named = frozenset({"b", "c"})

    async def decide() -> proof.Decision:
        return await proof.decide(jobs, named, proved, here, State(
            repo=Path(), commit="d" * 40, jobs={"a": jobs[0]}, keys=since.keys
        ))  # fmt: skip

    found = asyncio.run(decide())
    assert [each.name for each in found.run] == ["a", "b"]
    assert found.why == {"a": "b needs what it leaves", "b": "dddddddddddd has no such job"}
    assert found.passed == (("c", "good"),)


def test_why_a_job_is_run_names_the_files(tmp_path: Path) -> None:
    def git(*words: str) -> str:
        who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *who, *words], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    git("init", "-q")
    for name in ("src", "docs"):
        (tmp_path / name).write_text("one")
    git("add", "-A")
    git("commit", "-qm", "One")
    before = git("rev-parse", "HEAD")
    for name in ("src", "docs"):
        (tmp_path / name).write_text("two")
    git("commit", "-qam", "Two")
    after = git("rev-parse", "HEAD")

    async def why(now: Job, then: Job) -> str:
        repo = tmp_path / ".git"
        here, since = [await proof.state(repo, c, [j]) for c, j in ((after, now), (before, then))]
        decided = await proof.decide([now], frozenset({"a"}), {}, here, since)
        return decided.why["a"].replace(before[:12], "it")

    some, all_of_it = job("a", inputs=("src",)), job("a")
    assert asyncio.run(why(some, some)) == "src differs from it"
    assert asyncio.run(why(all_of_it, all_of_it)) == "docs, src differ from it"
    assert asyncio.run(why(job("a", run="y"), some)) == "its definition differs from that in it"
    never = job("a", evidence=False)
    assert asyncio.run(why(never, never)) == "a pass of it is never reused"
