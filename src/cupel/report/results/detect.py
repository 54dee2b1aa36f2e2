"""Which format a file is in, by what stands in it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator

from cupel.core.results import Result
from cupel.report.results import gotest, junit, subunit, tap
from cupel.report.results.source import Source

Read = Callable[[Source], Iterator[Result]]

_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_ROOT = re.compile(rb"<(?!\?|!)(?:[\w.-]{1,40}:)?([\w.-]{1,60})")
_TAP = re.compile(
    rb"^(TAP version 1[234]\b|1\.\.\d+\s*(#|$)|(not )?ok\b[ \t]*(\d|-|#|$))", re.MULTILINE
)
_GO = re.compile(rb'^\{[^\n]*"Action"\s{0,4}:\s{0,4}"', re.MULTILINE)
_JUNIT_ROOTS = frozenset({b"testsuites", b"testsuite", b"testcase", b"testrun", b"testResults"})
_LOOKS_LIKE_RESULTS = (".xml", ".tap", ".subunit", ".junit")


def reader(source: Source) -> Read | None:
    """What reads the file; None if it is in no format of results that is known."""
    head = source.head
    if head.startswith(_UTF16):
        return junit.read
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if text.startswith(b"<"):
        root = _ROOT.search(text)
        return junit.read if root is None or root.group(1) in _JUNIT_ROOTS else None
    at = head.find(subunit.SIGNATURE)
    if at >= 0 and head[at + 1 : at + 2] and head[at + 1] >> 4 == 2:
        return subunit.read
    if _GO.search(text):
        return gotest.read
    return tap.read if _TAP.search(text) else None


def is_meant(source: Source) -> bool:
    """Whether somebody may have meant a file that nothing reads to be read."""
    is_xml = source.head.lstrip().startswith(b"<") and _ROOT.search(source.head) is not None
    return source.name.lower().endswith(_LOOKS_LIKE_RESULTS) and not is_xml
