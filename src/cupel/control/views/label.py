"""Labels: what jobs may ask for, as the server's configuration says it."""

from __future__ import annotations

from collections.abc import Mapping

from cupel.config.egress import Allowed
from cupel.config.server import LabelConfig
from cupel.control.views.nouns.label import LabelView


def label_list(labels: Mapping[str, LabelConfig]) -> list[LabelView]:
    """All labels, by name. What images are made of beyond their packages is not told."""
    return [_label(name, label) for name, label in sorted(labels.items())]


def _label(name: str, label: LabelConfig) -> LabelView:
    plain = label.image.system is None and label.image.tar is None and label.image.oci is None
    return LabelView(
        label=name,
        image=label.image.name,
        suite=label.image.suite if plain else None,
        packages=list(label.image.packages),
        is_system=label.is_system,
        prefetches=label.prefetches,
        provider=label.provider,
        init=label.init,
        network=label.network,
        allow=[_allowed(each) for each in label.allow],
        cpus=label.cpus,
        memory=label.memory,
        disk=label.disk,
        pids=label.pids,
    )


def _allowed(allowed: Allowed) -> str:
    ports = ",".join(str(low) if low == high else f"{low}-{high}" for low, high in allowed.ports)
    return f"{allowed.host}:{ports}"
