"""Feeds the readers of what is said of lines, and of caches, with whatever atheris thinks of:
`python notes.py [CORPUS]`.

Its options are libFuzzer's, as for `results.py`.
"""

from __future__ import annotations

import io
import sys
import tarfile

import atheris

with atheris.instrument_imports(include=["cupel"]):
    from cupel.core import results
    from cupel.errors import UserError
    from cupel.git import diff
    from cupel.host.caches import erofs, pack
    from cupel.report.results import notes, said
    from cupel.report.results.source import Source

NOTES, PRINTED, CACHE, DIFF = range(4)


def one_input(data: bytes) -> None:
    """Read the data by one reader; nothing but what it says that it raises may come."""
    if not data:
        return
    content = data[1:]
    match data[0] % 4:
        case 0:
            read_notes(content)
        case 1:
            scanner = said.Scanner()
            for at in range(0, len(content), 7):
                scanner.feed(at % 2, "out", 0, content[at : at + 7])
            check(scanner.end())
        case 2:
            read_cache(content)
        case _:
            diff.parse(content)


def read_notes(content: bytes) -> None:
    collector = notes.Collector(lambda name, what: None)
    collector.take(Source("f", io.BytesIO(content), len(content)))
    found = collector.notes
    if found is not None:
        check(found.annotations)
        for path in found.coverage:
            if path.startswith("/") or ".." in path.split("/"):
                raise AssertionError(f"it leads out: {path!r}")
        if notes.unpacked(notes.packed(found)) != found:
            raise AssertionError("it is not kept as it is")


def check(annotations: object) -> None:
    assert isinstance(annotations, list | tuple)
    for each in annotations:
        for text in (each.path or "", each.title, each.message, each.tool):
            if results.one_line(text, 5_000) != text:
                raise AssertionError(f"not harmless in a line: {text!r}")
        if each.path is not None and (each.path.startswith("/") or ".." in each.path.split("/")):
            raise AssertionError(f"it leads out: {each.path!r}")


def read_cache(content: bytes) -> None:
    framed = pack.LENGTH.pack(len(content)) + content + (pack.LENGTH.pack(0) if content else b"")
    target = io.BytesIO()
    try:
        pack.pack(io.BytesIO(framed), target, 1)
    except (UserError, tarfile.TarError, EOFError, OSError, ValueError):
        return
    if len(target.getvalue()) % erofs.BLOCK:
        raise AssertionError("an image that does not end with a block")


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
