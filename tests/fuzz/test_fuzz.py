"""Runs the fuzzers for a while, on what the other tests read as seeds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from unit.report import test_gotest, test_junit, test_subunit, test_tap

SECONDS = 60
SEEDS = {
    0: (
        test_junit.PYTEST, test_junit.SUREFIRE, test_junit.PHPUNIT, test_junit.CTEST,
        test_junit.GOTESTSUM, test_junit.NODE, test_junit.LAUGHS,
    ),
    1: (test_tap.NODE, test_tap.PERL),
    2: (test_subunit.RECORDED,),
    3: (test_gotest.FAILING,),
}  # fmt: skip
"""By the reader's number, as `results.one_input` chooses it."""


@pytest.mark.slow
def test_the_readers_of_results_survive_a_fuzzer(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: .venv/bin/pip install atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for reader, seeds in SEEDS.items():
        for number, seed in enumerate(seeds):
            data = seed.encode() if isinstance(seed, str) else seed
            (corpus / f"{reader}-{number}").write_bytes(bytes([0x80 | reader]) + data)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("results.py"), corpus,
         f"-max_total_time={SECONDS}", "-timeout=10", "-rss_limit_mb=2048",
         f"-artifact_prefix={tmp_path}/"],
        capture_output=True, text=True, errors="replace", check=False,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
