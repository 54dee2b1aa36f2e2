"""What a host keeps of the server's images, and what it lets go."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from cupel.config.image import ImageConfig
from cupel.errors import InfraError
from cupel.host import download
from cupel.host import stock as stocks
from cupel.host.messages import MachineSpec
from cupel.host.stock import Stock
from cupel.image import base, build, catalogue, definition, verify
from cupel.image.catalogue import Catalogue
from unit.image.builder import Builder


def digest(number: int) -> str:
    return f"sha256:{number:064d}"


def spec(number: int | None, label: str = "one") -> MachineSpec:
    wanted = None if number is None else digest(number)
    return MachineSpec(label=label, image=ImageConfig(name="py"), digest=wanted)


class Server:
    """Gives images, unless they are among `lost`; counts how often each was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.lost: set[str] = set()
        self.wrong: set[str] = set()

    async def download(
        self, url: str, token: str, part: Path, tell: Callable[[str], None], *, pause: float
    ) -> None:
        assert token == "secret"
        self.asked.append(url)
        await asyncio.sleep(0)
        if part.parent.name in self.lost:
            part.write_text("a beginning")
            raise InfraError("the server answers with status 404")
        part.write_text("file")

    async def verify(self, file: Path, digest: str, directory: Path) -> None:
        if digest in self.wrong:
            raise InfraError("is not what its digest says")
        (directory / "packages.json").write_text("{}")
        (directory / "manifest.gz").write_bytes(b"")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(download, "download", server.download)
    monkeypatch.setattr(verify, "verify", server.verify)
    return server


def stock(images: Catalogue, *used: str) -> Stock:
    made = Stock(images, in_use=lambda: used, pause=0.0)
    made.url, made.token = "http://server/api/images", "secret"
    return made


def there(images: Catalogue) -> set[str]:
    return {record.digest for record in images.records()}


def test_images_of_labels_are_fetched_once_and_old_ones_go(tmp_path: Path, server: Server) -> None:
    images = Catalogue(tmp_path)
    keeping = stock(images, digest(1))
    for number in range(1, 6):
        asyncio.run(keeping.keep([spec(number), spec(number, "two")]))
        asyncio.run(keeping.keep([spec(number)]))
    assert server.asked == [f"http://server/api/images/{digest(n)}/file" for n in range(1, 6)]
    assert there(images) >= {digest(1), digest(5)}, "one is in use, one is wanted"
    assert len(there(images)) == 4, "and two for a look at what changed"


def test_machines_that_wait_for_one_image_fetch_it_once(tmp_path: Path, server: Server) -> None:
    async def both() -> None:
        keeping = stock(Catalogue(tmp_path))
        await asyncio.gather(*(keeping.obtain(spec(1), print) for _ in range(3)))

    asyncio.run(both())
    assert len(server.asked) == 1


def test_what_cannot_be_had_is_left_to_later_and_its_beginning_kept_while_it_is_wanted(
    tmp_path: Path, server: Server
) -> None:
    images = Catalogue(tmp_path)
    keeping = stock(images)
    server.lost = {digest(1)}
    asyncio.run(keeping.keep([spec(1), spec(2)]))
    assert there(images) == {digest(2)}
    assert [path.name for path in images.arriving()] == [digest(1)]
    with pytest.raises(InfraError, match="status 404"):
        asyncio.run(keeping.obtain(spec(1), print))
    asyncio.run(keeping.keep([spec(2)]))
    assert images.arriving() == []


def test_what_is_not_what_it_should_be_is_thrown_away(tmp_path: Path, server: Server) -> None:
    images, time = Catalogue(tmp_path), 1e6
    keeping = Stock(images, pause=0.0, now=lambda: time)
    keeping.token = "secret"
    server.wrong = {digest(1)}
    for _ in range(2):
        with pytest.raises(InfraError, match="is not what its digest says"):
            asyncio.run(keeping.obtain(spec(1), print))
    assert len(server.asked) == 1, "not at once again"
    assert there(images) == set()
    assert images.arriving() == []
    server.wrong.clear()
    time += stocks.REFUSED_FOR
    asyncio.run(keeping.obtain(spec(1), print))
    assert there(images) == {digest(1)}


def test_what_is_built_here_is_not_fetched_and_is_kept(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "build", Builder())
    images = catalogue.Catalogue(tmp_path)
    made = definition.define(spec(None).image, base.architecture())
    own = asyncio.run(images.ensure(made, print))
    keeping = stock(images)
    asyncio.run(keeping.keep([spec(None)]))
    keeping.prune(keep=0)
    assert (there(images), server.asked) == ({own}, [])


@pytest.mark.parametrize("comes", [True, False])
def test_an_image_that_the_server_is_building_is_waited_for(
    tmp_path: Path, server: Server, *, comes: bool
) -> None:
    async def scenario() -> None:
        keeping = stock(Catalogue(tmp_path))
        coming = dataclasses.replace(spec(None), coming=True)
        other = dataclasses.replace(spec(None, "two"), coming=True)
        keeping.learn([coming, other])
        await keeping.keep([coming, other])  # and that does not
        waiting = asyncio.create_task(keeping.obtain(coming, print))
        await asyncio.sleep(0)
        keeping.learn([coming, spec(7, "two")])
        await asyncio.sleep(0)
        assert not waiting.done()
        wanted = spec(1 if comes else None)
        keeping.learn([wanted, other])
        assert await waiting == wanted

    asyncio.run(scenario())
    assert len(server.asked) == (1 if comes else 0), "what does not come is built here"
