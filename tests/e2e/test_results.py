"""Results of tests from the machine to whoever asks: API, command line and page."""

from __future__ import annotations

import pytest

from e2e import server as serving
from e2e.conftest import Project
from e2e.server import Server

pytestmark = pytest.mark.e2e

JUNIT = """cat > $CUPEL_RESULTS/junit.xml <<'END'
<testsuite name="pytest"><testcase classname="tests.test_stack" name="test_push" time="0.002"/>
<testcase classname="tests.test_stack" name="test_pop[empty]" time="0.001">
<failure message="IndexError: pop from empty list">tests/test_stack.py:31: IndexError</failure>
</testcase></testsuite>
END"""
TAP = "printf 'TAP version 14\\nok 1 - one\\n1..1\\n' > $CUPEL_RESULTS/unit.tap"
HUGE = "truncate -s 1G $CUPEL_RESULTS/zzz.xml"


def test_what_tests_say_is_told_however_a_build_ends(server: Server, project: Project) -> None:
    work = project(serving.jobs(tests="true"))
    fails = {"steps": [JUNIT, TAP, "exit 1"]}
    hangs = {"steps": [TAP, "sleep 60"], "timeout": "1s"}
    floods = {"steps": [TAP, HUGE]}
    numbers = [
        work.propose(title, serving.jobs(tests=job))
        for title, job in (("Fail", fails), ("Hang", hangs), ("Flood", floods))
    ]
    for number in numbers:
        server.ended(number, "check")
    failed, hung, flooded = (server.builds(number)[0] for number in numbers)

    told = server.get(f"/api/builds/{failed['id']}/tests")
    assert told["tally"]["text"] == "1 failed, 2 passed"
    first = told["entries"][0]
    assert (first["name"], first["place"]) == ("test_pop[empty]", "tests/test_stack.py:31")
    said = server.cli("tests", failed["id"], "--failed").stdout
    assert said.startswith("failed: tests.test_stack::test_pop[empty] tests/test_stack.py:31\n")
    past = server.get(f"/api/projects/{work.project}/tests?name=test_pop")
    assert [each["outcome"] for each in past["entries"]] == ["failed"]
    assert "test_pop[empty]" in server.request("GET", f"/builds/{failed['id']}").text

    assert hung["verdict"] == "timeout"
    assert server.get(f"/api/builds/{hung['id']}/tests")["tally"]["passed"] == 1

    # It left more than it may; what could be read of its results is told all the same.
    assert flooded["verdict"] == "failure"
    flood = server.get(f"/api/builds/{flooded['id']}/tests")["tally"]
    assert flood["passed"] == 1
    assert "there is more than may be read; the rest was left out" in flood["notices"]
