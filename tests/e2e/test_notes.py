"""What builds say of lines, as those see it who push."""

from __future__ import annotations

import json
import re

import pytest

from e2e.conftest import Project
from e2e.server import Server

pytestmark = pytest.mark.e2e

STEP = """
echo '::warning file=src/a.py,line=2,title=W1::this looks odd'
printf '::error file=../../etc/passwd,line=1::\\033[2Jthis leads out\\n'
printf 'SF:/build/src/src/a.py\\nDA:1,1\\nDA:2,0\\nDA:3,1\\n' >"$CUPEL_RESULTS/lcov.info"
cp analysis.sarif "$CUPEL_RESULTS"
"""
CONFIG = json.dumps(
    {
        "jobs": {
            "tests": {
                "machine": "small",
                "steps": [STEP],
            }
        },
        "check": ["tests"],
    }
)
SARIF = json.dumps(
    {
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "lint"}},
                "results": [
                    {
                        "ruleId": "L1",
                        "level": "error",
                        "message": {"text": "first <b>line</b>"},
                        "locations": [
                            {
                                "physicalLocation": {
                                    "artifactLocation": {"uri": "src/a.py"},
                                    "region": {"startLine": 1},
                                }
                            }
                        ],
                    }
                ],
            }
        ],
    }
)


def test_what_is_said_of_lines_stands_beside_what_the_change_adds(
    server: Server, project: Project
) -> None:
    work = project({".cupel.yaml": CONFIG, "analysis.sarif": SARIF, "src/a.py": "one\n"})
    number = work.propose("Add lines", {"src/a.py": "one\ntwo\nthree\n"}, "wait")
    found = server.get(f"/api/changes/{number}/notes")
    odd, out, old = found["annotations"]
    assert (odd["path"], odd["line"], odd["source"]) == ("src/a.py", 2, "two")
    assert odd["touched"]
    assert (out["path"], out["line"], out["message"]) == (None, None, "this leads out")
    assert (old["line"], old["tool"], old["touched"]) == (1, "lint", False)
    assert (found["covered"], found["missed"]) == (1, 1)
    (file,) = found["files"]
    assert (file["path"], file["spans"]) == ("src/a.py", [[2, 2]])

    told = server.cli("notes", str(number))
    assert "src/a.py:2: warning: this looks odd [W1]\n    two\n" in told.stdout
    assert "1 of 2 lines that it adds were run (50 %)" in told.stdout
    assert "src/a.py: not run: 2" in told.stdout
    assert "first <b>line</b>" in server.cli("notes", str(number), "--all").stdout
    build = server.builds(number)[-1]["id"]
    for page in (f"/changes/{number}", f"/builds/{build}"):
        text = server.request("GET", page).text
        assert "this looks odd" in text
        assert re.search(r'<pre class="detail"[^>]*>two</pre>', text)
        assert "first &lt;b&gt;line&lt;/b&gt;" in text
        assert "1 of 2 added lines run" in text
