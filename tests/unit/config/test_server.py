"""The server's own configuration."""

from __future__ import annotations

import contextlib
import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cupel.config import server
from cupel.config.image import FileConfig, ImageConfig, PrefetchConfig, TarConfig
from cupel.config.problem import ConfigErrors
from cupel.config.server import LabelConfig, PoolConfig, ServerConfig
from cupel.config.system import BlobConfig, SystemConfig
from cupel.errors import InfraError


def refusal(text: str) -> str:
    with pytest.raises(ConfigErrors) as caught:
        server.parse(text)
    return str(caught.value).replace("cupel.yaml:", "")


def test_everything_that_can_be_said() -> None:
    config = server.parse(
        """
        listen: "[::1]:0"
        slots: 7
        read: anyone
        database: postgresql://me@db/cupel
        labels:
          big:
            image: {suite: trixie, packages: [git, g++, git]}
            network: full
            cpus: 0.5
            memory: 1.5G
            disk: 20G
            pids: 100
          plain: {pool: {holds: 0}}
        limits: {log: 1M, artefacts: 64K, keep: 30d, hold: 30m}
        """
    )
    assert config == ServerConfig(
        slots=7,
        listen="[::1]:0",
        read="anyone",
        database="postgresql://me@db/cupel",
        labels={
            "big": LabelConfig(
                image=ImageConfig(suite="trixie", packages=("git", "g++")),
                network="full",
                cpus=0.5,
                memory=3 << 29,
                disk=20 << 30,
                pids=100,
            ),
            "plain": LabelConfig(pool=PoolConfig(holds=0)),
        },
        log_limit=1 << 20,
        artefact_limit=1 << 16,
        keep=30 * 86_400.0,
        hold_limit=1800.0,
    )


def test_everything_that_can_be_said_of_images() -> None:
    sha256 = "0123456789abcdef" * 4
    config = server.parse(
        f"""
        labels:
          one: {{image: full, network: full}}
          two: {{image: packed}}
        images:
          full:
            suite: noble
            packages: [nodejs, npm]
            files: {{/etc/motd: {{content: "hello\\n"}}, /opt/a.sh: {{content: "", mode: "755"}}}}
            prefetch:
              pip: [pytest==8.3.4, "requests[socks] >= 2"]
              npm: [left-pad@1.3.0, "@scope/name"]
              git: [https://example.org/a/b.git]
              apt: [gcc]
            steps: ["echo one\\necho two"]
            playbook: "- hosts: all"
            tests: [npm --version]
            refresh: 7d
            size: 20G
          packed: {{tar: {{path: /srv/root.tar, sha256: {sha256}}}}}
          other: {{oci: "docker://docker.io/library/alpine:3.20", packages: [bash]}}
        """
    )
    assert config.images == {
        "full": ImageConfig(
            name="full",
            suite="noble",
            packages=("nodejs", "npm"),
            files=(
                FileConfig(path="/etc/motd", content="hello\n"),
                FileConfig(path="/opt/a.sh", content="", mode=0o755),
            ),
            prefetch=PrefetchConfig(
                pip=("pytest==8.3.4", "requests[socks] >= 2"),
                npm=("left-pad@1.3.0", "@scope/name"),
                git=("https://example.org/a/b.git",),
                apt=("gcc",),
            ),
            steps=("echo one\necho two",),
            playbook="- hosts: all",
            tests=("npm --version",),
            refresh=7 * 86_400.0,
            size=20 << 30,
        ),
        "packed": ImageConfig(
            name="packed",
            suite=None,
            tar=TarConfig(path="/srv/root.tar", sha256=sha256),
            packages=(),
        ),
        "other": ImageConfig(
            name="other",
            suite=None,
            oci="docker://docker.io/library/alpine:3.20",
            packages=("bash",),
        ),
    }
    assert config.labels == {
        "one": LabelConfig(image=config.images["full"], network="full"),
        "two": LabelConfig(image=config.images["packed"]),
    }


@pytest.mark.parametrize(("cpus", "slots"), [(None, 2), (1, 2), (16, 16)])
def test_defaults(cpus: int | None, slots: int) -> None:
    assert server.parse("", cpus=cpus) == ServerConfig(slots=slots)
    networks = {name: label.network for name, label in server.DEFAULT_LABELS.items()}
    assert networks == {"debian-12": "none", "debian-12-net": "full"}


WRONG = {
    "a": '1:1: expected a mapping with settings of the server, found the text "a"',
    "slot: 1": '1:1: unknown key "slot"\n  did you mean "slots"?',
    "slots: 10001": "1:8: 10001 is out of bounds\n  0 to 10000 is possible",
    "slots: 1.5": '1:8: expected a count of machines, found "1.5"',
    "url: example.org": '1:6: "example.org" is not the server\'s own URL',
    "listen: 8470": '1:9: "8470" is not an address and a port\n  write it as in',
    "listen: 1.2.3.4:99999": '1:9: "1.2.3.4:99999" has no such port',
    "read: nobody": '1:7: expected anyone or login or auto, found "nobody"',
    "labels: {}": "1:9: no labels: no job could run",
    "labels: {a b: {}}": '1:10: "a b" is not a label',
    "labels: {a: 3}": "1:13: expected a mapping that describes a machine, found the number 3",
    "labels: {a: {memory: 4g}}": '1:22: expected a size, found "4g"\n  write it as in 512M or 4G',
    "labels: {a: {memory: 1}}": "1:22: 1 is out of bounds\n  64M to 64T is possible",
    "labels: {a: {network: yes}}": "1:23: yes without quotes is a boolean",
    "labels: {a: {network: ful}}": (
        '1:23: expected none or registries or full, found "ful"\n  did you mean "full"?'
    ),
    "labels: {a: {provider: lxd}}": '1:24: expected namespace or vm, found "lxd"',
    "labels: {a: {init: systemd}}": (
        "1:13: init: systemd needs a kernel of its own\n  add `provider: vm`"
    ),
    "labels: {a: {image: {packages: [--x]}}}": '1:33: "--x" is not the name of a package',
    "labels: {a: {image: {suite: ../x}}}": '1:29: "../x" is not a suite of Debian',
    "labels: {a: {image: {playbook: site.yml}}}": (
        '1:32: "site.yml" is not the text of an Ansible playbook\n  write the playbook itself'
    ),
    "labels: {a: {image: [x]}}": "1:21: expected a mapping that describes an image, found a list",
    "labels: {a: {image: x}}": '1:21: no image "x"\n  the file has no `images`',
    "images: {python: {}}\nlabels: {a: {image: pyton}}": (
        '2:21: no image "pyton"\n  did you mean "python"?'
    ),
    "images: {a b: {}}": '1:10: "a b" is not the name of an image',
    "images: {a: {suite: x, oci: docker://a}}": '1:29: an image with "suite" and "oci"',
    "images: {a: {tar: {path: /a}}}": '1:19: the key "sha256" is missing',
    "images: {a: {oci: alpine}}": '1:19: "alpine" is not an OCI image\n  write it as skopeo does',
    "images: {a: {files: {etc/x: {content: a}}}}": '1:22: "etc/x" is not an absolute path',
    "images: {a: {files: {/a/../x: {content: a}}}}": '1:22: "/a/../x" is not an absolute path',
    "images: {a: {files: {/x: {content: a, mode: rwx}}}}": '1:45: "rwx" is not permissions',
    "images: {a: {prefetch: {pip: [--pre]}}}": '1:31: "--pre" is not a requirement of pip',
    "images: {a: {prefetch: {git: [/etc]}}}": '1:31: "/etc" is not the URL of a repository',
    "images: {a: {refresh: 5m}}": "1:23: 5m is out of bounds",
    "images: {a: {size: 1}}": "1:20: 1 is out of bounds\n  256M to 64T is possible",
    "limits: {keep: 5}": "1:16: 5 is out of bounds\n  1h to 36500d is possible",
    "limits: {logs: 5}": '1:10: unknown key "logs"\n  did you mean "log"?',
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_its_place(text: str) -> None:
    assert refusal(text).startswith(WRONG[text])


@given(st.text(max_size=100))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(ConfigErrors):
        server.parse(text)


def test_the_first_start_writes_the_defaults_in_comments(tmp_path: Path) -> None:
    config = server.load(tmp_path)
    text = (tmp_path / "cupel.yaml").read_text()
    assert text == server.default_text()
    assert config == server.parse("", cpus=config.slots)
    assert server.load(tmp_path) == config


def test_the_comments_are_the_defaults() -> None:
    shown = re.sub(r"^# ( *[a-z0-9_-]+:( .*)?)$", r"\1", server.default_text(), flags=re.MULTILINE)
    config = server.parse(shown)
    assert set(config.webhooks) == {"chat"}
    assert config.mail is not None
    assert dataclasses.replace(config, webhooks={}, mail=None) == ServerConfig(
        slots=2,
        url="https://cupel.example.org",
        database="postgresql://cupel@localhost/cupel",
        images={
            "python": ImageConfig(
                name="python", prefetch=PrefetchConfig(pip=("pytest",)), refresh=7 * 86_400.0
            )
        },
    )


def test_a_file_of_ones_own_is_kept(tmp_path: Path) -> None:
    (tmp_path / "cupel.yaml").write_text("slots: 3\n")
    assert server.load(tmp_path).slots == 3
    assert (tmp_path / "cupel.yaml").read_text() == "slots: 3\n"


def test_errors_name_the_file(tmp_path: Path) -> None:
    (tmp_path / "cupel.yaml").write_text("slots: 3\nslots: 4\n")
    with pytest.raises(ConfigErrors, match=re.escape(f"{tmp_path}/cupel.yaml:2:1: duplicate")):
        server.load(tmp_path)


def test_what_cannot_be_read_is_not_the_users_fault(tmp_path: Path) -> None:
    (tmp_path / "cupel.yaml").mkdir()
    with pytest.raises(InfraError, match="cannot read"):
        server.load(tmp_path)


BLOB = "{path: /srv/x, sha256: " + "a" * 64 + "}"


def test_an_image_may_be_a_system_of_its_own() -> None:
    text = (
        f"images:\n  d: {{disk: {BLOB[:-1]}, format: qcow2, bus: ide}}}}\n"
        f"  k: {{kernel: {BLOB[:-1]}, initrd: {BLOB}, append: console=ttyS0}}}}\n"
        "labels:\n  a: {provider: vm, image: d}\n  b: {provider: vm, image: k}\n"
    )
    labels = server.parse(text).labels
    blob = BlobConfig(path="/srv/x", sha256="a" * 64)
    assert labels["a"].image.system == SystemConfig(disk=blob, format="qcow2", bus="ide")
    assert labels["b"].image.system == SystemConfig(
        kernel=blob, initrd=blob, append="console=ttyS0"
    )
    assert labels["a"].image.suite is None


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (f"{{image: {{disk: {BLOB}}}}}", "an image that is booted needs a virtual machine"),
        (f"{{provider: vm, init: systemd, image: {{kernel: {BLOB}}}}}", "has its own init"),
        (f"{{provider: vm, image: {{disk: {BLOB}, steps: [x]}}}}", "booted has no `steps`"),
        (f"{{provider: vm, image: {{disk: {BLOB}, kernel: {BLOB}}}}}", "it has one base"),
        (f"{{provider: vm, image: {{disk: {BLOB}, suite: bookworm}}}}", "it has one base"),
        ("{provider: vm, image: {disk: {path: x, sha256: y}}}", "not an absolute path"),
        (f"{{provider: vm, image: {{kernel: {BLOB[:-1]}, format: raw}}}}}}", "format"),
    ],
)
def test_what_can_not_be_booted_is_told(label: str, message: str) -> None:
    assert message in refusal(f"labels:\n  a: {label}\n")
