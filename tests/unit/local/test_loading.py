"""What a run loads is a third of the time that it takes, so it must stay little."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("structlog", "rich", "pydantic", "sqlalchemy", "httpx2", "psutil", "pathspec", "jinja2")
PROGRAM = """
import sys
import cupel.cli.main, cupel.cli.run, cupel.cli.run_show
import cupel.local.early, cupel.local.reading, cupel.local.session
print(*(name for name in sys.modules if name in sys.argv or name == "cupel.core.model"))
"""


def test_a_run_loads_neither_a_server_nor_its_libraries() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *HEAVY],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.split() == []
