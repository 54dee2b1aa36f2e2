"""The jobs of a change as they are frozen, and what is wrong with a configuration."""

from __future__ import annotations

from cupel.control.views.nouns.view import View
from cupel.core.model import Pipeline


class SourceLine(View):
    number: int
    text: str


class ProblemView(View):
    """What is wrong with a configuration, at a place. `lines` are those around it, if they are
    known; the one of `line` among them."""

    file: str
    line: int
    column: int
    message: str
    hint: str | None
    lines: list[SourceLine]


class KeyView(View):
    """A key of a job with its value, and where that was written: file:line:column, or in words.

    `before` is its value on the branch, where it has another one there; it is `new` where the job
    has the key and the branch's has not, or the job with all its keys is new.
    """

    key: str
    value: str
    at: str
    new: bool
    before: str | None


class StepTextView(View):
    """A step's script, or the rule that it goes by; `new` if the branch's job has not the same."""

    name: str
    text: str
    on: str
    at: str
    new: bool


class FrozenJobView(View):
    """A job as it would run, with everything inherited and expanded.

    `depth` is 0 for one that needs no other, else one more than the deepest that it needs. `state`
    is that of its newest build in the change, as `JobView.icon`, None where it has none. `gone`
    are keys that the branch's job has besides, with their values.
    """

    name: str
    base: str
    voting: bool
    needs: list[str]
    depth: int
    new: bool
    differs: bool
    keys: list[KeyView]
    gone: list[KeyView]
    steps: list[StepTextView]
    gone_steps: list[str]
    state: str | None = None
    build: int | None = None


class FrozenView(View):
    """The configuration that a change is proved with in a pipeline.

    It is that of `commit`: the state that the change is proved on where there is one (`is_state`),
    else its patch set. `base` is what it is compared with, the head of the branch; null where there
    is none. `gone` are jobs that only the branch has. Where the configuration can't be used there
    are `problems` instead of jobs. `incomparable` is why nothing is said of the branch's.
    """

    change: int
    patch_set: int
    pipeline: Pipeline
    commit: str
    is_state: bool
    base: str | None
    notice: str | None
    jobs: list[FrozenJobView]
    gone: list[str]
    problems: list[ProblemView]
    incomparable: str | None
