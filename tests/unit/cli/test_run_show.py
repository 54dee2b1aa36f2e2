"""What `cupel run` prints."""

from __future__ import annotations

import json

import pytest

from cupel.cli import run_show
from cupel.local import events

BEGUN = events.Begun(project="app", branch="main", commit="c" * 40, dirty=True, jobs=("tests",))
STEP = events.StepBegun(job="tests", number=1, count=2, name="look")


def printed(
    data: bytes, *, job: str = "tests", stream: str = "out", part: str = ""
) -> events.Event:
    return events.Printed(job=job, stream=stream, part=part, data=data)


def ended(job: str = "tests", verdict: str = "success", reason: str | None = None) -> events.Event:
    return events.Ended(job=job, verdict=verdict, reason=reason, seconds=1.25, voting=True)


def show(capsys: pytest.CaptureFixture[str], *told: events.Event, live: bool = False) -> list[str]:
    lines = run_show.Lines(live=live)
    for each in told:
        lines.show(each)
    lines.close()
    return capsys.readouterr().out.splitlines()


def test_the_output_of_one_job_stands_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    said = show(
        capsys, BEGUN, STEP, printed(b"one\ntw"), printed(b"o\n"), printed(b"rest"), ended()
    )
    assert said == [
        "app at cccccccccccc, not committed yet: tests",
        "▶ 1/2 look",
        "one",
        "two",
        "rest",
        "✓ tests passed in 1.2 s",
    ]


def test_lines_of_several_jobs_begin_with_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    begun = events.Begun(
        project="app", branch="main", commit="c" * 40, dirty=False, jobs=("a", "b")
    )
    told = [begun, printed(b"x\n", job="a"), printed(b"y\n", job="b", part="db")]
    said = show(capsys, *told, ended("a"), ended("b", "failure", "step 'x' exited with status 1"))
    assert said[1:] == [
        "a | x",
        "b | db: y",
        "✓ a passed in 1.2 s",
        "✗ b failed in 1.2 s: step 'x' exited with status 1",
        "",
        "✓ a passed in 1.2 s",
        "✗ b failed in 1.2 s: step 'x' exited with status 1",
    ]


def test_streams_do_not_break_into_each_other_s_lines(capsys: pytest.CaptureFixture[str]) -> None:
    told = [printed(b"ou"), printed(b"err\n", stream="err"), printed(b"t\n")]
    assert show(capsys, BEGUN, *told)[1:] == ["err", "out"]


@pytest.mark.parametrize("live", [False, True])
def test_a_job_cannot_act_on_the_terminal(capsys: pytest.CaptureFixture[str], live: bool) -> None:
    hostile = b"\x1b]0;title\x07\x1b[2Jgone \x9b31m\x1b[31mred\x1b[0m \xff\n"
    bad = ended("\x1b[2Jtests", "failure", "\x1b[2Jwhy")
    said = "\n".join(show(capsys, BEGUN, printed(hostile), bad, live=live))
    assert "\x1b]" not in said
    assert "\x1b[2J" not in said
    assert ("\x1b[31mred" in said) is live


def test_a_terminal_sees_what_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    lines = run_show.Lines(live=True)
    lines.show(STEP)
    assert "tests: 1/2 look  0.0 s" in capsys.readouterr().out
    lines.show(printed(b"so far"))
    assert capsys.readouterr().out.endswith("\x1b[2mso far\x1b[0m")
    lines.close()
    assert capsys.readouterr().out == "\r\x1b[K"


def test_events_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    with run_show.showing(as_json=True) as shown:
        for event in (BEGUN, STEP, printed(b"\xff\n"), ended()):
            shown.show(event)
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["event"] for each in told] == ["begun", "step.begun", "printed", "job.ended"]
    assert told[2]["data"] == "\N{REPLACEMENT CHARACTER}\n"


@pytest.mark.parametrize(("seconds", "said"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1:01 min")])
def test_durations(seconds: float, said: str) -> None:
    assert run_show.duration(seconds) == said
