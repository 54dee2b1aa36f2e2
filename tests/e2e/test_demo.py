"""The demo from beginning to end, as a newcomer runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_the_demo_ends_as_it_should(machines: None, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = subprocess.run(
        [sys.executable, "-m", "cupel", "demo", "--report", str(report)],
        capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    told = json.loads(report.read_text())
    assert told["tree_verified"]
    assert told["as_expected"]
    assert told["landed"]
    assert told["ejected"]
    story = {each["part"]: each for each in told["story"]}
    assert set(story) == {"flaky", "broken", "good"}
    assert all(each["so"] for each in told["story"]), told["story"]
    assert sum(each["part"] == "good" for each in told["story"]) == 2
    landed = {each["number"] for each in told["landed"]}
    assert {each["change"] for each in told["story"]} - landed == {story["broken"]["change"]}
    assert "a flake" in story["flaky"]["text"]
