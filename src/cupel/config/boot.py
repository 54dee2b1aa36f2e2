"""The `boot` of a step: when a system that nothing of ours runs in has passed."""

from __future__ import annotations

from cupel.config import scalar
from cupel.config.document import Array, Scalar, Value
from cupel.config.problem import Problems, show
from cupel.config.scalar import Text
from cupel.config.shape import Field, Found, ListOf, Record, Refused, Schema
from cupel.core.job import Boot

NAME = "boot"
"""What such a step is called in logs, by default."""

MOST = 16
OFF = "off"
HIGHEST = 127

_PATTERN = Text(wanted="a text that a line of the console holds", limit=200)


class PatternsShape:
    """A text that a line may hold, or a list of them."""

    _list = ListOf(_PATTERN, "texts", least=1, empty_hint="leave the key out")

    def read(self, value: Value, problems: Problems) -> tuple[str, ...]:
        texts = (
            self._list.read(value, problems)
            if isinstance(value, Array)
            else (_PATTERN.read(value, problems),)
        )
        if len(texts) > MOST:
            raise Refused(value.at, f"more than {MOST} texts", "join them with *")
        for text in texts:
            if not text.strip("* "):
                raise Refused(value.at, f"{show(text)} matches every line")
        return texts

    def schema(self) -> Schema:
        return {"anyOf": [_PATTERN.schema(), self._list.schema()]}


class ExitShape:
    """How the system ends: a number, or `off`."""

    _wanted = f"a number from 0 to {HIGHEST}, or {OFF}"

    def read(self, value: Value, problems: Problems) -> int | str:
        text = value.text if isinstance(value, Scalar) else ""
        if text == OFF:
            return OFF
        number = scalar.whole(text) if text.isdecimal() else None
        if number is None or number > HIGHEST:
            raise Refused(value.at, f"expected {self._wanted}")
        return int(number)

    def schema(self) -> Schema:
        number: Schema = {"type": "integer", "minimum": 0, "maximum": HIGHEST}
        return {"anyOf": [number, {"const": OFF}]}


EXPECT = Field(
    key="expect",
    shape=PatternsShape(),
    text="A text, or a list of them, each of which a line of the console has to hold; `*` in it "
    "stands for anything. Once all have come the step has passed, unless `exit` asks for more.",
)
FAIL = Field(
    key="fail",
    shape=PatternsShape(),
    text="A text, or a list of them, of which no line of the console may hold one.",
)
EXIT = Field(
    key="exit",
    shape=ExitShape(),
    text=f"How the system has to end: the number (at most {HIGHEST}) that it writes to I/O port "
    "0xf4, or `off` for switching itself off.",
)
RECORD = Record(wanted="a mapping with expect, fail and exit", fields=(EXPECT, FAIL, EXIT))


class BootShape:
    """Reads the rule."""

    def read(self, value: Value, problems: Problems) -> Boot:
        found = RECORD.read(value, problems)
        ends = found.find(EXIT)
        if found.find(EXPECT) is None and ends is None and not _unread(found):
            raise Refused(
                value.at, "nothing says when it has passed", "add `expect` or `exit` to `boot`"
            )
        return Boot(
            expect=found.get(EXPECT, ()),
            fail=found.get(FAIL, ()),
            exit=ends if isinstance(ends, int) else None,
            off=ends == OFF,
        )

    def schema(self) -> Schema:
        either = [{"required": [field.key]} for field in (EXPECT, EXIT)]
        return RECORD.schema() | {"anyOf": either}


def _unread(found: Found) -> bool:
    return any(found.failed(field) for field in (EXPECT, EXIT))
