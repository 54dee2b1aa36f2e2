import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from cupel.api import artefacts
from cupel.control.auth import Scope
from cupel.core.model import Artefact
from unit.api.calls import Server, call, get
from unit.control_views import world

PAGE = b"<script>alert(1)</script>"


async def leave(server: Server, build: int = 211, **files: bytes) -> None:
    """Have a build leave files, as a host would send them."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("__", "/"))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    receiver = server.world.artefacts.receiver(build, 1 << 20)
    receiver.feed(packed.getvalue())
    for number, file in enumerate(receiver.finish(), start=50):
        await server.world.put(
            Artefact(
                id=number,
                build_id=build,
                path=file.path,
                size=file.size,
                sha256=file.sha256,
                created_at=world.NOW,
            )
        )


def test_what_a_build_left_is_listed(tmp_path: Path) -> None:
    listed = get(tmp_path, "/api/builds/211/artefacts").json()
    assert [(row["path"], row["size"]) for row in listed] == [("dist/demo.whl", 4)]
    assert get(tmp_path, "/api/builds/999/artefacts").status_code == 404


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("page.html", "application/octet-stream"),
        ("image.svg", "application/octet-stream"),
        ("data.JSON", "application/json"),
        ("deep__notes.txt", "text/plain; charset=utf-8"),
        ('a"b;ü.html', "application/octet-stream"),
    ],
)
def test_a_file_is_handed_out_but_never_run(tmp_path: Path, name: str, kind: str) -> None:
    async def ask(server: Server) -> None:
        await leave(server, **{name: PAGE})
        path = name.replace("__", "/")
        answer = await server.client.get(f"/api/builds/211/artefacts/{path}")
        assert (answer.status_code, answer.content) == (200, PAGE)
        assert answer.headers["content-type"] == kind
        assert answer.headers["content-disposition"].startswith("attachment; filename*=UTF-8''")
        assert answer.headers["content-security-policy"].startswith("sandbox")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["etag"] == f'"{hashlib.sha256(PAGE).hexdigest()}"'

    call(tmp_path, ask)


def test_a_part_of_a_file_can_be_had(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        await leave(server, **{"a.txt": b"0123456789"})
        path = "/api/builds/211/artefacts/a.txt"
        whole = await server.client.get(path)
        assert whole.headers["accept-ranges"] == "bytes"
        part = await server.client.get(path, headers={"Range": "bytes=3-5"})
        assert (part.status_code, part.content) == (206, b"345")
        assert part.headers["content-range"] == "bytes 3-5/10"
        none = await server.client.get(path, headers={"Range": "bytes=10-"})
        assert (none.status_code, none.headers["content-range"]) == (416, "bytes */10")

    call(tmp_path, ask)


@pytest.mark.parametrize("path", ["none", "..%2f..%2fetc%2fpasswd", "", "%00"])
def test_only_what_was_left_can_be_had(tmp_path: Path, path: str) -> None:
    async def ask(server: Server) -> int:
        await leave(server, **{"a.txt": b"a"})
        return (await server.client.get(f"/api/builds/211/artefacts/{path}")).status_code

    assert call(tmp_path, ask) == 404


def test_a_host_gets_all_as_a_tar(tmp_path: Path) -> None:
    async def ask(server: Server) -> None:
        server.world.config.read = "login"
        await leave(server, **{"a": b"1", "b__c": b"2", ".results__x.xml": b"3"})
        path = "/api/builds/211/artefacts.tar"
        assert (await server.client.get(path)).status_code == 401
        answer = await server.client.get(path, headers=await server.bearer(Scope.HOST))
        with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
            assert tar.getnames() == ["a", "b/c", ".results/x.xml"]
        made = await server.client.get(
            path, params={"records": False}, headers=await server.bearer(Scope.HOST)
        )
        with tarfile.open(fileobj=io.BytesIO(made.content)) as tar:
            assert tar.getnames() == ["a", "b/c"]
        assert answer.headers["content-disposition"] == 'attachment; filename="build-211.tar"'

    call(tmp_path, ask)


def test_a_build_that_left_nothing_is_an_empty_tar(tmp_path: Path) -> None:
    answer = get(tmp_path, "/api/builds/212/artefacts.tar")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        assert tar.getnames() == []
    assert get(tmp_path, "/api/builds/999/artefacts.tar").status_code == 404


def test_no_type_that_a_browser_runs_is_safe() -> None:
    running = {"html", "svg", "xml", "javascript", "pdf", "xhtml"}
    assert not any(word in kind for kind in artefacts.SAFE.values() for word in running)
