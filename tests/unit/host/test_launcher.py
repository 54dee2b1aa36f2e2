from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cupel

HANDLERS_OF_FORKS = {"logging", "random", "threading"}
"""Modules that do something in every fork of a process which imported them."""


def test_the_launcher_imports_nothing_that_makes_its_forks_dear() -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "import cupel.host.providers.inside.launch; print(*sys.modules)"
    )
    sources = str(Path(cupel.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, sources],
        capture_output=True, check=True, text=True,
    )  # fmt: skip
    imported = set(done.stdout.split())
    assert "cupel.host.providers.inside.init" in imported
    assert not imported & HANDLERS_OF_FORKS
    assert {name for name in imported if name.startswith("cupel.")} == {
        name for name in imported if name.startswith("cupel.host")
    }
