"""The reference says the limits that hold."""

from pathlib import Path

import pytest

from cupel.config.server import ServerConfig
from cupel.core import results
from cupel.report.results import __main__ as reading
from cupel.report.results import collect

REFERENCE = Path(__file__).parents[3] / "docs/reference/results.md"


@pytest.mark.parametrize(
    ("of", "limit"),
    [
        ("all files of a build", f"{ServerConfig(slots=1).result_limit >> 20} MiB by default"),
        ("a file", f"{reading.LARGEST_FILE >> 20} MiB"),
        ("files and directories of a machine", f"{reading.MOST_MEMBERS:,}"),
        ("tests", f"{results.MOST_TESTS:,}, and as many again"),
        ("a suite, a name", f"{results.LONGEST_NAME} characters"),
        ("a message", f"{results.LONGEST_MESSAGE:,} characters"),
        ("the text of a failure", f"{results.LONGEST_TEXT:,} characters"),
        ("the text of a failure", f"{collect.MOST_TEXT >> 20} MiB of all"),
        ("failed tests that are told with the build", f"{results.MOST_FAILED}, with"),
        ("failed tests that are told with the build", f"{results.LONGEST_EXCERPT:,} characters"),
        ("processor time and memory to read them", f"{reading.CPU_SECONDS} s, "),
        ("processor time and memory to read them", f", {reading.MEMORY >> 30} GiB"),
    ],
)
def test_limits_are_in_the_reference(of: str, limit: str) -> None:
    rows = [line for line in REFERENCE.read_text().splitlines() if line.startswith(f"| {of} |")]
    assert len(rows) == 1
    assert limit in rows[0]
