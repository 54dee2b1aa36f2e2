"""`go test -json`, of the versions of Go that differ in it."""

import json

import pytest

from unit.report import reading

P = "example.com/m/p"


def events(*each: dict[str, object]) -> str:
    return "".join(
        json.dumps({"Time": "2026-01-01T00:00:00Z", "Package": P, **e}) + "\n" for e in each
    )


def out(test: str | None, text: str) -> dict[str, object]:
    return {"Action": "output", "Output": text, **({"Test": test} if test else {})}


FAILING = events(
    {"Action": "start"},
    {"Action": "run", "Test": "TestA"},
    out("TestA", "=== RUN   TestA\n"),
    {"Action": "run", "Test": "TestA/sub"},
    out("TestA/sub", "=== RUN   TestA/sub\n"),
    out("TestA/sub", "    p_test.go:12: got 1, want 2\n"),
    out("TestA/sub", "    --- FAIL: TestA/sub (0.01s)\n"),
    {"Action": "fail", "Test": "TestA/sub", "Elapsed": 0.01},
    {"Action": "fail", "Test": "TestA", "Elapsed": 0.02},
    {"Action": "run", "Test": "TestB"},
    out("TestB", "    p_test.go:20: no network\n"),
    {"Action": "skip", "Test": "TestB", "Elapsed": 0},
    {"Action": "run", "Test": "TestC"},
    {"Action": "pass", "Test": "TestC", "Elapsed": 1.5},
    out(None, "FAIL\n"),
    {"Action": "fail", "Elapsed": 2},
)


def test_what_go_prints() -> None:
    sub, around, skipped, good = reading.read(FAILING)[0]
    assert (sub.id, sub.message) == (f"{P}::TestA/sub", "got 1, want 2")
    assert (sub.place, sub.seconds) == ("p_test.go:12", 0.01)
    assert sub.text == "    p_test.go:12: got 1, want 2"
    assert (around.name, around.message) == ("TestA", "a test inside it failed")
    assert skipped.message == "no network"
    assert (good.name, good.seconds) == ("TestC", 1.5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            events({"Action": "run", "Test": "T"}, out("T", "panic: boom\n"), {"Action": "fail"}),
            [f"error {P}::T it began and did not end"],
        ),
        (
            events(out(None, "panic: in init\n"), {"Action": "fail"}),
            [f"error {P}::(package) panic: in init"],
        ),
        (
            '{"ImportPath":"x","Action":"build-fail"}\n',
            ["error x::(package) it could not be built"],
        ),
        (events({"Action": "run", "Test": "T"}), [f"error {P}::T it began and did not end"]),
        (events({"Action": "pass", "Elapsed": 1}), []),
        ("go: downloading x v1\n" + events({"Action": "pass", "Test": "T"}), [f"passed {P}::T"]),
        ('{"Action":"pass","Test":3}\n{"Action":[]}\n[]\n{"Action":"pass"', []),
    ],
    ids=["panic", "init", "build", "killed", "package", "noise", "strange"],
)
def test_what_ends_outside_of_tests(text: str, expected: list[str]) -> None:
    assert reading.lines(text) == expected


def test_a_file_of_something_else_is_told() -> None:
    found, [notice] = reading.read(FAILING + "noise\n" * 2000)
    assert len(found) == 4
    assert "no events of `go test -json`" in notice


def test_numbers_and_nesting_beyond_reason_do_no_harm() -> None:
    deep = '{"Action":' + "[" * 100_000 + "\n"
    huge = '{"Action":"pass","Test":"T","Elapsed":' + "9" * 5000 + "}\n"
    assert reading.lines(FAILING + deep + huge)[-1] == f"passed {P}::TestC"
