"""`cupel tests`, over the API, against a world with results."""

import json

import pytest

from cupel.core.results import Outcome
from unit.cli.calls import Command
from unit.control_views import recorded


def test_tests_of_a_build_begin_with_those_that_failed(cupel: Command) -> None:
    recorded.record(cupel.world, 223, notices=("r.xml: line 2: it ends too early",))
    said = cupel("tests", "223", "--limit", "4").out.splitlines()
    assert said[0] == "! r.xml: line 2: it ends too early"
    assert said[2].split() == [
        *("✗", "failed", "250", "ms", "tests.test_x::test_bad[1]"),
        *("tests/test_x.py:12", "1", "!=", "2"),
    ]
    assert said[3].split()[:2] == ["≈", "flaky"]
    assert said[-2] == "more of them: --limit 8"
    assert said[-1] == "1 failed, 1 flaky, 1 skipped, 700 passed"
    assert "test_good_699" in cupel("tests", "223", "--limit", "1000").out


def test_failed_tests_are_shown_with_the_end_of_their_texts(cupel: Command) -> None:
    recorded.record(cupel.world, 223)
    said = cupel("tests", "223", "--failed").out
    assert said.startswith("failed: tests.test_x::test_bad[1] tests/test_x.py:12\n")
    assert "    E   1 != 2 </pre><script>\n" in said
    assert "test_flaky" not in said


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--outcome", "flaky"), ["test_flaky"]),
        (("--outcome", "skipped"), ["test_skipped"]),
        (("--text", "GOOD_69"), ["test_good_69", *(f"test_good_69{n}" for n in range(10))]),
        (("--text", "test_", "--outcome", "failed"), ["test_bad[1]"]),
    ],
)
def test_tests_by_outcome_and_name(cupel: Command, options: tuple[str], names: list[str]) -> None:
    recorded.record(cupel.world, 223)
    told = json.loads(cupel("tests", "223", "--json", *options).out)
    assert [each["name"] for each in told["entries"]] == names
    assert told["tally"]["total"] == 703


def test_a_build_without_results_says_so(cupel: Command) -> None:
    assert cupel("tests", "223").out == "build 223 has left no results of tests\n"
    assert cupel("tests", "9999").code == 2


def test_results_that_are_not_kept_any_more(cupel: Command) -> None:
    recorded.record(cupel.world, 223)
    cupel.world.results.delete(223)
    said = cupel("tests", "223").out.splitlines()
    assert said == [
        "the results are not kept any more",
        "1 failed, 1 flaky, 1 skipped, 700 passed",
    ]


def test_the_history_of_a_test_goes_over_builds(cupel: Command) -> None:
    recorded.record(cupel.world, 211, [recorded.result("test_bad[1]")], key="k0")
    recorded.record(cupel.world, 222, [recorded.result("test_other")])
    recorded.record(cupel.world, 223)
    recorded.record(cupel.world, 224, [recorded.result("test_bad[1]")], job="lint")
    for name in ("tests.test_x::test_bad[1]", "test_bad", recorded.BAD.digest):
        said = cupel("tests", "--history", name).out.splitlines()
        assert said[0] == "tests.test_x::test_bad[1]"
        assert [line.split()[:3] for line in said[2:]] == [
            ["224", "✓", "passed"],
            ["223", "✗", "failed"],
            ["211", "✓", "passed"],
        ]
    told = json.loads(cupel("tests", "--history", "test_bad", "--job", "tests", "--json").out)
    assert [(each["build"], each["key"]) for each in told["entries"]] == [(223, "k1"), (211, "k0")]


def test_a_name_that_is_none_or_not_one_is_an_error_that_helps(cupel: Command) -> None:
    recorded.record(cupel.world, 223)
    several = cupel("tests", "--history", "test_good")
    assert (several.code, "several tests have 'test_good'" in several.err) == (2, True)
    assert "tests.test_x::test_good_0" in several.err
    none = cupel("tests", "--history", "nothing")
    assert "no test of the newest builds is called 'nothing'" in none.err
    assert cupel("tests", "--history", "x", "--project", "none").code == 2
    assert "say the number of a build" in cupel("tests").err
    assert "say the number of a build" in cupel("tests", "1", "--history", "x").err


def test_a_build_shows_how_its_tests_went(cupel: Command) -> None:
    recorded.record(cupel.world, 223)
    said = cupel("build", "show", "223").out
    assert "tests      1 failed, 1 flaky, 1 skipped, 700 passed" in said


def test_the_store_finds_an_error_of_its_own(cupel: Command) -> None:
    """A damaged file is the server's trouble, said as such."""
    recorded.record(cupel.world, 223, [recorded.result("a", Outcome.ERROR)])
    path = cupel.world.state / "results" / "0" / "223"
    path.write_bytes(path.read_bytes()[:-5])
    said = cupel("tests", "223")
    assert (said.code, "a file of test results is damaged" in said.err) == (3, True)
