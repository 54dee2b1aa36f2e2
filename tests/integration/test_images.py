"""Images for real: provisioned, tested and used without a network; killed in the middle."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx2
import pytest

from cupel.config.image import FileConfig, ImageConfig, PrefetchConfig, TarConfig
from cupel.errors import InfraError
from cupel.host.providers.namespace import NamespaceProvider
from cupel.image import base, definition, tree
from cupel.image.definition import Definition
from integration import images, leftovers, registry, small
from integration.provider_contract import machine_of, run

pytestmark = pytest.mark.e2e


@pytest.fixture
def small_base(tmp_path: Path) -> TarConfig:
    """A base that is laid out in a moment, where nothing has to be installed."""
    images.need()
    return small.tar(tmp_path, "small")


@pytest.fixture(scope="module")
def packed() -> TarConfig:
    """The test image as a tar, made once on a machine of it: a base in seconds."""
    images.need()
    digest = images.ensure()
    tar = images.cache().parent / f"{digest.partition(':')[2]}.tar"
    if not tar.exists():
        asyncio.run(_pack(tar))
    return TarConfig(path=str(tar), sha256=hashlib.sha256(tar.read_bytes()).hexdigest())


async def _pack(tar: Path) -> None:
    provider = NamespaceProvider(tar.with_suffix(".state"), images=images.cache())
    async with machine_of(provider, images.machine_spec(memory=1 << 30)) as machine:
        process = await machine.exec(
            ["tar", "-cf", "-", "--one-file-system", "-C", "/", "."], env={}, cwd="/"
        )
        with tar.with_suffix(".new").open("wb") as file:
            async for stream, data in process.output():
                if stream == "out":
                    file.write(data)
        assert await process.wait() == 0
    await provider.close()
    tar.with_suffix(".new").rename(tar)
    shutil.rmtree(tar.with_suffix(".state"))


def define(packed: TarConfig, **changes: object) -> Definition:
    image = dataclasses.replace(
        ImageConfig(name="test", suite=None, tar=packed, packages=(), size=2 << 30),
        **changes,  # type: ignore[arg-type]
    )
    return definition.define(image, base.architecture())


def mounting(digest: str) -> list[str]:
    """The processes that have an image mounted."""
    found = []
    for path in Path("/proc").glob("[0-9]*/mountinfo"):
        with contextlib.suppress(OSError):
            if digest in path.read_text():
                found.append(path.parent.name)
    return found


def on_provider(state: Path, scenario: Callable[[NamespaceProvider], Awaitable[None]]) -> None:
    async def whole() -> None:
        provider = NamespaceProvider(state)
        try:
            await scenario(provider)
        finally:
            await provider.close()

    asyncio.run(whole())
    assert leftovers.of(state) == {}


def test_a_job_passes_with_the_network_cut_when_its_image_holds_what_it_installs(
    tmp_path: Path, packed: TarConfig
) -> None:
    made = define(
        packed,
        prefetch=PrefetchConfig(pip=("iniconfig==2.0.0",)),
        files=(FileConfig(path="/opt/hello.sh", content="#!/bin/sh\necho hello\n", mode=0o755),),
        steps=("echo made > /etc/made", "setcap cap_net_raw+ep /usr/bin/env || true"),
        tests=("/opt/hello.sh", "python3 -m venv /tmp/v && /tmp/v/bin/pip install iniconfig"),
    )
    told: list[str] = []

    async def scenario(provider: NamespaceProvider) -> None:
        digest = await provider.images.ensure(made, told.append)
        spec = images.machine_spec(image=made.config, network="none")
        async with machine_of(provider, spec) as machine:
            assert machine.image == digest
            status, out, err = await run(
                machine, "pip install iniconfig && python3 -c 'import iniconfig' && cat /etc/made"
            )
            assert status == 0, err.decode()
            assert out.endswith(b"made\n")
            status, _, err = await run(machine, "pip install attrs")
            assert status != 0
            assert b"No matching distribution found for attrs" in err
            status, out, _ = await run(machine, "ls -A /build /tmp /root/.cache; cat /etc/hostname")
            assert out.decode().split() == ["/build:", "/tmp:", "cupel-m1"]
        if provider.images.file(digest) is not None:
            assert len(mounting(digest)) == 1, "the launcher, and nobody else"
            provider.images.delete(digest)
            assert mounting(digest) == []

    on_provider(tmp_path / "state", scenario)
    assert "== test 1: /opt/hello.sh" in told
    assert "hello" in told


def registries(*needed: str) -> None:
    """Skip where the packages of a test can't be fetched."""
    for url in needed:
        try:
            httpx2.get(url, timeout=20, follow_redirects=True).raise_for_status()
        except httpx2.HTTPError as error:
            pytest.skip(f"no way to {url}: {error}")


@pytest.mark.slow
def test_a_job_finds_packages_of_every_kind_with_the_network_cut(
    tmp_path: Path, packed: TarConfig
) -> None:
    """Mirrors of git have a test of their own."""
    registries("https://registry.npmjs.org/left-pad", "http://deb.debian.org/debian/")
    made = define(
        packed,
        packages=("nodejs", "npm"),
        prefetch=PrefetchConfig(
            npm=("left-pad@1.3.0", "@types/node@20"), apt=("jq",), pip=("iniconfig==2.0.0",)
        ),
    )
    job = """
        npm install left-pad@1.3.0 @types/node@20 >&2
        node -e 'console.log(require("left-pad")("x", 3))'
        if npm install right-pad >&2 2>/build/npm; then exit 1; fi
        grep -q ENOTCACHED /build/npm
        apt-get install -qy jq >&2
        echo '{"a": "from an archive"}' | jq -r .a
        if apt-get install -qy cowsay >&2 2>/build/apt; then exit 1; fi
        grep -q 'Unable to locate package cowsay' /build/apt
        pip install -q iniconfig==2.0.0 >&2
    """

    async def scenario(provider: NamespaceProvider) -> None:
        digest = await provider.images.ensure(made, print)
        spec = images.machine_spec(image=made.config, network="none", memory=1 << 30)
        async with machine_of(provider, spec) as machine:
            status, out, err = await run(machine, f"set -e; cd /build\n{job}")
            assert (status, out) == (0, b"  x\nfrom an archive\n"), err.decode()[-2000:]
        assert await provider.images.rebuild(made, print) == digest, "twice the same"

    on_provider(tmp_path / "state", scenario)


PLAYBOOK = """
- hosts: all
  tasks:
    - ansible.builtin.lineinfile: {path: /etc/environment, line: TEAM=ours, create: true}
    - ansible.builtin.user: {name: worker, shell: /bin/bash}
    - ansible.builtin.copy: {dest: /opt/site/config, content: "port = 80", mode: "0640"}
      vars: {ansible_become: false}
"""


@pytest.mark.slow
def test_a_playbook_finishes_an_image(tmp_path: Path, packed: TarConfig) -> None:
    registries("https://pypi.org/simple/ansible-core/")
    made = define(
        packed,
        files=(FileConfig(path="/opt/site/README", content="first\n"),),
        steps=("cat /opt/site/README > /etc/step",),
        playbook=PLAYBOOK,
        tests=(
            "grep TEAM=ours /etc/environment",
            "su worker -c id",
            "ls -d /tmp/ansible && exit 1 || true",
        ),
    )

    async def scenario(provider: NamespaceProvider) -> None:
        digest = await provider.images.ensure(made, print)
        found = tree.read_manifest(provider.images.manifest(digest))
        assert (found["opt/site/config"].mode, found["etc/step"].size) == (0o640, 6)
        assert not [path for path in found if "ansible" in path], "it leaves nothing of itself"
        assert await provider.images.rebuild(made, print) == digest, "twice the same"

    on_provider(tmp_path / "state", scenario)


@pytest.mark.slow
def test_a_playbook_that_fails_says_which_task(tmp_path: Path, packed: TarConfig) -> None:
    registries("https://pypi.org/simple/ansible-core/")
    made = define(
        packed, playbook="- hosts: all\n  tasks:\n    - name: Go wrong\n      command: /bin/false\n"
    )

    async def scenario(provider: NamespaceProvider) -> None:
        with pytest.raises(InfraError, match="the playbook failed with status 2") as refused:
            await provider.images.ensure(made, print)
        assert "task [Go wrong]: fatal: [localhost]" in str(refused.value)

    on_provider(tmp_path / "state", scenario)


@pytest.mark.slow
def test_the_same_again_has_the_same_digest(tmp_path: Path, packed: TarConfig) -> None:
    made = define(
        packed,
        steps=(
            "useradd -m worker",
            "python3 -m compileall -q /usr/lib/python3.*/json",
            "date > /var/log/today.log; ldconfig",
        ),
    )

    async def scenario(provider: NamespaceProvider) -> None:
        first = await provider.images.ensure(made, print)
        file = provider.images.file(first)
        before = file.read_bytes() if file else b""
        provider.images.delete(first)
        assert await provider.images.rebuild(made, print) == first
        assert (file.read_bytes() if file else b"") == before

    on_provider(tmp_path / "state", scenario)


def test_an_image_whose_tests_fail_is_not_used(tmp_path: Path, small_base: TarConfig) -> None:
    made = define(small_base, tests=("echo the wheel is square >&2; false",))

    async def scenario(provider: NamespaceProvider) -> None:
        with pytest.raises(InfraError, match=r"test 1 .* failed with status 1"):
            await provider.images.ensure(made, print)
        assert provider.images.find(made) is None
        failure = provider.images.failure(made)
        assert failure is not None
        assert failure.hint == "the wheel is square"
        assert "the wheel is square" in provider.images.failure_log(made).read_text()

    on_provider(tmp_path / "state", scenario)


def test_a_tar_that_is_another_is_refused(tmp_path: Path, small_base: TarConfig) -> None:
    made = define(dataclasses.replace(small_base, sha256="0" * 64))

    async def scenario(provider: NamespaceProvider) -> None:
        with pytest.raises(InfraError, match="another file than the image's definition says"):
            await provider.images.ensure(made, print)

    on_provider(tmp_path / "state", scenario)


_BUILDER = """
import asyncio, sys
from pathlib import Path
from cupel.config.image import ImageConfig, TarConfig
from cupel.host.providers.namespace import NamespaceProvider
from cupel.image import base, definition, tree

async def main():
    image = ImageConfig(
        suite=None, tar=TarConfig(path=sys.argv[2], sha256=sys.argv[3]), packages=(),
        steps=("echo under way; sleep 1000",), size=1 << 30,
    )
    made = definition.define(image, base.architecture())
    tell = lambda line: print(line, flush=True)
    await NamespaceProvider(Path(sys.argv[1])).images.ensure(made, tell)

asyncio.run(main())
"""


def test_a_build_that_is_killed_leaves_nothing_to_the_next(
    tmp_path: Path, small_base: TarConfig
) -> None:
    state = tmp_path / "state"
    command = [sys.executable, "-c", _BUILDER, str(state), small_base.path, small_base.sha256]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as builder:
        assert builder.stdout is not None
        for line in builder.stdout:
            if line == "under way\n":
                break
        builder.send_signal(signal.SIGKILL)
    building = state / "images/building"
    (bench,) = building.glob("*/tmp/bench")

    async def scenario(provider: NamespaceProvider) -> None:
        await provider.images.sweep()

    on_provider(state, scenario)
    assert leftovers.of(bench) == {}
    assert not any(path.is_dir() for path in building.iterdir())


LACKS_OCI = [name for name in ("skopeo", "umoci", "openssl") if shutil.which(name) is None]
oci = pytest.mark.skipif(bool(LACKS_OCI), reason=f"{', '.join(LACKS_OCI)} not installed")


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """An OCI layout with the image `tag`: a small root filesystem, and a layer that changes it."""
    images.need()
    layout, image = tmp_path / "layout", f"{tmp_path}/layout:tag"
    base, layer = small.lay(tmp_path / "base", "base"), tmp_path / "layer"
    (layer / "etc").mkdir(parents=True)
    (layer / "etc/mark").write_text("of layers\n")
    (layer / "etc/shadow").write_text("")
    os.chown(layer / "etc/shadow", 0, 42)
    for words in (
        ["umoci", "init", "--layout", layout],
        ["umoci", "new", "--image", image],
        ["umoci", "insert", "--image", image, base, "/"],
        ["umoci", "insert", "--image", image, layer, "/"],
    ):
        subprocess.run(words, check=True, capture_output=True, timeout=60)
    return layout


def check_oci(state: Path, name: str) -> str:
    """Build an image on an OCI one and use it; its digest."""
    image = ImageConfig(
        suite=None, oci=name, packages=(), size=256 << 20,
        files=(FileConfig(path="/etc/also", content="a file\n"),),
        steps=("cat /etc/mark > /etc/step",), tests=("cat /etc/also",),
    )  # fmt: skip
    made = definition.define(image, base.architecture())
    digests = []

    async def scenario(provider: NamespaceProvider) -> None:
        digest = await provider.images.ensure(made, print)
        found = tree.read_manifest(provider.images.manifest(digest))
        assert found["etc/shadow"].gid == 42
        spec = images.machine_spec(image=made.config)
        async with machine_of(provider, spec) as machine:
            assert (await run(machine, "cat /etc/step /etc/also"))[:2] == (
                0,
                b"of layers\na file\n",
            )
        digests.append(digest)

    on_provider(state, scenario)
    return digests[0]


@oci
def test_an_oci_archive_is_a_base(tmp_path: Path, layout: Path) -> None:
    archive = f"oci-archive:{tmp_path}/image.tar"
    subprocess.run(
        ["skopeo", "--insecure-policy", "copy", f"oci:{layout}:tag", f"{archive}:tag"],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    check_oci(tmp_path / "state", archive)


@oci
def test_an_image_of_a_registry_is_a_base(
    tmp_path: Path, layout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with registry.serving(layout, tmp_path) as (server, environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        by_tag = check_oci(tmp_path / "one", server.name(":tag"))
        assert check_oci(tmp_path / "two", server.name(f"@{server.tags['tag']}")) == by_tag
        with pytest.raises(InfraError) as refused:
            check_oci(tmp_path / "three", server.name(":another"))
        assert "another" in str(refused.value)
        monkeypatch.delenv("REGISTRY_AUTH_FILE")
        with pytest.raises(InfraError) as refused:
            check_oci(tmp_path / "four", server.name(":tag"))
        assert "skopeo login" in str(refused.value)
