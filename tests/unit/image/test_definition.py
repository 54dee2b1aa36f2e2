from __future__ import annotations

from cupel.image import definition


def test_order_and_doubles_of_packages_do_not_matter() -> None:
    one = definition.define("bookworm", ["git", "make", "git"], "amd64")
    two = definition.define("bookworm", ["make", "git"], "amd64")
    assert one == two
    assert one.hash == two.hash


def test_everything_else_does() -> None:
    hashes = {
        definition.define(suite, packages, architecture).hash
        for suite in ("bookworm", "trixie")
        for packages in ((), ("git",), ("git", "make"), ("gitmake",))
        for architecture in ("amd64", "arm64")
    }
    assert len(hashes) == 16
