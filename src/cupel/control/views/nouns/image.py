"""Images, and how two differ."""

from __future__ import annotations

from cupel.control.views.nouns.view import View
from cupel.core.model import MachineState


class ImageView(View):
    """What machines are made of. `state` is waiting, building, ready, failed or
    retired.

    While it is waiting, building or failed, machines are made of `digest` if there is one;
    `proved`: a build on it has ended by itself. `previous` is what a roll-back uses; `rejected`
    was given up because the first builds on it were lost. `built_at`, `seconds`, `size`,
    `packages` (how many) and `tests` (that it passed) are those of `digest`, `error` and `hint`
    of the last build if that failed. `refresh` is how old it may become, in seconds.
    """

    name: str | None
    state: str
    digest: str | None
    previous: str | None
    rejected: str | None
    proved: bool
    definition: str
    built_at: float | None
    seconds: float | None
    size: int | None
    packages: int | None
    tests: list[str]
    refresh: float | None
    error: str | None
    hint: str | None


class ImageBuildView(View):
    """An image that a name had or has: `role` is current, previous, given up, or kept, which means
    that nothing uses it any more."""

    digest: str
    role: str
    built_at: float
    seconds: float
    size: int
    packages: int
    tests: list[str]


class ImagePastView(View):
    """An image, the `labels` whose machines are made of it, how many machines of these there are
    by state, how many `old` ready ones are of another digest than the newest, and the images that
    it had, newest first."""

    image: ImageView
    labels: list[str]
    machines: dict[MachineState, int]
    old: int
    builds: list[ImageBuildView]


class PackageChangeView(View):
    """A package of two images, with its version in each; null where it is not."""

    name: str
    old: str | None
    new: str | None


class FileChangeView(View):
    """A file of two images; `change` is added, removed or changed."""

    path: str
    change: str


class ImageDifferenceView(View):
    """What differs between the images of two digests."""

    old: str
    new: str
    packages: list[PackageChangeView]
    files: list[FileChangeView]
