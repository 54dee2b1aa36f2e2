"""What is likely a mistake is told, and what is not is left alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest

from cupel.config import load, warning
from cupel.config.server import DEFAULT_LABELS

ALL = ["src/a.py", "docs/x.md"]


@dataclasses.dataclass(frozen=True)
class Label:
    network: str = "none"
    prefetches: bool = False


def warned(
    text: str, listing: Sequence[str] = ALL, labels: Mapping[str, warning.Label] | None = None
) -> list[str]:
    config = load.load({".cupel.yaml": text}, [".cupel.yaml"]).config
    found = warning.warnings(config, listing, labels)
    return [f"{each.at.line}:{each.at.column} {each.message}" for each in found]


def job(body: str, more: str = "") -> str:
    return f"jobs:\n  a: {{machine: m, {body}}}\n{more}gate: [a]\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (job("steps: [x]", "  b: {machine: m, steps: [x]}\n"),
         ['3:3 no pipeline runs the job "b", and no job needs or extends it']),
        (job("steps: [x]", "  b: {abstract: true}\n"), ['3:3 no job extends the template "b"']),
        (job("steps: [x]", "semaphores: {s: 2}\n"), ['3:14 no job holds the semaphore "s"']),
        (job("steps: [x], needs: [b]", "  b: {machine: m, steps: [x], voting: false}\n"),
         ["2:39 a votes, and is skipped where b fails, which does not vote"]),
        (job("steps: [pytest --junitxml=out/r.xml]"),
         ['2:27 results in "out/r.xml" are not collected']),
        (job("steps: [x, 'echo ${GITHUB_SHA}']"),
         ["2:30 GITHUB_SHA is a variable of another system and is empty here"]),
        (job('steps: [x], inputs: ["src/**", "!test/**", "*.rst"]'),
         ['2:39 no file matches "!test/**"', '2:39 no file matches "*.rst"']),
    ],
)  # fmt: skip
def test_mistakes(text: str, wanted: list[str]) -> None:
    assert warned(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        job("steps: [x], needs: [b]", "  b: {machine: m, steps: [x]}\n"),
        job("steps: [x]", "  b: {machine: m, steps: [x], voting: false}\n"
            "  c: {machine: m, steps: [x], needs: [b], voting: false}\npost: [c]\n"),
        job("extends: b", "  b: {machine: m, steps: [x]}\n"),
        job("steps: [x], semaphore: s", "semaphores: {s: 2}\n"),
        job("steps: ['pytest --junitxml=$CUPEL_RESULTS/r.xml']"),
        job("steps: ['pytest --junitxml \"${CUPEL_RESULTS}/r.xml\"']"),
        job('steps: [x], inputs: ["src/", "!docs/**", "*.md"]'),
    ],
)  # fmt: skip
def test_good_habits(text: str) -> None:
    assert warned(text) == []


def test_what_fetches_without_a_network() -> None:
    text = job("steps: [make, 'python3 -m venv v', 'v/bin/pip install .', 'mycurl x']")
    assert warned(text) == []
    assert warned(text, labels={"m": Label("full")}) == []
    assert warned(text, labels={"m": Label(prefetches=True)}) == []
    [found] = warned(text, labels={"m": Label(), "n": Label("full")})
    assert found == "2:54 “pip install” on m, whose machines have no network"
    assert warned(text, labels=DEFAULT_LABELS) == []


def test_it_is_not_told_what_matches_nothing_where_that_would_take_long() -> None:
    patterns = ", ".join(f"p{number}" for number in range(2000))
    listing = [f"f{number}" for number in range(3000)]
    assert warned(job(f"steps: [x], inputs: [{patterns}]"), listing) == []
