"""Jobs as they are run: everything inherited, expanded and resolved.

They are a part of the rows in `model`, and all of it that commands without a server need.
"""

from __future__ import annotations

import dataclasses
import enum

from cupel.core.cache import JobCache


class Pipeline(enum.StrEnum):
    CHECK = "check"
    GATE = "gate"
    POST = "post"
    PERIODIC = "periodic"
    """Audits: a sample of reused results is proved again, after landing."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """When a system that was booted has passed.

    Each of `expect` has come in a line of its console, and none of `fail`; in these `*` stands for
    anything. It has ended with the number `exit`, or has switched itself `off`, if that is asked.
    """

    expect: tuple[str, ...] = ()
    fail: tuple[str, ...] = ()
    exit: int | None = None
    off: bool = False

    @property
    def text(self) -> str:
        """In words, a line for each."""
        lines = [f"expect: {text}" for text in self.expect]
        lines += [f"fail: {text}" for text in self.fail]
        lines += [f"exit: {self.exit}"] if self.exit is not None else []
        return "\n".join([*lines, *(["exit: off"] if self.off else [])])


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A shell script that a build runs; `name` is shown, `run` is the script.

    `on` names the machine of the job that it runs on; empty: the job's own. A step with `boot` has
    no script: it boots the machine's system, in which nothing can be started. `failed_tests` is the
    exit status by which it says that tests failed, and nothing but tests. `rerun_failed` is the
    script that runs these alone instead (see `alone`).
    """

    name: str
    run: str
    on: str = ""
    boot: Boot | None = None
    failed_tests: int | None = None
    rerun_failed: str = ""

    @property
    def text(self) -> str:
        """What it does: its script, or the rule that it goes by."""
        return self.run if self.boot is None else self.boot.text


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of the machines of a job that has several: its name in the job, and its label."""

    name: str
    label: str


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What runs on the machine `name` of a job from before its first step on.

    `run` is the script that is the service (empty: the image's own). It is ready when the script
    `health` passes and its `ports` accept connections; if not within `timeout` seconds, the job
    has failed.
    """

    name: str
    run: str = ""
    health: str = ""
    ports: tuple[int, ...] = ()
    timeout: float = 60.0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What happens to packets between two machines of a job, in either direction.

    `delay` in seconds, `loss` from 0 to 1, `rate` in bits per second; None: as fast as it goes. One
    that is `cut` lets nothing through.
    """

    one: str
    other: str
    delay: float = 0.0
    loss: float = 0.0
    rate: float | None = None
    cut: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as frozen for a buildset: everything inherited, expanded and resolved.

    `name` is unique in the buildset; a matrix cell's is `base (key=value, …)`. `needs` are names of
    jobs in the same buildset. `inputs` are gitignore-style patterns; empty means everything.
    `projects` are names of projects of the same queue that are checked out beside. A semaphore is
    a name with the number of builds that may hold it at a time. `parts` are all machines of a job
    that has several, its own, which has `label`, first; empty for a job with one.
    """

    name: str
    base: str
    label: str
    steps: tuple[Step, ...]
    env: tuple[tuple[str, str], ...] = ()
    inputs: tuple[str, ...] = ()
    timeout: float = 1800.0
    needs: tuple[str, ...] = ()
    voting: bool = True
    cell: tuple[tuple[str, str], ...] = ()
    evidence: bool = True
    """Whether a pass may be reused where nothing that the job depends on has changed."""
    projects: tuple[str, ...] = ()
    semaphores: tuple[tuple[str, int], ...] = ()
    parts: tuple[Part, ...] = ()
    services: tuple[Service, ...] = ()
    links: tuple[Link, ...] = ()
    caches: tuple[JobCache, ...] = ()

    hold: float = 0.0
    """Seconds for which the machine of a failure is kept for whoever comes."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Those of all its machines, its own first."""
        return tuple(part.label for part in self.parts) or (self.label,)
