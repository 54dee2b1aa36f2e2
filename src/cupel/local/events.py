"""What happens while jobs are run here, in the order in which it does; for people and programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cupel.core.results import Tally


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """What is run: the state of the tree, and `jobs` by name, in their order."""

    project: str
    branch: str
    commit: str
    dirty: bool
    jobs: tuple[str, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """A job that is not run, and the reason: it was proved before."""

    job: str
    reason: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """Something worth knowing about a job or its machine, such as an image being built."""

    job: str
    text: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Stands:
    """The job's machine stands, on the image of this digest, made in so many seconds."""

    job: str
    image: str
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepBegun:
    """Step `number` of `count`, from 1 on."""

    job: str
    number: int
    count: int
    name: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """Bytes that the job wrote: `stream` is out, err, or cupel for remarks of ours.

    `part` is the name of the machine, in a job with several.
    """

    job: str
    stream: str
    part: str
    data: bytes


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StepEnded:
    """`exit_status` is negative for a signal; None when the step was stopped."""

    job: str
    number: int
    name: str
    seconds: float
    exit_status: int | None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a job ended; `verdict` and `reason` as in `BuildFinished`, or skipped.

    `artefacts` is the directory of the files that it left, if there are any; `error` is what to
    look at first, in lines; `tests` how many tests ended how, if they left results.
    """

    job: str
    verdict: str
    reason: str | None
    seconds: float
    voting: bool
    cpu_seconds: float | None = None
    memory_peak: int | None = None
    artefacts: str | None = None
    error: tuple[str, ...] = ()
    tests: Tally | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """The job's pass is evidence on the server, as `build`; or is not, for a `reason`."""

    job: str
    build: int | None
    reason: str | None


Event = Begun | Passed | Told | Stands | StepBegun | Printed | StepEnded | Ended | Offered
Show = Callable[[Event], None]
