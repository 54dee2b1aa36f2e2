"""What a job is, key by key, and where each was written: for `cupel explain` and the pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cupel.config import quantity
from cupel.config.project import ProjectConfig
from cupel.core.job import Job, Link


def rows(
    job: Job, config: ProjectConfig, places: Mapping[str, str]
) -> Iterator[tuple[str, str, str]]:
    """Name, value and place of each line, those that there is something to say of."""
    yield "job", job.name, places["name"]
    for parent in config.parents.get(job.base, ()):
        yield "extends", parent.value, str(parent.at)
    if not job.parts:
        yield "machine", job.label, places["machine"]
    served = {each.name for each in job.services}
    for part in job.parts:
        noun = "service" if part.name in served else "machine"
        at = places.get(f"{noun}s.{part.name}", places["machine"])
        yield noun, f"{part.name} ({part.label})", at
    for link in job.links:
        yield "link", _link(link), places["links"]
    if job.needs:
        yield "needs", ", ".join(job.needs), places["needs"]
    if job.projects:
        yield "projects beside", ", ".join(job.projects), places["projects"]
    yield "inputs", ", ".join(job.inputs) or "everything", places["inputs"]
    reused = "a pass is reused" if job.evidence else "a pass is never reused"
    yield "evidence", reused, places["evidence"]
    for name, count in job.semaphores:
        yield "semaphore", f"{name} (of {count})", places["semaphore"]
    yield "timeout", quantity.duration(job.timeout), places["timeout"]
    for cached in job.caches:
        yield "cache", f"{cached.name}: {', '.join(cached.paths)}", places["cache"]
    if job.hold:
        yield "held after a failure", quantity.duration(job.hold), places["hold"]
    yield "votes", "yes" if job.voting else "no", places["voting"]
    for key, value in job.env:
        yield "environment", f"{key}={value}", places.get(f"env.{key}", "")


def _link(link: Link) -> str:
    words = [f"{link.one} to {link.other}"]
    words += [f"delay {link.delay * 1000:g} ms"] if link.delay else []
    words += [f"loss {link.loss:.0%}"] if link.loss else []
    words += [f"rate {link.rate / 1e6:g} Mbit/s"] if link.rate else []
    words += ["down at first"] if link.cut else []
    return ", ".join(words)
