"""What could not be carried over: where, what, and what to do about it."""

from __future__ import annotations

import dataclasses
import enum

from cupel.config.problem import Mark

MAX_NOTES = 500


class Code(enum.StrEnum):
    """Why something was not carried over; the codes are stable and documented."""

    TRIGGER = "trigger"
    PATHS = "paths"
    RUNNER = "runner"
    CONTAINER = "container"
    SERVICE = "service"
    MATRIX = "matrix"
    CONDITION = "condition"
    EXPRESSION = "expression"
    SECRET = "secret"  # noqa: S105 - the code of a note
    ACTION = "action"
    OPTION = "option"
    VERSION = "version"
    CACHE = "cache"
    ARTEFACT = "artefact"
    SHELL = "shell"
    OUTPUTS = "outputs"
    NEEDS = "needs"
    REUSABLE = "reusable"
    ENVIRONMENT = "environment"
    EMPTY = "empty"
    MALFORMED = "malformed"


CURES: dict[Code, str] = {
    Code.TRIGGER: "list its jobs in `post`, or run it elsewhere",
    Code.PATHS: "say in `inputs` which files the job depends on",
    Code.RUNNER: "only Linux is run; name a label of your server with --machine",
    Code.CONTAINER: "give the server a label whose image is `oci: docker://IMAGE`, and name it",
    Code.SERVICE: "give the server the label, and reach the service by its name, not localhost",
    Code.MATRIX: "write the values into `matrix` by hand",
    Code.CONDITION: "write the condition into the script, or list the job in another pipeline",
    Code.EXPRESSION: "write into the script what the expression stands for",
    Code.SECRET: "jobs have no secrets; leave what needs one to a job elsewhere",
    Code.ACTION: "write what it does as a script",
    Code.OPTION: "write what the option does as a script",
    Code.VERSION: "give the server a label whose image has that version",
    Code.CACHE: "write `cache` by hand: docs/how-to/keep-caches.md",
    Code.ARTEFACT: "copy from $CUPEL_NEEDS/JOB what that job left in $CUPEL_ARTIFACTS",
    Code.SHELL: "write the script for bash",
    Code.OUTPUTS: "leave a file in $CUPEL_ARTIFACTS, and read it below $CUPEL_NEEDS",
    Code.NEEDS: "nothing waits for a job that is not there",
    Code.REUSABLE: "import the workflow that it calls, or make it a template and use `extends`",
    Code.ENVIRONMENT: "deployments are no part of proving a change; list the job in `post`",
    Code.EMPTY: "the job was left out",
    Code.MALFORMED: "GitHub refuses this as well; mend it there",
}
"""What to do about it, unless the note says it better."""


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Note:
    """One thing that was not carried over, or not quite."""

    at: Mark
    code: Code
    message: str
    hint: str

    def __str__(self) -> str:
        return f"{self.at}: {self.code}: {self.message}\n  {self.hint}"


class Notes:
    """Collects notes; of the same one only the first counts, and beyond a bound none."""

    def __init__(self) -> None:
        self._found: dict[Note, None] = {}

    def add(self, at: Mark, code: Code, message: str, hint: str | None = None) -> None:
        if len(self._found) < MAX_NOTES:
            self._found[Note(at, code, message, hint or CURES[code])] = None

    def all(self) -> tuple[Note, ...]:
        return tuple(sorted(self._found))
