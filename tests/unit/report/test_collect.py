"""Results of a build together: one for each test, in order, within bounds; kept and found again."""

import contextlib
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.core import results
from cupel.core.results import Outcome, Result
from cupel.errors import InfraError
from cupel.report.results import collect, findings, gotest, junit, kept, subunit, tap
from cupel.report.results.kept import Kept
from cupel.report.results.source import Clip, Malformed
from unit.report import reading


def suite(*names: str, bad: str = "") -> str:
    cases = [f'<testcase name="{name}">{bad}</testcase>' for name in names]
    return f"<testsuite>{''.join(cases)}</testsuite>"


BAD = '<failure message="no">text</failure>'


def test_those_that_failed_come_first_and_then_the_flaky_and_skipped() -> None:
    skipped = "<testsuite><testcase name='s'><skipped/></testcase></testsuite>"
    again = f"<testsuite><testcase name='f'>{BAD}</testcase><testcase name='f'/></testsuite>"
    made = reading.collected(suite("a", "b"), skipped, again, suite("z", "y", bad=BAD))
    ordered = made.ordered()
    assert [each.name for each in ordered] == ["z", "y", "f", "s", "a", "b"]
    tally = made.findings(ordered).tally
    assert (tally.failed, tally.flaky, tally.skipped, tally.passed) == (2, 1, 1, 3)
    for outcome, names in {"failed": "zy", "flaky": "f", "skipped": "s", "passed": "ab"}.items():
        start, end = collect.span(tally, outcome)
        assert "".join(each.name for each in ordered[start:end]) == names


def test_a_test_of_two_files_has_failed_if_it_failed_in_either() -> None:
    for order in ([suite("a"), suite("a", bad=BAD)], [suite("a", bad=BAD), suite("a")]):
        [only] = reading.read(*order)[0]
        assert (only.outcome, only.flaky) == (Outcome.FAILED, False)


def test_a_test_that_failed_again_after_it_passed_has_failed() -> None:
    case = "<testcase name='a'/>"
    text = f"<testsuite>{case}<testcase name='a'>{BAD}</testcase></testsuite>"
    [only] = reading.read(text)[0]
    assert (only.outcome, only.flaky, only.message) == (Outcome.FAILED, True, "no")


def test_results_past_the_bound_are_counted_but_failures_are_let_in() -> None:
    made = reading.collected(suite(*"abcd"), suite(*"efgh", bad=BAD), most_tests=3)
    ordered = made.ordered()
    assert [each.name for each in ordered] == [*"efg", *"abc"]
    assert made.findings(ordered).notices == ("2 results past the first 3 left out",)


def test_text_past_the_bound_is_left_out_but_the_result_is_not() -> None:
    made = reading.collected(suite(*"abc", bad=BAD), most_text=300)
    ordered = made.ordered()
    assert [each.text for each in ordered] == ["text", "text", ""]
    [notice] = made.findings(ordered).notices
    assert "the texts of 1 failures are left out" in notice


def test_files_that_are_no_results_are_passed_over() -> None:
    for text in ("", "hello\n", '{"version": "2.1.0", "runs": []}', "TN:\nSF:a.c\n", "\x89PNG"):
        assert not reading.collected(text, name="x.txt").has_read or not text
    assert not reading.collected("<?xml version='1.0'?>\n<coverage/>", name="cov.xml").has_read
    [notice] = reading.read("hello", name="pytest.xml")[1]
    assert notice == "pytest.xml: it is in no format of test results that is known"
    [notice] = reading.read("", name="pytest.xml")[1]
    assert notice == "pytest.xml: it is empty"


def test_a_file_that_is_cut_says_so() -> None:
    made = reading.collected()
    made.take(reading.source(suite(*"abcdef"), limit=90))
    assert "it is too large, so the end is not read; 2 results" in made.notices[0]


def test_a_place_of_odd_text_is_harmless_too() -> None:
    text = "a  b \u202e\t.py:3: Error"
    bad = f'<testcase name="a"><failure>{text}</failure></testcase>'
    [only] = reading.read(bad)[0]
    assert only.file is not None
    assert results.one_line(only.file, 500) == only.file


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('E   File.py:3: x\n  File "tests/t.py", line 7, in f\nE   ValueError', "tests/t.py:7"),
        ("/usr/lib/x.c:3:1: note\nsrc/lib.rs:12:5", "src/lib.rs:12"),
        ("    at f (node:internal/x.js:1:1)\n    at g (/build/src/a/b.js:9:3)", "a/b.js:9"),
        ("at java.base/x.y(Z.java:3)\nat org.junit.A(B.java:1)\nat a.b.C.d(C.java:4)", "C.java:4"),
        ("see https://example.org:8080/x and 12:30:01", ""),
    ],
)
def test_where_a_test_failed_is_found_in_its_text(text: str, place: str) -> None:
    [only] = reading.read(f"<testcase><failure><![CDATA[{text}]]></failure></testcase>")[0]
    assert only.place == place


def test_there_are_only_so_many_notices() -> None:
    made = reading.collected(*["<testsuite>"] * 50)
    assert len(made.notices) == results.MOST_NOTICES


@given(st.lists(st.text(max_size=50), max_size=30), st.integers(3, 100))
def test_a_clip_keeps_the_beginning_and_the_end(texts: list[str], most: int) -> None:
    clip = Clip(most)
    for text in texts:
        clip.add(text)
    whole = "".join(texts)
    assert len(clip.text) <= most
    if len(whole) <= most:
        assert clip.text == whole


# What is kept.


def keep(directory: Path, ordered: list[Result]) -> Kept:
    path = directory / "kept"
    with path.open("wb") as file:
        kept.write(file, ordered, results.tally(ordered))
    return Kept(path)


def many(count: int) -> list[Result]:
    return [
        Result(suite="s", name=f"t{n}", outcome=Outcome.PASSED, seconds=n / 8) for n in range(count)
    ]


@pytest.mark.parametrize("count", [0, 1, kept.BLOCK - 1, kept.BLOCK, 2 * kept.BLOCK + 3])
def test_what_is_kept_is_found_page_by_page_and_by_name(tmp_path: Path, count: int) -> None:
    ordered = many(count)
    with keep(tmp_path, ordered) as file:
        assert list(file) == ordered
        assert file.page(3, 700) == ordered[3:703]
        assert file.page(count + 5, 10) == []
        assert file.of("passed", 2, 5) == ordered[2:7]
        assert file.of("failed", 0, 5) == []
        assert all(file.find(each.digest) == each for each in ordered[:: max(count // 7, 1)])
        assert file.find(results.digest("s::other")) is None
        assert list(file.matching("T1")) == [each for each in ordered if "t1" in each.name]


def test_every_field_of_a_result_is_kept(tmp_path: Path) -> None:
    full = Result(
        suite="s",
        name="n",
        outcome=Outcome.ERROR,
        seconds=0.0,
        message="m",
        text="t\n試",
        file="f",
        line=3,
        flaky=True,
    )
    with keep(tmp_path, [full]) as file:
        assert file.page(0, 1) == [full]


def test_a_hundred_thousand_tests_take_little_room(tmp_path: Path) -> None:
    ordered = [
        Result(suite=f"tests.unit.test_{n // 50}", name=f"test_x[{n}]", outcome=Outcome.PASSED)
        for n in range(20_000)
    ]
    with keep(tmp_path, ordered):
        assert (tmp_path / "kept").stat().st_size < 20 * len(ordered)


def test_a_damaged_file_is_told_as_such(tmp_path: Path) -> None:
    keep(tmp_path, many(50)).close()
    whole = (tmp_path / "kept").read_bytes()
    for at in range(0, len(whole), 11):
        for data in (whole[:at], whole[:at] + b"\xff\xff" + whole[at + 2 :]):
            (tmp_path / "kept").write_bytes(data)
            try:
                with Kept(tmp_path / "kept") as file:
                    list(file)
                    file.find(many(1)[0].digest)
            except InfraError:
                continue


def test_findings_are_the_same_on_both_sides_of_the_process() -> None:
    import json

    made = reading.collected(suite("a", "b", bad=BAD), "<broken")
    told = made.findings(made.ordered())
    assert findings.parse(json.dumps(findings.plain(told)).encode()) == told
    for text in (b"", b"[]", b"{}", b'{"tally": {"x": 1}}', b"[" * 100_000):
        with pytest.raises(InfraError):
            findings.parse(text)


# Whatever is read, nothing but `Malformed` comes of it, and what is told is harmless.

_BITS = st.sampled_from(
    [
        b"<testsuite>", b"</testsuite>", b"<testcase name='", b"'>", b"</testcase>", b"<failure>",
        b"</failure>", b"<skipped message='x'/>", b"&#x1b;", b"&#", b"<![CDATA[", b"]]>", b"<!--",
        b"TAP version 14\n", b"1..3\n", b"ok 1 - a\n", b"not ok\n", b"    not ok 2 # TODO x\n",
        b"  ---\n", b"  ...\n", b"# Subtest: s\n", b"Bail out!\n", b"\xb3\x29\x01\x13\x00",
        b"\xb3\x20\x00\x0c", b"\xff", b"\xe2\x80\xae", b"\x00", b'{"Action":"run","Test":"T"}\n',
        b'{"Action":"fail","Package":"p"}\n', b'{"Action":"output","Test":"T","Output":"x.go:1: "}',
    ]
)  # fmt: skip
_FILES = st.one_of(st.lists(_BITS | st.binary(max_size=30), max_size=40).map(b"".join))


@given(_FILES, st.integers(0, 400), st.sampled_from([junit, tap, subunit, gotest]))
def test_no_file_breaks_a_parser(data: bytes, limit: int, parser: object) -> None:
    read = parser.read  # type: ignore[attr-defined]
    for bound in (limit, 1 << 20):
        with contextlib.suppress(Malformed):
            list(read(reading.source(data, limit=bound)))


@given(st.lists(_FILES, max_size=3))
def test_whatever_is_read_is_harmless_and_can_be_kept(files: list[bytes]) -> None:
    made = reading.collected(*files)
    ordered = made.ordered()
    told = made.findings(ordered)
    assert len({each.id for each in ordered}) == len(ordered) == told.tally.total
    for each in ordered:
        for text in (each.suite, each.name, each.message, each.file or ""):
            assert results.one_line(text, 2000) == text
        assert results.printable(each.text) == each.text
    for notice in told.notices:
        assert results.printable(notice) == notice
    kept.write(io.BytesIO(), ordered, told.tally)
