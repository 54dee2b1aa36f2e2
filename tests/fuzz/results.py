"""Feeds the readers of test results with whatever atheris thinks of: `python results.py [CORPUS]`.

Its options are libFuzzer's: `-max_total_time=300`, `-runs=100000`, or a file that crashed before.
"""

from __future__ import annotations

import io
import sys

import atheris

with atheris.instrument_imports(include=["cupel"]):
    from cupel.core import results
    from cupel.report.results import gotest, junit, kept, place, subunit, tap
    from cupel.report.results.collect import Collector
    from cupel.report.results.source import Malformed, Source

READERS = (junit.read, tap.read, subunit.read, gotest.read)


def one_input(data: bytes) -> None:
    """Read the data by one reader, then as a file of a build; nothing but `Malformed` may come."""
    if not data:
        return
    which, content = data[0], data[1:]
    limit = len(content) if which & 0x80 else len(content) // 2
    try:
        for result in READERS[which % len(READERS)](Source("f", io.BytesIO(content), limit)):
            place.found(result)
    except Malformed:
        pass
    collector = Collector(most_tests=50, most_text=10_000)
    collector.take(Source("f.xml", io.BytesIO(content), limit))
    ordered = collector.ordered()
    told = collector.findings(ordered)
    for each in ordered:
        for text in (each.suite, each.name, each.message, each.file or "", *told.notices):
            if results.one_line(text, 5_000) != text:
                raise AssertionError(f"not harmless in a line: {text!r}")
        if results.printable(each.text) != each.text:
            raise AssertionError(f"not harmless: {each.text!r}")
    kept.write(io.BytesIO(), ordered, told.tally)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
