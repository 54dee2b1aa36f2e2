"""Where each value of a job as run came from: a place in a file, a default, or what was chosen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from cupel.config import matrix
from cupel.config.extends import OWN
from cupel.config.job import JobConfig, JobShape
from cupel.config.project import ProjectConfig
from cupel.core.job import Job

DEFAULT = "default"
DETECTED = "chosen by Cupel"


def trace(config: ProjectConfig, frozen: Job) -> Mapping[str, str]:
    """Key → where its value came from, as file:line:column or in words.

    The key of a part of a value is a path: `env.LEVEL`, `steps.0`, `services.db`.
    """
    job = config.jobs[frozen.base]
    if not job.origins:
        return dict.fromkeys(("name", *_KEYS), DETECTED)
    return {
        "name": str(job.at),
        **dict.fromkeys(_KEYS, DEFAULT),
        "machine": str(job.machine_at),
        **{key: str(at) for key, at in job.origins.items()},
        **dict(_cell(job, frozen)),
    }


_KEYS = tuple(field.key for field in JobShape.record.fields if field.key not in OWN)


def _cell(job: JobConfig, frozen: Job) -> Iterator[tuple[str, str]]:
    places = job.matrix.places if job.matrix else {}
    for pair in frozen.cell:
        if pair in places:
            yield f"env.{matrix.variable(pair[0])}", str(places[pair])
