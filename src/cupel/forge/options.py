"""The options of a push for review: `-o name=value`, and `%name=value` in its ref."""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Sequence

from cupel.forge.push import TITLE_LIMIT, PushOptions, Refusal

_VALUED = ("topic", "title", "description")
_FLAGS = ("land", "wait", "hold")
_TOPIC = re.compile(r"[^\s%,\x00-\x1f\x7f\ud800-\udfff]{1,100}")


def parse_options(ref: str, words: Sequence[str], topic: str | None) -> PushOptions | Refusal:
    """Read `name` and `name=value` words; `topic` is the one that the ref names, if it does."""
    values: dict[str, str] = {} if topic is None else {"topic": topic}
    flags: dict[str, bool] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if name in _FLAGS:
            if equals and text not in ("true", "false"):
                return Refusal(ref=ref, message=f"option {name} is on or off, not {text!r}")
            flags[name] = text != "false"
            continue
        value = _value(ref, name, text)
        if isinstance(value, Refusal):
            return value
        if values.setdefault(name, value) != value:
            return Refusal(ref=ref, message=f"{name} is given twice, and differently")
    return _checked(
        ref,
        PushOptions(
            topic=values.get("topic"),
            title=values.get("title"),
            description=values.get("description"),
            land=flags.get("land", False),
            wait=flags.get("wait", False),
            hold=flags.get("hold", False),
        ),
    )


def _value(ref: str, name: str, value: str) -> str | Refusal:
    """An option's value; git allows no newline in it, so it may come as `base64:…`."""
    if name not in _VALUED:
        return Refusal(
            ref=ref,
            message=f"there is no push option {name!r}",
            hint=nearest("-o ", name, (*_FLAGS, *(f"{known}=…" for known in _VALUED))),
        )
    encoded = value.removeprefix("base64:")
    if encoded != value:
        try:
            value = base64.b64decode(encoded, validate=True).decode()
        except ValueError:
            return Refusal(ref=ref, message=f"the value of {name} is not base64 of UTF-8 text")
    if not value.strip():
        return Refusal(ref=ref, message=f"{name} needs a value", hint=f"-o {name}=…")
    # Neither broken UTF-8 nor NUL can be stored.
    value = value.encode(errors="surrogateescape").decode(errors="replace")
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}").strip()


def _checked(ref: str, options: PushOptions) -> PushOptions | Refusal:
    if options.topic is not None and not _TOPIC.fullmatch(options.topic):
        return Refusal(
            ref=ref,
            message=f"{options.topic!r} cannot be a topic",
            hint="A topic has up to 100 characters, no spaces, commas or percent signs",
        )
    if options.title is not None and ("\n" in options.title or len(options.title) > TITLE_LIMIT):
        return Refusal(
            ref=ref,
            message=f"a title is one line of at most {TITLE_LIMIT} characters",
            hint="-o description=… takes more",
        )
    return options


def nearest(prefix: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"Did you mean {prefix}{close[0]}?"
    return f"There is: {', '.join(f'{prefix}{word}' for word in known)}"
