"""TAP 12 to 14 as node, perl, bats and others print it."""

import pytest

from cupel.core.results import Outcome
from unit.report import reading

NODE = """TAP version 13
# Subtest: top
    # Subtest: inner ok
    ok 1 - inner ok
      ---
      duration_ms: 762.5
      ...
    # Subtest: inner bad
    not ok 2 - inner bad
      ---
      duration_ms: 5.5
      location: '/build/src/n.test.mjs:2:72'
      error: '1 == 2'
      stack: |-
        Test (file:///build/src/n.test.mjs:2:105)
      ...
    1..2
not ok 1 - top
  ---
  error: '1 subtest failed'
  ...
ok 2 - skipped # SKIP later
not ok 3 - to do # TODO some day
ok 4 - plain # time=3.5ms
1..4
# tests 6
"""

PERL = """1..4
ok 1 - first
not ok 2 - second
#   Failed test 'second'
#   at t/x.t line 1.
ok 3 - escaped \\# hash # skipped: why
# Subtest: sub
    1..1
    not ok 1 - b
not ok 4 - sub
"""


VITEST = """TAP version 13
1..2
not ok 1 - sum.test.js # time=8.35ms {
    1..1
    not ok 1 - math # time=7.67ms {
        1..2
        ok 1 - adds # time=2.08ms
        not ok 2 - breaks # time=4.36ms
            ---
            error:
                name: "AssertionError"
                message: "expected 2 to be 3 // Object.is equality"
            at: "/build/src/sum.test.js:1:106"
            ...
    }
}
not ok 2 - empty.js {
}
"""

MOCHA = """
ok 1 suite ok
not ok 2 suite bad
  boom
  Error: boom
      at Context.<anonymous> (m.spec.cjs:1:71)
1..2
"""


def test_what_vitest_prints_in_braces() -> None:
    breaks, empty, adds = reading.read(VITEST, name="v.tap")[0]
    assert (breaks.id, breaks.place) == ("v > sum.test.js > math::breaks", "sum.test.js:1")
    assert breaks.message == "expected 2 to be 3 // Object.is equality"
    assert (adds.name, empty.id) == ("adds", "v::empty.js")


def test_what_mocha_prints_below_a_point() -> None:
    bad = reading.read(MOCHA, name="m")[0][0]
    assert (bad.message, bad.place) == ("boom", "m.spec.cjs:1")
    assert "Error: boom" in bad.text


def test_what_node_prints() -> None:
    found, notices = reading.read(NODE, name="unit.tap")
    assert notices == []
    bad, skipped, todo, inner, plain = found
    assert (bad.id, bad.message, bad.place) == ("unit > top::inner bad", "1 == 2", "n.test.mjs:2")
    assert bad.seconds == 0.0055
    assert "stack: |-" in bad.text
    assert (skipped.outcome, skipped.message) == (Outcome.SKIPPED, "later")
    assert (todo.outcome, todo.message) == (Outcome.SKIPPED, "to do: some day")
    assert (inner.id, inner.seconds) == ("unit > top::inner ok", 0.7625)
    assert (plain.name, plain.seconds) == ("plain", 0.0035)


def test_what_perl_prints() -> None:
    assert reading.lines(PERL, name="x.t") == [
        "failed x::second Failed test 'second'",
        "failed x > sub::b",
        "skipped x::escaped # hash why",
        "passed x::first",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1..3\nok 1\n", ["error x::(plan) 3 tests were planned, 1 ran", "passed x::test 1"]),
        ("1..0 # SKIP no network\n", ["skipped x::(all) no network"]),
        ("ok 1 - a\nBail out! disk full\nok 2\n", ["error x::(bail out) disk full", "passed x::a"]),
        ("TAP version 14\nok - a\nnot ok\nnoise\n", ["failed x::test 2", "passed x::a"]),
        ("ok 1 - a\nokay\nnot okay\n", ["passed x::a"]),
        ("not ok 1 - outer\nok 2\n", ["failed x::outer", "passed x::test 2"]),
        ("ok 1 - a\n  ---\n  never ends\nnot ok 2\n", ["passed x::a"]),
        ("ok 1 - same\nok 2 - same\n", ["passed x::same"]),
        ("1..2\r\nok 1 - a\r\nok 2 - b\r\n", ["passed x::a", "passed x::b"]),
    ],
)
def test_plans_and_odd_lines(text: str, expected: list[str]) -> None:
    got = [
        line for line in reading.lines(text, name="x.tap") if "(plan)" not in line or "3" in line
    ]
    assert got == expected


def test_a_point_that_fails_though_none_of_its_subtests_did_is_told() -> None:
    text = "    ok 1 - a\n    1..1\nnot ok 1 - outer\n1..1\n"
    assert reading.lines("TAP version 14\n" + text, name="x.tap")[0] == "failed x::outer"


def test_yaml_is_shown_and_not_understood() -> None:
    aliases = "  a: &a [x, x]\n  b: &b [*a, *a]\n"
    block = f"  ---\n{aliases}  message: 'it says'\n  line: 7\n  file: t.js\n  ...\n"
    [only] = reading.read("TAP version 14\nnot ok 1 - a\n" + block + "1..1\n")[0]
    assert (only.message, only.place) == ("it says", "t.js:7")
    assert "*a" in only.text


def test_subtests_without_end_are_bounded() -> None:
    text = "TAP version 14\n" + "".join(f"{' ' * 4 * n}ok 1 - t{n}\n" for n in range(2000))
    found, _ = reading.read(text)
    assert len(found) == 2000
