"""What tools say of lines: SARIF, commands in logs, Cobertura, lcov; and what hostile ones say."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.core import coverage as lines
from cupel.core.coverage import FileCoverage
from cupel.core.results import LONGEST_MESSAGE, MOST_ANNOTATIONS, Annotation, Level
from cupel.errors import InfraError
from cupel.report.results import coverage, notes, said, sarif, where
from cupel.report.results.notes import Collector, Notes
from cupel.report.results.source import Malformed, Source

LIMIT = 64 << 20


def source(data: bytes | str, name: str = "file") -> Source:
    return Source(name, io.BytesIO(data.encode() if isinstance(data, str) else data), LIMIT)


def taken(*files: bytes | str) -> tuple[Notes, list[str]]:
    told: list[str] = []
    collector = Collector(lambda name, what: told.append(f"{name}: {what}"))
    for each in files:
        assert collector.take(source(each))
    found = collector.notes
    assert found is not None
    assert notes.unpacked(notes.packed(found)) == found
    return found, told


def sarif_of(*results: dict[str, Any], **run: Any) -> str:
    driver = {"name": "ruff", "rules": [{"id": "F401", "shortDescription": {"text": "unused"}}]}
    whole = {"tool": {"driver": driver}, "results": list(results), **run}
    return json.dumps({"version": "2.1.0", "runs": [whole]})


def result(uri: str = "src/a.py", **changes: Any) -> dict[str, Any]:
    physical = {"artifactLocation": {"uri": uri}, "region": {"startLine": 3, "startColumn": 5}}
    made = {
        "ruleId": "F401",
        "level": "error",
        "message": {"text": "os is unused"},
        "locations": [{"physicalLocation": physical}],
    }
    return made | changes


class TestPaths:
    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("src/a.py", "src/a.py"),
            ("./src//a.py", "src/a.py"),
            ("/build/src/a.py", "a.py"),
            ("src\\a.py", "src/a.py"),
            ("../a.py", None),
            ("src/../../a.py", None),
            ("/etc/passwd", None),
            ("C:\\a.py", None),
            ("http://x/a.py", None),
            ("a\x1b[31m.py", None),
            ("a\u202eb.py", None),
            ("", None),
            ("x" * 501, None),
        ],
    )
    def test_only_those_of_the_project_are_taken(self, written: str, read: str | None) -> None:
        assert where.path(written) == read

    @pytest.mark.parametrize(
        ("uri", "base", "read"),
        [
            ("file:///build/src/a%20b.py", "", "a b.py"),
            ("a.py", "file:///build/src/", "a.py"),
            ("a.py", "file:///build/src/lib", "lib/a.py"),
            ("file:///etc/passwd", "", None),
            ("file://evil/build/src/a.py", "", None),
            ("%2e%2e/a.py", "", None),
            ("javascript:alert(1)", "", None),
            ("a.py", "https://example.org/", None),
        ],
    )
    def test_uris_too(self, uri: str, base: str, read: str | None) -> None:
        assert where.uri(uri, base) == read


_KEYS = st.sampled_from(
    ["runs", "tool", "driver", "results", "rules", "message", "locations", "physicalLocation",
     "region", "artifactLocation", "uri", "startLine", "level"]
)  # fmt: skip
_PLAIN = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers()
SHAPES = st.recursive(
    _PLAIN,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=20,
)


class TestSarif:
    def test_a_finding_is_read(self) -> None:
        (found,) = taken(sarif_of(result()))[0].annotations
        assert found == Annotation(
            path="src/a.py",
            line=3,
            column=5,
            level=Level.ERROR,
            title="F401",
            message="os is unused",
            tool="ruff",
        )

    def test_what_is_set_aside_or_nothing_new_is_not_told(self) -> None:
        quiet = [
            result(suppressions=[{"kind": "inSource"}]),
            result(kind="pass"),
            result(baselineState="unchanged"),
            result(level="none"),
        ]
        assert taken(sarif_of(*quiet))[0].annotations == ()
        rejected = result(suppressions=[{"kind": "external", "status": "rejected"}])
        assert len(taken(sarif_of(rejected))[0].annotations) == 1

    def test_what_is_missing_comes_from_the_rule(self) -> None:
        bare = {"ruleIndex": 0, "message": {}}
        (found,) = taken(sarif_of(bare))[0].annotations
        assert (found.message, found.title, found.level) == ("unused", "F401", Level.WARNING)
        assert (found.path, found.line) == (None, None)

    def test_a_path_that_leads_out_is_left_out_and_the_finding_stays(self) -> None:
        (found,) = taken(sarif_of(result("../../etc/passwd")))[0].annotations
        assert (found.path, found.line) == (None, None)

    def test_it_is_bounded_and_harmless(self) -> None:
        many = [result(message={"text": "\x1b[2J" + "x" * 5000})] * (MOST_ANNOTATIONS + 5)
        found, told = taken(sarif_of(*many))
        assert len(found.annotations) == MOST_ANNOTATIONS
        assert told == ["annotations: 5 past the first are left out"]
        assert len(found.annotations[0].message) <= LONGEST_MESSAGE
        assert "\x1b" not in found.annotations[0].message

    @pytest.mark.parametrize("text", ['{"runs": ' + "[" * 100_000, '{"runs": [', '{"runs": 1e999}'])
    def test_what_is_broken_is_told(self, text: str) -> None:
        found, told = taken(text)
        assert found.annotations == ()
        assert told or "1e999" in text

    @given(SHAPES)
    def test_nothing_of_any_shape_breaks_it(self, document: Any) -> None:
        data = json.dumps({"runs": document}, default=str)
        list(sarif.read(source(data)))

    def test_too_large_a_file_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sarif, "LARGEST", 1000)
        with pytest.raises(Malformed, match="more than"):
            list(sarif.read(source("{" + " " * 2000)))


class TestCommands:
    @pytest.mark.parametrize(
        ("line", "read"),
        [
            ("::error file=a.py,line=3,col=5,endLine=4,title=Bad%2C bad::Oh%0Ano",
             Annotation(path="a.py", line=3, column=5, end_line=4, level=Level.ERROR,
                        title="Bad, bad", message="Oh no")),
            ("  ::warning::watch out",
             Annotation(path=None, level=Level.WARNING, message="watch out")),
            ("::notice file=/build/src/b.c::x",
             Annotation(path="b.c", level=Level.NOTICE, message="x")),
            ("::error file=../../etc/passwd,line=1::x",
             Annotation(path=None, level=Level.ERROR, message="x")),
            ("::error file=a.py,line=-1::", Annotation(path="a.py", level=Level.ERROR,
                                                       message="(no message)")),
            ("::group::x", None),
            ("std::error::x", None),
            ("see ::error::x", None),
        ],
    )  # fmt: skip
    def test_a_line_is_read(self, line: str, read: Annotation | None) -> None:
        assert said.read(line) == read

    @given(st.lists(st.integers(1, 9)), st.sampled_from(["\n", "\r\n"]))
    def test_output_may_be_cut_anywhere(self, cuts: list[int], end: str) -> None:
        text = f"one{end}::error file=a,line=1::x{end}two ::x{end}::notice::y".encode()
        scanner = said.Scanner()
        at = 0
        for cut in cuts:
            scanner.feed(0, "out", 0, text[at : at + cut])
            at += cut
        scanner.feed(0, "out", 0, text[at:])
        assert [each.message for each in scanner.end()] == ["x", "y"]

    def test_streams_do_not_mix_and_our_own_remarks_are_none(self) -> None:
        scanner = said.Scanner()
        scanner.feed(0, "out", 0, b"::err")
        scanner.feed(0, "err", 0, b"or::x\n::warning::y\n")
        scanner.feed(0, "cupel", 0, b"::error::not a tool\n")
        scanner.feed(0, "out", 0, b"or::z\n")
        assert [each.message for each in scanner.end()] == ["y", "z"]

    def test_there_is_an_end_to_them_and_to_a_line(self) -> None:
        scanner = said.Scanner(most=2)
        scanner.feed(0, "out", 0, b"::error::" + b"x" * 100_000)
        scanner.feed(0, "out", 0, b"x" * 100_000 + b"\n" + b"::error::y\n" * 5)
        found = scanner.end()
        assert len(found) == 2
        assert len(found[0].message) <= LONGEST_MESSAGE


COBERTURA = """<?xml version="1.0"?>
<!DOCTYPE coverage SYSTEM 'http://cobertura.sourceforge.net/xml/coverage-04.dtd'>
<coverage><sources><source>/build/src/src</source></sources>
<packages><package><classes>
<class filename="a.py">
<methods><method><lines><line number="1" hits="0"/></lines></method></methods>
<lines><line number="1" hits="2"/><line number="2" hits="0"/><line number="x" hits="1"/></lines>
</class>
<class filename="/etc/passwd"><lines><line number="1" hits="1"/></lines></class>
</classes></package></packages></coverage>"""
LCOV = "TN:\nSF:/build/src/src/a.py\nDA:2,1\nDA:3,0,abc\nDA:x,1\nDA:4,-1\nend_of_record\nDA:9,9\n"


class TestCoverage:
    def test_cobertura_and_lcov_go_together(self) -> None:
        found, told = taken(COBERTURA, LCOV)
        assert found.coverage == {
            "src/a.py": FileCoverage(covered=((1, 2),), missed=((3, 4),)),
        }
        assert told == []

    def test_a_document_type_of_its_own_is_refused(self) -> None:
        bomb = (
            '<!DOCTYPE coverage [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><coverage>&b;</coverage>'
        )
        _, told = taken("<?xml version='1.0'?>" + bomb)
        assert "document type of its own" in told[0]

    @pytest.mark.parametrize(
        "text", ["<coverage>" + "<a>" * 200, "<coverage", "<coverage>" + "<a b='" + "x" * 2_000_000]
    )
    def test_what_is_broken_is_told(self, text: str) -> None:
        _, told = taken(text)
        assert len(told) == 1

    def test_it_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(notes, "MOST_LINES", 3)
        found, told = taken("SF:a\n" + "".join(f"DA:{n},1\n" for n in range(1, 10)))
        assert lines.count(found.coverage["a"].covered) == 3
        assert "more than 3 lines" in told[0]
        monkeypatch.setattr(notes, "MOST_FILES", 1)
        assert "more than 1 files" in taken("SF:a\nDA:1,1\nSF:b\nDA:1,1\n")[1][0]

    @given(st.binary(max_size=300))
    def test_no_bytes_break_it(self, data: bytes) -> None:
        for head in (b"<coverage>", b"SF:a\nDA:1,1\n", b'{"runs": '):
            taken(head + data)

    @given(st.sets(st.integers(1, 60)), st.sets(st.integers(1, 60)))
    def test_what_is_common_is_common(self, one: set[int], other: set[int]) -> None:
        found = lines.common(lines.spans(one), lines.spans(other))
        assert {n for first, last in found for n in range(first, last + 1)} == one & other

    def test_of_a_diff_it_is_what_the_change_adds(self) -> None:
        covered = {
            "src/a.py": FileCoverage(covered=((1, 10),), missed=((11, 20),)),
            "pkg/b.py": FileCoverage(covered=((1, 1),), missed=()),
        }
        added = {"src/a.py": [(9, 12), (30, 40)], "lib/pkg/b.py": [(1, 1)], "README": [(1, 5)]}
        first, second = lines.of_added(covered, added)
        assert (first.path, first.covered, first.missed) == ("lib/pkg/b.py", 1, 0)
        assert (second.covered, second.missed, second.spans) == (2, 2, ((11, 12),))

    def test_a_name_that_fits_two_files_fits_none(self) -> None:
        covered = {name: FileCoverage(covered=((1, 1),), missed=()) for name in ("a/x", "b/x")}
        assert lines.of_added(covered, {"x": [(1, 1)]}) == []

    @pytest.mark.parametrize(
        ("path", "line", "last", "touched"),
        [("a", 5, None, True), ("a", 4, 5, True), ("a", 4, None, False), ("a", None, None, True),
         ("b", 5, None, False), (None, None, None, False), ("a", 9, 2, False)],
    )  # fmt: skip
    def test_which_lines_a_change_touches(
        self, path: str | None, line: int | None, last: int | None, touched: bool
    ) -> None:
        assert lines.touches({"a": [(5, 7)]}, path, line, last) is touched


def test_what_is_damaged_is_no_document() -> None:
    for data in (b"", b"x", notes.packed(Notes())[:-3] + b"xyz"):
        with pytest.raises(InfraError):
            notes.unpacked(data)


def test_other_files_are_no_notes() -> None:
    collector = Collector(lambda *_: None)
    for data in ("<testsuite/>", '{"Action": "pass"}', "TAP version 13", "", "{}"):
        assert not collector.take(source(data))
    assert collector.notes is None
    assert not coverage.is_lcov(b"xSF:")
