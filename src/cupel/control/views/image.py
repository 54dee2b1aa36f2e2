"""Images of the configuration, and those that nothing uses any more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from cupel.config.server import LabelConfig
from cupel.control.views.fleet import PRESENT
from cupel.control.views.nouns.image import (
    FileChangeView,
    ImageBuildView,
    ImageDifferenceView,
    ImagePastView,
    ImageView,
    PackageChangeView,
)
from cupel.core.model import Machine, MachineState
from cupel.image.catalogue import Record, State
from cupel.image.difference import Difference
from cupel.image.keeper import Keeper, Named
from cupel.store.interface import Transaction


def image_list(keeper: Keeper) -> list[ImageView]:
    """Those with a name first, by name; then what no longer has one, newest first."""
    return [*map(_named, keeper.names()), *map(_retired, keeper.unused())]


def image_view(keeper: Keeper, name: str) -> ImageView:
    """One image of the configuration. Raises `NotFound`."""
    return _named(keeper.named(name))


async def image_past(
    tx: Transaction, keeper: Keeper, labels: Mapping[str, LabelConfig], name: str
) -> ImagePastView:
    """An image, who uses it, and what it was before. Raises `NotFound`."""
    view = image_view(keeper, name)
    using = sorted(label for label, config in labels.items() if config.image.name == name)
    machines = await tx.select(Machine, {"state": PRESENT, "label": using}) if using else []
    counts = Counter(each.state for each in machines)
    return ImagePastView(
        image=view,
        labels=using,
        machines={state: counts[state] for state in MachineState if counts[state]},
        old=sum(
            each.state is MachineState.READY and each.image not in (None, view.digest)
            for each in machines
        ),
        builds=[
            _build(record, view)
            for record in keeper.catalogue.records()
            if name in record.names or record.digest in (view.digest, view.previous)
        ],
    )


def _build(record: Record, image: ImageView) -> ImageBuildView:
    roles = {
        image.rejected: "given up",
        image.previous: "previous",
        image.digest: "current",
    }
    return ImageBuildView(
        digest=record.digest,
        role=roles.get(record.digest, "kept"),
        built_at=record.started_at + record.seconds,
        seconds=record.seconds,
        size=record.size,
        packages=record.packages,
        tests=list(record.tests),
    )


def difference_view(found: Difference) -> ImageDifferenceView:
    return ImageDifferenceView(
        old=found.old,
        new=found.new,
        packages=[
            PackageChangeView(name=name, old=old, new=new) for name, old, new in found.packages
        ],
        files=[FileChangeView(path=path, change=change) for path, change in found.files],
    )


def _named(found: Named) -> ImageView:
    config, course, record = found.definition.config, found.course, found.record
    return ImageView(
        name=config.name,
        state=found.state.value,
        digest=course.current if course else None,
        previous=course.previous if course else None,
        rejected=course.rejected if course else None,
        proved=course.proved if course else False,
        definition=found.definition.text,
        built_at=course.built_at if course else None,
        seconds=record.seconds if record else None,
        size=record.size if record else None,
        packages=record.packages if record else None,
        tests=list(record.tests if record else config.tests),
        refresh=config.refresh,
        error=found.failure.error if found.failure else None,
        hint=found.failure.hint if found.failure else None,
    )


def _retired(record: Record) -> ImageView:
    return ImageView(
        name=record.names[0] if record.names else None,
        state=State.RETIRED.value,
        digest=record.digest,
        previous=None,
        rejected=None,
        proved=True,
        definition=record.text,
        built_at=record.started_at + record.seconds,
        seconds=record.seconds,
        size=record.size,
        packages=record.packages,
        tests=list(record.tests),
        refresh=None,
        error=None,
        hint=None,
    )
