"""The docs show the pages that the registry says, and their images are there."""

from __future__ import annotations

import re
from pathlib import Path

from e2e.sights import SIGHTS

ROOT = Path(__file__).parents[2]
_IMAGE = re.compile(r'(?:src|srcset)="([^"]+)"')
LARGEST = 160_000
"""Bytes of an image."""


def images(page: Path) -> set[Path]:
    return {(page.parent / target).resolve() for target in _IMAGE.findall(page.read_text())}


def test_the_docs_show_every_page_that_is_to_be_shown() -> None:
    shown = {
        ROOT / "docs/images" / f"{sight.name}-{scheme}.png"
        for sight in SIGHTS
        if sight.shown
        for scheme in ("light", "dark")
    }
    assert images(ROOT / "docs/explanation/pages.md") == shown


def test_images_are_there_and_small() -> None:
    """`scripts/screenshots` makes them."""
    for page in (ROOT / "README.md", *ROOT.glob("docs/**/*.md")):
        for image in images(page):
            assert image.is_file(), f"{page.name} shows {image.name}: run scripts/screenshots"
            assert image.stat().st_size < LARGEST, image.name
