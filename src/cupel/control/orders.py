"""What a host is told to make and to run."""

from __future__ import annotations

import dataclasses

from cupel.config.server import LabelConfig, ServerConfig
from cupel.core import actions
from cupel.core.model import Item, Project, Step
from cupel.git.repository import state_ref
from cupel.host import messages


def build_spec(action: actions.RunBuild, url: str, config: ServerConfig) -> messages.BuildSpec:
    assert action.buildset.commit is not None
    project, item, job = action.project, action.item, action.job
    return messages.BuildSpec(
        build=action.build.id,
        project=project.name,
        job=job.name,
        source=messages.SourceSpec(
            url=f"{url}/{project.name}.git",
            ref=state_ref(action.buildset.id),
            commit=action.buildset.commit,
            branch=item.branch,
        ),
        steps=tuple(_step(step) for step in job.steps),
        env=_env(job.env, item.change_id, item.patch_set, item.pipeline),
        needs=tuple(
            messages.NeedSpec(job=name, url=f"{url}/api/builds/{build}/artefacts.tar")
            for name, build in action.needed
        ),
        beside=tuple(_beside(beside, commit, item, url) for beside, commit in action.beside),
        timeout=job.timeout,
        log_limit=config.log_limit,
        artefact_limit=config.artefact_limit,
        parts=_parts(action),
        services=tuple(messages.ServiceSpec(**dataclasses.asdict(each)) for each in job.services),
        links=tuple(messages.LinkSpec(**dataclasses.asdict(each)) for each in job.links),
    )


def _step(step: Step) -> messages.StepSpec:
    boot = None if step.boot is None else messages.BootSpec(**dataclasses.asdict(step.boot))
    return messages.StepSpec(name=step.name, run=step.run, on=step.on, boot=boot)


def _parts(action: actions.RunBuild) -> tuple[messages.PartSpec, ...]:
    machines = (action.machine, *action.others)
    parts = action.job.parts
    return tuple(
        messages.PartSpec(name=part.name, machine=machine.id)
        for part, machine in zip(parts, machines if parts else (), strict=True)
    )


def _beside(project: Project, commit: str, item: Item, url: str) -> messages.BesideSpec:
    # By its id: no ref of that repository need name the state that the commit is of.
    source = messages.SourceSpec(
        url=f"{url}/{project.name}.git", ref=commit, commit=commit, branch=item.branch
    )
    return messages.BesideSpec(project=project.name, source=source)


def _env(
    env: tuple[tuple[str, str], ...], change: int | None, patch_set: int | None, pipeline: str
) -> tuple[tuple[str, str], ...]:
    about = {"CUPEL_PIPELINE": str(pipeline)}
    if change is not None:
        about |= {"CUPEL_CHANGE": str(change), "CUPEL_PATCH_SET": str(patch_set)}
    return (*env, *about.items())


def machine_spec(
    name: str, label: LabelConfig, *, digest: str | None = None, coming: bool = False
) -> messages.MachineSpec:
    """What a host is told of a label: `digest` is that of the image that it shall fetch, once that
    is not `coming` any more."""
    return messages.MachineSpec(
        label=name,
        image=label.image,
        digest=digest,
        coming=coming,
        provider=label.provider,
        init=label.init,
        network=label.network,
        allow=label.allow,
        cpus=label.cpus,
        memory=label.memory,
        disk=label.disk,
        pids=label.pids,
    )
