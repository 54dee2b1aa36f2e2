"""The browser's modules: their types are right, and browsers can load them as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from cupel.web import site, static

ROOT = Path(__file__).parents[3]
TSC = shutil.which("tsc")
MODULES = sorted(path for path in static.HERE.rglob("*.js") if "vendor" not in path.parts)


@pytest.mark.skipif(TSC is None, reason="needs Debian's node-typescript package")
def test_types_are_right() -> None:
    """Strictly, as `jsconfig.json` says, from the comments that editors read as well."""
    assert TSC is not None
    done = subprocess.run(
        [TSC, "-p", str(ROOT / "jsconfig.json")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout


def test_imports_lead_to_modules_of_the_same_release() -> None:
    for path in MODULES:
        for target in re.findall(r'(?:from|import)\s*\(?\s*"([^"]+)"', path.read_text()):
            assert target.startswith("./"), (path.name, target)
            assert (path.parent / target).is_file(), (path.name, target)


def test_each_module_is_loaded_by_a_page_or_imported() -> None:
    templates = "".join(path.read_text() for path in (site.HERE / "templates").rglob("*.html"))
    sources = "".join(path.read_text() for path in MODULES)
    for path in MODULES:
        name = path.relative_to(static.HERE).as_posix()
        assert f"static('{name}')" in templates or f'"./{name}"' in sources, name
