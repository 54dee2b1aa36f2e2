"""Which lines of a log say what went wrong: rules for compilers, test runners, shells and the like.

A rule is data: a pattern that is searched in one line, how much its lines matter, and how many of
the lines after it belong to it. No pattern repeats a group that repeats, so each is linear in the
line; lines are cut before they are looked at.
"""

from __future__ import annotations

import dataclasses
import re


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Lines in which `pattern` is found. What has more `weight` is shown before what has less.

    `after` lines go with it, as long as `more` is found in them: they are indented. Of a rule with
    `last`, the last of its lines matter most; else the first, of which the rest follows.
    """

    name: str
    weight: int
    pattern: re.Pattern[str]
    after: int
    more: re.Pattern[str]
    last: bool


def _rule(
    name: str,
    weight: int,
    *patterns: str,
    after: int = 0,
    more: str = r"^\s+\S",
    last: bool = False,
) -> Rule:
    return Rule(
        name=name,
        weight=weight,
        pattern=re.compile("|".join(f"(?:{each})" for each in patterns)),
        after=after,
        more=re.compile(more),
        last=last,
    )


RULES: tuple[Rule, ...] = (
    _rule("pytest", 100, r"^(?:FAILED|ERROR) [^ ]+(?:::| - |\.py$)"),
    _rule(
        "memory",
        95,
        r"Out of memory: Killed process",
        r"killed for memory",
        r"\bMemoryError\b",
        r"java\.lang\.OutOfMemoryError",
        r"[Cc]annot allocate memory",
        r"virtual memory exhausted",
        r"std::bad_alloc",
        r"JavaScript heap out of memory",
        r"Killed signal terminated program",
    ),
    _rule("disk", 95, r"No space left on device", r"Disk quota exceeded"),
    _rule(
        "crash",
        90,
        r"\b[Ss]egmentation fault\b",
        r"\bSIG(?:SEGV|ABRT|BUS|ILL|FPE)\b",
        r"\bcore dumped\b",
        r"^Bus error",
        r"^Illegal instruction",
        r"^Fatal Python error: ",
        r"terminate called after throwing",
        r"\bpanicked at\b",
        r"^panic: ",
        r"^fatal error: all goroutines are asleep",
        r"(?:Address|Thread|Memory|Leak)Sanitizer: ",
        r": runtime error: ",
        r"a process crashed; its core",
        r"^Kernel panic",
        r"^Exception in thread ",  # java
        r"^Caused by: ",
        after=2,
    ),
    _rule(
        "compiler",
        85,
        r"^[^ :][^:]{0,300}:[0-9]+(?::[0-9]+)?: (?:fatal )?error\b",  # gcc, clang, javac, mypy
        r"^[^ (][^(]{0,300}\([0-9]+,[0-9]+\): error\b",  # tsc, msbuild
        r"^[^ :][^:]{0,300}:[0-9]+:[0-9]+ - error\b",  # tsc --pretty
        r"^error(?:\[E[0-9]{1,6}\])?: (?!could not compile|aborting due)",  # rustc
        r"^[^ :][^:]{0,300}\.go:[0-9]+:[0-9]+: ",  # go build, go vet
        r"^[^ :][^:]{0,300}\.py:[0-9]+:[0-9]+: [A-Z]{1,4}[0-9]{1,5}\b",  # flake8
        r"^[A-Z]{1,4}[0-9]{3,5} (?:\[\*\] )?[A-Za-z`]",  # ruff
        r"^e: ",  # kotlinc
        r"^\[error\] ",  # scalac
        r"^CMake Error\b",
        r"^\s+[0-9]+:[0-9]+ +error  ",  # eslint
        r"\bundefined reference to ",
        r"^(?:/[^ ]{0,200}/)?ld(?:\.[a-z]{1,8})?: (?:error|cannot find|.{0,200}undefined)",
        after=4,
        more=r"^\s+\S|^[0-9]+ +\|",
    ),
    _rule("template", 84, r": +required from here$"),  # g++: where the project's own line is
    _rule(
        "test",
        80,
        r"^--- FAIL: ",  # go test
        r"^(?:FAIL|ERROR): [^ ]+ \(",  # unittest
        r"^not ok [0-9]",  # TAP
        r"^test [^ ]+ \.\.\. FAILED",  # cargo test
        r"^\s*● .+ › ",  # jest
        r"^\[  FAILED  \] [^ ]+\.[^ ]+",  # googletest
        after=4,
    ),
    _rule("ctest", 80, r"\*\*\*(?:Failed|Exception|Timeout)\b"),
    _rule(
        "assertion",
        75,
        r"^E   [ ]*\S",  # pytest
        r"\bAssertion `?.{1,300}'? failed\b",
        r"\bassertion (?:`.{0,300}` )?failed\b",
        r"^AssertionError\b",
        after=2,
    ),
    _rule(
        "package",
        70,
        r"^E: ",  # apt
        r"^ERROR: (?!.*dependency resolver)",  # pip
        r"^dpkg: error",
        r"^npm (?:ERR!|error) (?!A complete log|Lifecycle)",
        r"^error An unexpected error occurred",  # yarn
        r"Temporary failure in name resolution",
        r"Could not resolve host",
        r"^fatal: ",  # git
        r"^× ",  # pip, uv
        after=1,
    ),
    _rule(
        "shell",
        65,
        r"(?:^|: )command not found\b",
        r"^(?:/bin/)?(?:ba|da|z|)sh: .{0,200}: (?:not found|[A-Z][a-z])",
        r"^[^ :]{1,200}: line [0-9]+: ",
        r": (?:No such file or directory|Permission denied)$",
        r": unbound variable$",
        r": No module named ",
    ),
    _rule(
        "make",
        50,
        r"^g?make(?:\[[0-9]+\])?: \*\*\* ",
        r"^ninja: (?:build stopped|error)",
        r"^FAILED: (?![0-9]+\b)",
        r"^FAILURE: Build failed",
        r"^\[ERROR\] ",  # maven
        r"^error: could not compile",
        last=True,
    ),
    _rule(
        "error",
        40,
        r"^\W{0,10}(?i:fatal|error|exception|failure)\b(?! ?s?[:=] ?0\b)",
        r"\b(?i:fatal|error|exception)(?: [a-z0-9]{1,20})?: (?!0\b|[Nn]one\b|[Ff]alse\b)",
        r"^[A-Za-z_][\w.]{0,100}(?:Error|Exception): ",
        last=True,
    ),
)

_WORDS = (
    "error", "err!", "fail", "fatal", "panic", "killed", "memory", "exception", "assert", "abort",
    "fault", "crash", "not found", "not ok", "no such", "denied", "no space", "quota", "undefined",
    "sanitizer", "unbound", "cannot", "can't", "could not", "dumped", "name resolution",
    "bad_alloc", "terminate", "goroutines", "illegal", "●", ".go:", ".py:", "***", ": line ",
    "required from", "no module", "caused by", "sig",
)  # fmt: skip
_BEGINNINGS = re.compile(r"[eE]: |E   |× |[A-Z]{1,4}[0-9]{3,5} ")


def hints(text: str) -> bool:
    """Whether a line may be one of an error: most are not, and no rule need be tried on them.

    (To look for one word after the other is several times quicker than one pattern of them all.)
    """
    low = text.lower()
    return any(word in low for word in _WORDS) or _BEGINNINGS.match(text) is not None


WIDEST = 600
"""Characters of a line that are looked at."""

_WARNING = re.compile(
    r"(?<![\w-])(?<!\bno )(?<!\b0 )warn(?:ing)?s?\b(?! ?s?[:=] ?0\b)", re.IGNORECASE
)


def is_error(line: str) -> bool:
    """Whether any rule fits a line that was printed."""
    text = line[:WIDEST]
    return hints(text) and any(rule.pattern.search(text) for rule in RULES)


def is_warning(line: str) -> bool:
    """Whether a line warns, or tells of an error."""
    low = line[:WIDEST]
    return ("warn" in low.lower() and _WARNING.search(low) is not None) or is_error(line)
