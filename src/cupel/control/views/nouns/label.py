"""What jobs may ask for."""

from __future__ import annotations

from cupel.control.views.nouns.view import View


class LabelView(View):
    """A label of the server's configuration: sizes in bytes.

    `image` is the name of its image, if it has one; `suite` what that is based on, if it is a
    distribution. `is_system` is whether it is a system of its own, in which nothing can be started,
    `prefetches` whether some of what jobs fetch is there without a network.
    `network` is `none`, `registries`, `full` or `allowed`, and `allow` what is reached besides.
    """

    label: str
    image: str | None
    suite: str | None
    packages: list[str]
    is_system: bool
    prefetches: bool
    provider: str
    init: str
    network: str
    allow: list[str]
    cpus: float
    memory: int
    disk: int
    pids: int
