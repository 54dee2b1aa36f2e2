"""What is taken out of logs: the lines that say what went wrong, whoever wrote them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.log import excerpt, index, rules
from cupel.log.store import LogStore
from cupel.log.stream import Line

NOISE = "\n".join(f"[{number}/400] building target {number}" for number in range(60))

PYTEST = """\
============================= test session starts ==============================
collected 2 items

tests/test_cache.py .F                                                   [100%]

=================================== FAILURES ===================================
__________________________________ test_evicts _________________________________

    def test_evicts():
        cache = FIFOCache(2)
>       assert list(cache) == [2, 3]
E       assert [1, 3] == [2, 3]
E         At index 0 diff: 1 != 2

tests/test_cache.py:12: AssertionError
=========================== short test summary info ============================
FAILED tests/test_cache.py::test_evicts - assert [1, 3] == [2, 3]
========================= 1 failed, 1 passed in 0.02s ==========================
"""

TRACEBACK = """\
Traceback (most recent call last):
  File "/build/src/tool/main.py", line 7, in <module>
    run()
  File "/build/src/tool/main.py", line 4, in run
    json.loads(text)
  File "/usr/lib/python3.11/json/decoder.py", line 355, in raw_decode
    raise JSONDecodeError("Expecting value", s, err.value) from None
json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)
"""

GCC = """\
gcc -c -o parse.o parse.c
parse.c: In function 'next':
parse.c:41:12: error: 'lenght' undeclared (first use in this function); did you mean 'length'?
   41 |     return lenght;
      |            ^~~~~~
      |            length
gcc -c -o main.o main.c
make: *** [Makefile:3: parse.o] Error 1
"""

RUST = """\
   Compiling cache v0.1.0 (/build/src)
error[E0308]: mismatched types
 --> src/lib.rs:3:5
  |
3 |     "three"
  |     ^^^^^^^ expected `u32`, found `&str`
error: aborting due to previous error
error: could not compile `cache` (lib) due to 1 previous error
"""

GO = """\
# example.org/cache
./cache.go:14:9: cannot use "x" (untyped string constant) as int value in return statement
FAIL\texample.org/cache [build failed]
"""

CASES = {
    "pytest": (PYTEST, ["assert [1, 3]", "FAILED tests/test_cache.py::test_evicts"]),
    "traceback": (TRACEBACK, ['main.py", line 4, in run', "json.loads(text)", "JSONDecodeError"]),
    "gcc": (GCC, ["parse.c:41:12: error", "return lenght;"]),
    "rustc": (RUST, ["error[E0308]", "src/lib.rs:3:5", '"three"']),
    "go build": (GO, ["./cache.go:14:9:"]),
    "tsc": ("src/a.ts(3,7): error TS2322: Type 'string' is not assignable.", ["TS2322"]),
    "javac": ("src/A.java:3: error: ';' expected\n    int a\n         ^\n1 error", ["A.java:3"]),
    "mypy": ("a.py:3: error: Name 'b' is not defined  [name-defined]\nFound 1 error", ["a.py:3"]),
    "flake8": ("src/a.py:1:8: F401 'os' imported but unused", ["F401"]),
    "ruff": (
        "F401 [*] `os` imported but unused\n --> a.py:1:8\n  |\n1 | import os",
        ["F401", "1:8"],
    ),
    "java": ('Exception in thread "main" java.lang.Error: x\n\tat B.main(B.java:1)', ["B.java:1"]),
    "ctest": ("1/2 Test #1: bad ......***Failed    0.01 sec\n    Start 2: good", ["***Failed"]),
    "module": ("/usr/bin/python3: No module named pytest", ["No module named pytest"]),
    "linker": ("/usr/bin/ld: a.o: in function `main':\na.c:3: undefined reference to `f'", ["`f'"]),
    "go test": (
        "--- FAIL: TestGet (0.00s)\n    cache_test.go:9: got 1\nFAIL",
        ["TestGet", "got 1"],
    ),
    "unittest": ("FAIL: test_get (tests.T.test_get)\n-----", ["FAIL: test_get"]),
    "googletest": ("[  FAILED  ] Cache.Get (0 ms)", ["Cache.Get"]),
    "assert": ("a.out: a.c:3: main: Assertion `n > 0' failed.", ["Assertion `n > 0'"]),
    "segfault": ("bash: line 1:  7 Segmentation fault      ./a.out", ["Segmentation fault"]),
    "panic": (
        "panic: runtime error: index out of range [3]\n\ngoroutine 1",
        ["index out of range"],
    ),
    "apt": ("Reading...\nE: Unable to locate package no-such", ["Unable to locate"]),
    "pip": ("ERROR: No matching distribution found for nosuch", ["No matching distribution"]),
    "npm": ("npm ERR! code E404\nnpm ERR! 404 Not Found", ["E404", "404 Not Found"]),
    "shell": ("/bin/bash: line 3: tox: command not found", ["tox: command not found"]),
    "sh": ("sh: 1: tsc: not found", ["tsc: not found"]),
    "disk": ("tar: x: Cannot write: No space left on device", ["No space left"]),
    "memory": ("MemoryError", ["MemoryError"]),
    "ninja": ("ninja: build stopped: subcommand failed.", ["build stopped"]),
    "make": ("make[1]: *** [Makefile:2: all] Error 2\nmake: *** [all] Error 2", ["[all] Error 2"]),
}


def lines(text: str, *, step: int = 0, stream: str = "out", first: int = 0) -> list[Line]:
    return [
        Line(number=first + number, at=0.0, step=step, stream=stream, text=each)
        for number, each in enumerate(text.splitlines())
    ]


def found(text: str) -> list[str]:
    return [each.text for each in excerpt.find(lines(text))]


@pytest.mark.parametrize("name", CASES)
def test_the_error_is_found_among_what_surrounds_it(name: str) -> None:
    said, wanted = CASES[name]
    shown = excerpt.find(lines(f"{NOISE}\n{said}\n"))
    texts = [each.text for each in shown]
    for part in wanted:
        assert any(part in text for text in texts), texts
    assert not any("building target" in text for text in texts)
    assert all(each.found for each in shown)
    assert len(shown) <= excerpt.MOST


@pytest.mark.parametrize("name", CASES)
def test_each_line_of_an_excerpt_is_the_one_of_that_number(name: str) -> None:
    said = f"{NOISE}\n{CASES[name][0]}\n"
    for each in excerpt.find(lines(said)):
        assert said.splitlines()[each.number].rstrip() == each.text


def test_the_summary_of_pytest_comes_with_what_was_asserted_and_no_more() -> None:
    assert found(PYTEST) == [
        "E       assert [1, 3] == [2, 3]",
        "E         At index 0 diff: 1 != 2",
        "FAILED tests/test_cache.py::test_evicts - assert [1, 3] == [2, 3]",
    ]


@pytest.mark.parametrize(
    ("text", "main"),
    [
        (PYTEST, "FAILED tests/test_cache.py::test_evicts - assert [1, 3] == [2, 3]"),
        (TRACEBACK, "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        (GCC, GCC.splitlines()[2]),
        (NOISE, "[59/400] building target 59"),
    ],
)
def test_one_line_of_an_excerpt_says_most(text: str, main: str) -> None:
    assert [each.text for each in excerpt.find(lines(text)) if each.main] == [main]


def test_of_a_traceback_the_frame_that_is_the_projects_own() -> None:
    assert found(TRACEBACK) == [
        '  File "/build/src/tool/main.py", line 4, in run',
        "    json.loads(text)",
        "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)",
    ]


def test_the_first_error_of_a_compiler_counts_and_make_only_repeats_it() -> None:
    many = "\n".join(f"a.c:{n}:1: error: no {n}" for n in range(1, 100))
    shown = found(f"{many}\nmake: *** [a.o] Error 1")
    assert shown[0] == "a.c:1:1: error: no 1"
    assert len(shown) == excerpt.MOST
    assert not any("make" in text for text in shown)


@pytest.mark.parametrize(
    "text",
    ["0 errors, 3 warnings", "errors=0, failures: 0", "compiling error_handler.c", "FAILED: 0"],
)
def test_what_only_speaks_of_errors_is_no_error(text: str) -> None:
    assert [each.found for each in excerpt.find(lines(f"{text}\ndone"))] == [False, False]


def test_without_a_rule_it_is_the_last_lines_that_say_something() -> None:
    shown = excerpt.find(lines(NOISE + "\n\n   \nthe end is not near\n\n"))
    assert len(shown) == excerpt.LAST
    assert shown[-1].text == "the end is not near"
    assert not any(each.found for each in shown)


def test_nothing_is_found_in_nothing() -> None:
    assert excerpt.find([]) == []


def test_what_cupel_remarked_is_shown_with_what_was_printed_last() -> None:
    remarks = lines("still running after 5 s:\n  7 sleep 60", stream="cupel", first=60)
    shown = excerpt.find([*lines(NOISE), *remarks])
    assert [each.text for each in shown][-3:] == [
        "[59/400] building target 59",
        "still running after 5 s:",
        "  7 sleep 60",
    ]
    assert [each.found for each in shown][-3:] == [False, True, True]


def test_terminal_escapes_and_controls_do_not_come_through() -> None:
    (shown,) = found("\x1b[1;31merror:\x1b[0m bad \x07\x1b]0;title\x07\x9b2J\u202etxt\x00")
    assert shown == "error: bad ??txt?".replace("?", "\N{REPLACEMENT CHARACTER}")


def test_a_line_in_pieces_is_one_line() -> None:
    first, second = lines("error: a\nb")
    begun = [
        Line(number=4, at=0.0, step=0, stream="out", text=first.text, ended=False),
        Line(number=5, at=0.0, step=0, stream="out", text=second.text, continues=True),
    ]
    assert [(each.number, each.text) for each in excerpt.find(begun)] == [(4, "error: ab")]


def test_a_line_that_is_started_over_in_a_later_piece_is_what_it_was_at_last() -> None:
    pieces = ["fetching 19/30", "\rfetching 25/30\rfetching 30/30", ", done"]
    begun = [
        Line(number=at, at=0.0, step=0, stream="out", text=text, continues=at > 0, ended=at == 2)
        for at, text in enumerate(pieces)
    ]
    assert [each.text for each in excerpt.find(begun)] == ["fetching 30/30, done"]


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\n"), max_size=80)
        | st.sampled_from(PYTEST.splitlines()),
        max_size=40,
    )
)
def test_whatever_was_printed_the_excerpt_is_short_and_harmless(texts: list[str]) -> None:
    made = [
        Line(number=number, at=0.0, step=0, stream="out", text=text)
        for number, text in enumerate(texts)
    ]
    shown = excerpt.find(made)
    assert len(shown) <= excerpt.MOST
    numbers = [each.number for each in shown]
    assert numbers == sorted(set(numbers))
    assert all(0 <= number < len(texts) for number in numbers)
    for each in shown:
        assert len(each.text) <= excerpt.WIDEST
        assert not any(ord(char) < 32 and char != "\t" for char in each.text)


@pytest.mark.parametrize("name", CASES)
def test_a_line_that_a_rule_is_for_is_not_passed_over(name: str) -> None:
    """Rules are only tried on lines that have a hint."""
    for line in CASES[name][0].splitlines():
        if any(rule.pattern.search(line) for rule in rules.RULES):
            assert rules.hints(line)


# Of logs as they are kept.


def test_only_the_failed_step_is_looked_at(tmp_path: Path) -> None:
    store = LogStore(tmp_path)
    writer = store.writer(1)
    writer.append(index.NO_STEP, "cupel", 0.0, b"error: making the machine took a while\n")
    writer.append(0, "out", 1.0, b"error: but that step passed\n")
    writer.append(1, "out", 2.0, b"fine\nerror: this is it\n")
    writer.close()
    assert [(s.number, s.text) for s in excerpt.of(store.reader(1), 1)] == [
        (3, "error: this is it")
    ]
    assert len(excerpt.of(store.reader(1), None)) == 3
    assert excerpt.of(store.reader(2), 0) == []


def test_the_first_error_of_a_long_step_is_found_at_its_beginning(tmp_path: Path) -> None:
    store = LogStore(tmp_path)
    writer = store.writer(1)
    writer.append(0, "out", 1.0, b"passed\n" * 3000)
    writer.append(1, "out", 2.0, b"a.c:1:1: error: first\n" + b"[1/2] noise\n" * 30_000)
    writer.append(1, "out", 3.0, b"make: *** [a.o] Error 1\n")
    writer.close()
    assert [(s.number, s.text) for s in excerpt.of(store.reader(1), 1)] == [
        (3000, "a.c:1:1: error: first")
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"error: " * 60 + b"\n",
        b"Traceback (most recent call last):\n",
        b"x" * 65_535 + b"\n",
        b"/" * 500 + b":1:" * 30 + b"\n",
        b"\x1b]" * 300 + b"\n",
        b"a.out: " + b"Assertion `" * 50 + b"\n",
        b"Traceback (most recent call last):\n" + b'  File "a", line 1\n' * 20,
    ],
    ids=["errors", "tracebacks", "long", "colons", "escapes", "assertions", "frames"],
)
def test_a_hostile_log_is_read_in_no_time(tmp_path: Path, line: bytes) -> None:
    store = LogStore(tmp_path)
    writer = store.writer(1)
    for _ in range(8):
        writer.append(0, "out", 1.0, line * ((2 << 20) // len(line)))
    writer.close()
    began = time.process_time()
    assert len(excerpt.of(store.reader(1), 0)) <= excerpt.MOST
    assert time.process_time() - began < 5.0
