"""Patterns as in .gitignore, as they are written."""

from __future__ import annotations

from cupel.config.document import Value
from cupel.config.problem import Problems, show
from cupel.config.scalar import Text
from cupel.config.shape import Refused, Schema


class PatternShape:
    """A pattern as in .gitignore."""

    _text = Text(wanted="a pattern", limit=1000)

    def read(self, value: Value, problems: Problems) -> str:
        text = self._text.read(value, problems)
        import pathspec

        try:
            spec = pathspec.GitIgnoreSpec.from_lines([text])
        except ValueError:
            spec = None
        if spec is None or not any(pattern.include is not None for pattern in spec.patterns):
            raise Refused(value.at, f"{show(text)} is not a pattern as in .gitignore")
        return text

    def schema(self) -> Schema:
        return self._text.schema()
