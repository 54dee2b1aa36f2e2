"""What a build left, a directory at a time."""

from __future__ import annotations

from cupel.control.views.nouns.build import ArtefactView
from cupel.control.views.nouns.view import View


class SubdirectoryView(View):
    """A directory within one, with how much is in it, at whatever depth."""

    name: str
    path: str
    files: int
    size: int


class DirectoryView(View):
    """What is in a directory, the top if `path` is empty. `parents` lead to it, the top first."""

    path: str
    parents: list[str]
    directories: list[SubdirectoryView]
    files: list[ArtefactView]
    size: int
