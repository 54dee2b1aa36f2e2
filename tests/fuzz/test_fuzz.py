"""Runs the fuzzers for a while, on what the other tests read as seeds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from unit.config import test_origin, test_project
from unit.config.workflow import test_convert
from unit.host import test_caches
from unit.report import test_gotest, test_junit, test_notes, test_subunit, test_tap

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


OF_LINES = {
    0: (test_notes.COBERTURA, test_notes.LCOV, test_notes.sarif_of(test_notes.result())),
    1: ("::error file=a.py,line=1,title=x%2C::y%0A\n",),
    2: (test_caches.files({"a/b": b"x"}), test_caches.special("l", b"2", linkname="a")),
    3: ("+++ a\n@@ -1 +1,2 @@\n+a\n+b\n",),
}
"""By the reader's number, as `notes.one_input` chooses it."""

CONFIGURATIONS = {
    0: (test_project.FULL, test_origin.MAIN + "\0" + test_origin.BESIDE),
    1: tuple(path.read_text() for path in sorted(test_convert.REAL.glob("*.yml"))),
    2: ("package.json\n" + '{"scripts": {"test": "jest"}}', "Makefile tox.ini\ntest:\n"),
    3: ("a.b == 'c' && !contains(d, 'e') || format('{0}', f)",),
}
"""By the reader's number, as `config.one_input` chooses it."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harness", "all_seeds"),
    [("results.py", SEEDS), ("notes.py", OF_LINES), ("config.py", CONFIGURATIONS)],
)
def test_the_readers_survive_a_fuzzer(
    harness: str, all_seeds: Mapping[int, Sequence[str | bytes]], tmp_path: Path
) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris is not installed: .venv/bin/pip install atheris")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for reader, seeds in all_seeds.items():
        for number, seed in enumerate(seeds):
            data = seed.encode() if isinstance(seed, str) else seed
            (corpus / f"{reader}-{number}").write_bytes(bytes([0x80 | reader]) + data)
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name(harness), corpus,
         f"-max_total_time={SECONDS}", "-timeout=10", "-rss_limit_mb=2048",
         f"-artifact_prefix={tmp_path}/"],
        capture_output=True, text=True, errors="replace", check=False,
        env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
