"""A job of a workflow as a job of Cupel."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping

from cupel.config.document import Array, Scalar, Table, Value
from cupel.config.job import DEFAULT_TIMEOUT, MAX_TIMEOUT, JobConfig
from cupel.config.matrix import Cell
from cupel.config.problem import Mark, show
from cupel.config.workflow import cells, expression, service, tree
from cupel.config.workflow.caching import Caches
from cupel.config.workflow.cells import Cells, Dynamic
from cupel.config.workflow.expression import Known, Name, Unknown, Unreadable
from cupel.config.workflow.note import Code, Notes
from cupel.config.workflow.shell import CONSTANTS, EVENTS, Scope, Writer
from cupel.config.workflow.step import (
    SUPPORT_FILE,
    Converter,
    Defaults,
    condition_of,
    expects_support,
    variables,
)
from cupel.core.job import Part

LINUX = re.compile(r"ubuntu|linux|debian|self-hosted|^$", re.IGNORECASE)
OTHERS = re.compile(r"windows|macos", re.IGNORECASE)
LANDED = [
    {"github.event_name": "push", "github.ref": f"refs/heads/{name}", "github.ref_name": name}
    for name in ("main", "master")
]
"""What is known as a job runs on what has landed."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """What jobs have of their workflow; `machine` is the label that they get."""

    machine: str
    env: Value | None = None
    defaults: Value | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Converted:
    """A job, without its needs, and whether it runs on what has landed instead of on changes."""

    job: JobConfig
    landed: bool = False


def convert(name: str, at: Mark, value: Value, flow: Workflow, notes: Notes) -> Converted | None:
    """The job, or None if it is not carried over: a note says why."""
    if not isinstance(value, Table):
        notes.add(at, Code.MALFORMED, f"the job {show(name)} is no mapping")
        return None
    if (called := tree.get(value, "uses")) is not None:
        notes.add(called.at, Code.REUSABLE, f"the job {show(name)} calls a workflow")
        return None
    if (deployed := tree.get(value, "environment")) is not None:
        message = f"the job {show(name)} deploys to an environment"
        notes.add(deployed.at, Code.ENVIRONMENT, message)
        return None
    runs = _pipeline(name, value, notes)
    found = _cells(name, value, notes) if runs is not None else None
    if runs is None or found is None:
        return None
    return _Converting(name, at, value, flow, notes, found, landed=runs == "post").run()


def _pipeline(name: str, value: Table, notes: Notes) -> str | None:
    """Whether the job runs for changes, or on what has landed (`post`); None for neither."""
    given = tree.get(value, "if")
    made = condition_of(given, notes) if given is not None else None
    if given is None or made is None:
        return "gate"
    try:
        if expression.is_true(expression.value(made, Scope().judge)):
            return "gate"
        for known in LANDED:
            scope = Scope(known={**CONSTANTS, **known}, events={**EVENTS, **known})
            if expression.is_true(expression.value(made, scope.judge)):
                return "post"
    except Unknown:
        message = f"whether the job {show(name)} runs depends on {show(tree.text(given))}"
        notes.add(given.at, Code.CONDITION, message, "it runs always now; see what it asks for")
        return "gate"
    message = f"the job {show(name)} runs for no change: {show(tree.text(given))}"
    notes.add(given.at, Code.CONDITION, message)
    return None


def _cells(name: str, value: Table, notes: Notes) -> Cells | None:
    """The cells that run on Linux."""
    written = tree.get(value, "strategy", "matrix")
    runs_on = tree.get(value, "runs-on")
    at = runs_on.at if runs_on is not None else value.at
    try:
        made = cells.read(written)
    except Dynamic as dynamic:
        place = written.at if written is not None else value.at
        message = f"{show(dynamic.what)} of the job {show(name)} is not written as plain values"
        notes.add(place, Code.MATRIX, message)
        return None
    left_out: list[str] = []

    def wanted(cell: Cell) -> bool:
        asked = _runner(runs_on, dict(cell))
        if asked is None or not (LINUX.search(asked) or OTHERS.search(asked)):
            message = f"the runner {show(asked or 'of an expression')} is taken for Linux"
            notes.add(at, Code.RUNNER, message)
            return True
        if OTHERS.search(asked):
            left_out.append(asked)
        return not OTHERS.search(asked)

    if made is None:
        found = Cells(matrix=None, constants={}) if wanted(()) else None
    else:
        text = _texts(value)
        found = cells.narrow(made, wanted, lambda key: f"matrix.{key}" in text)
    for runner in dict.fromkeys(left_out):
        what = "the job" if found is None else "what the job"
        verb = "runs" if found is None else "does"
        notes.add(at, Code.RUNNER, f"{what} {show(name)} {verb} on {show(runner)} is left out")
    return found


def _runner(value: Value | None, cell: Mapping[str, str]) -> str | None:
    """What the job asks for in this cell; None if that cannot be worked out."""

    def lookup(name: Name) -> Known:
        if name.path[0] == "matrix" and len(name.path) == 2:
            return cell.get(name.path[1])
        raise Unknown

    def put(found: re.Match[str]) -> str:
        return str(expression.value(expression.read(found[1]), lookup) or "")

    value = tree.get(value, "labels") if isinstance(value, Table) else value
    texts = [tree.text(each) for each in tree.items(value)]
    try:
        return " ".join(expression.MARKED.sub(put, text) for text in texts)
    except (Unknown, Unreadable):
        return None


def _texts(value: Value) -> str:
    """All that is written in a value."""
    if isinstance(value, Scalar):
        return value.text
    if isinstance(value, Array):
        return "\n".join(map(_texts, value.items))
    return "\n".join(f"{entry.key.text} {_texts(entry.value)}" for entry in value.entries)


class _Converting:
    """One job on its way."""

    def __init__(
        self,
        name: str,
        at: Mark,
        value: Table,
        flow: Workflow,
        notes: Notes,
        found: Cells,
        *,
        landed: bool,
    ) -> None:
        self._name, self._at, self._value = name, at, value
        self._flow, self._notes, self._cells, self._landed = flow, notes, found, landed
        known = {f"matrix.{key}": text for key, text in found.constants.items()}
        event = LANDED[0] if landed else {}
        self._writer = Writer(
            Scope(
                keys=frozenset(found.matrix.keys if found.matrix else ()),
                known={**CONSTANTS, **event, **known},
                events={**EVENTS, **event},
            ),
            notes,
        )

    def _get(self, *keys: str) -> Value | None:
        return tree.get(self._value, *keys)

    def run(self) -> Converted | None:
        env, dynamic = self._env()
        defaults = Defaults(
            shell=self._default("shell"),
            directory=self._default("working-directory"),
            exports=tuple(dynamic),
        )
        caches = Caches(self._notes)
        converter = Converter(self._writer, self._notes, defaults, caches)
        steps = converter.steps(self._get("steps"))
        self._note_rest()
        if not steps:
            message = f"nothing is left of the job {show(self._name)}"
            self._notes.add(self._at, Code.EMPTY, message)
            return None
        if expects_support(steps):
            env["BASH_ENV"] = SUPPORT_FILE
        served = service.convert(self._get("services"), self._writer, self._notes)
        own = Part(name="main", label=self._flow.machine)
        job = JobConfig(
            name=self._name,
            machine=self._flow.machine,
            steps=tuple(steps),
            env=tuple({"CI": "true", **env}.items()),
            timeout=self._timeout(),
            caches=tuple(caches.found.values()),
            voting=self._voting(),
            matrix=self._cells.matrix,
            parts=(own, *(part for part, _ in served)) if served else (),
            services=tuple(each for _, each in served),
        )
        return Converted(job=job, landed=self._landed)

    def _default(self, key: str) -> str:
        own = tree.text(self._get("defaults", "run", key))
        return own or tree.text(tree.get(self._flow.defaults, "run", key))

    def _env(self) -> tuple[dict[str, str], list[str]]:
        """Variables of the job, and lines for each step that set those that only it can know."""
        given: dict[str, Scalar] = {}
        for value in (self._flow.env, self._get("env")):
            given |= dict(variables(value, self._notes))
        fixed = {
            name: self._writer.plain(tree.text(each), each.at)
            for name, each in given.items()
            if self._writer.is_static(tree.text(each))
        }
        rest = {name: each for name, each in given.items() if name not in fixed}
        lines = [
            f"export {name}={self._writer.word(tree.text(each), each.at)}"
            for name, each in rest.items()
        ]
        return fixed, lines

    def _timeout(self) -> float:
        value = self._get("timeout-minutes")
        if value is None:
            return DEFAULT_TIMEOUT
        try:
            return min(max(float(tree.text(value)) * 60, 1.0), MAX_TIMEOUT)
        except ValueError:
            self._notes.add(value.at, Code.OPTION, f"the timeout {show(tree.text(value))}",
                            "write `timeout` by hand")  # fmt: skip
            return DEFAULT_TIMEOUT

    def _voting(self) -> bool:
        value = self._get("continue-on-error")
        if value is not None and "${{" in tree.text(value):
            message = "continue-on-error depends on something"
            self._notes.add(value.at, Code.CONDITION, message, "`voting: false` is for all cells")
        return tree.text(value) != "true"

    def _note_rest(self) -> None:
        """What jobs of GitHub have and those of Cupel do not."""
        rest: tuple[tuple[tuple[str, ...], Code, str], ...] = (
            (("container",), Code.CONTAINER, "the job runs in a container"),
            (("outputs",), Code.OUTPUTS, "the job has outputs"),
            (("strategy", "max-parallel"), Code.OPTION, "max-parallel"),
        )
        for keys, code, message in rest:
            if (value := self._get(*keys)) is not None:
                hint = "let its builds hold a `semaphore`" if code is Code.OPTION else None
                self._notes.add(value.at, code, message, hint)
