"""What builds keep for later ones, as it is written."""

from __future__ import annotations

import pytest

from cupel.config import freeze
from cupel.config.problem import ConfigErrors
from cupel.config.project import parse
from cupel.config.render import render_yaml
from cupel.core.cache import JobCache
from cupel.core.model import Pipeline

FILE = ".cupel.yaml"


def config(cache: str, more: str = "") -> str:
    return f"jobs:\n  a:\n    machine: m\n    steps: [x]\n    cache: {cache}\n{more}check: [a]\n"


def caches(cache: str, more: str = "") -> tuple[JobCache, ...]:
    read = parse({FILE: config(cache, more)})
    assert parse({FILE: render_yaml(read)}) == read
    (frozen,) = freeze.freeze(read, Pipeline.CHECK)
    return frozen.caches


def refusal(cache: str, more: str = "") -> str:
    with pytest.raises(ConfigErrors) as caught:
        freeze.freeze(parse({FILE: config(cache, more)}), Pipeline.CHECK)
    return str(caught.value).replace(f"{FILE}:", "")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("~/.cache/pip", JobCache(name="pip", paths=("/root/.cache/pip",))),
        ("node_modules", JobCache(name="node_modules", paths=("node_modules",))),
        ("./target/debug/", JobCache(name="debug", paths=("target/debug",))),
        ("~/.npm", JobCache(name="npm", paths=("/root/.npm",))),
        ("/build/src/x", JobCache(name="x", paths=("/build/src/x",))),
        (
            "{path: [target, ~/.cargo/registry], name: rust, files: [Cargo.lock], key: nightly}",
            JobCache(
                name="rust",
                paths=("target", "/root/.cargo/registry"),
                files=("Cargo.lock",),
                texts=("nightly",),
            ),
        ),
    ],
)
def test_a_cache_is_read_written_and_frozen(written: str, read: JobCache) -> None:
    assert caches(written) == (read,)
    assert caches(f"[{written}]") == (read,)


def test_a_key_takes_values_of_the_matrix() -> None:
    matrix = "    matrix: {python: [3]}\n"
    (cache,) = caches('{path: ~/.cache/pip, key: "py{{matrix.python}}"}', matrix)
    assert cache.texts == ("py3",)
    assert "the matrix has no" in refusal('{path: ~/.cache/pip, key: "{{matrix.x}}"}', matrix)


@pytest.mark.parametrize("path", ["../x", "~/../etc/x", "/opt/x/../../etc", "a/../.."])
def test_no_path_leads_out(path: str) -> None:
    assert "without “..”" in refusal(path)


@pytest.mark.parametrize(
    "path", ["/build", "/build/src", "/build/artifacts", "/proc/x", "/dev/shm"]
)
def test_what_is_ours_is_no_cache(path: str) -> None:
    assert "Cupel's or the kernel's" in refusal(path)


@pytest.mark.parametrize("path", ["/", "/usr", "/root", "~/"])
def test_a_directory_of_the_system_is_no_cache(path: str) -> None:
    assert "a directory of the system" in refusal(path)


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (".", "the whole source"),
        ("[~/.cache/pip, target/pip]", 'two caches are called "pip"'),
        ("[~/.cache, ~/.cache/pip]", "lies within another cache"),
        ("[target, /build/src/target/debug]", "lies within another cache"),
        ("[]", "an empty list of caches"),
        ("{files: [x]}", '"path" is missing'),
        ("{path: a/b, name: -x}", "a name for a cache"),
        ("{path: [a, b, c, d, e, f, g, h, i]}", "at most 8 directories"),
        ("{paths: [a]}", "write `path`"),
        ("{path: a, restore-keys: x}", "the newest cache is given"),
    ],
)
def test_what_is_wrong_is_said(written: str, why: str) -> None:
    assert why in refusal(written)
