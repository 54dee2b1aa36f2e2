from __future__ import annotations

from pathlib import Path

from cupel.host.providers.namespace import network


def test_proxies_and_indexes_of_the_host_are_shown() -> None:
    environ = {
        "https_proxy": "http://proxy.example:3128",
        "NO_PROXY": "example,.internal",
        "PIP_INDEX_URL": "https://index.example/simple",
        "NPM_CONFIG_REGISTRY": "https://npm.example/",
        "SECRET": "x",
    }
    shown = dict(network.grant(environ).env)
    assert {name: shown[name] for name in environ if name in shown} == {
        name: value for name, value in environ.items() if name != "SECRET"
    }
    assert "SECRET" not in shown


def test_files_of_the_host_are_left_out_without_ado() -> None:
    environ = {"PIP_EXTRA_INDEX_URL": "file:///opt/wheels https://index.example/simple"}
    grant = network.grant(environ)
    assert dict(grant.env)["PIP_EXTRA_INDEX_URL"] == "https://index.example/simple"
    assert grant.notes == ()


def test_credentials_are_not_shown_and_it_is_said() -> None:
    grant = network.grant({"PIP_INDEX_URL": "https://me:secret@index.example/simple"})
    assert "PIP_INDEX_URL" not in dict(grant.env)
    assert not any("secret" in note for note in grant.notes)
    assert grant.notes == ("PIP_INDEX_URL is not shown to builds: it holds credentials",)


def test_a_proxy_on_the_loopback_is_left_out_and_it_is_said() -> None:
    for host in ("127.0.0.1", "localhost", "[::1]"):
        grant = network.grant({"http_proxy": f"http://{host}:3128"})
        assert "http_proxy" not in dict(grant.env)
        assert "loopback" in grant.notes[0]


def test_the_trust_store_goes_where_every_tool_looks(tmp_path: Path) -> None:
    bundle = tmp_path / "company.pem"
    bundle.write_text("certificates")
    grant = network.grant({"REQUESTS_CA_BUNDLE": str(bundle)})
    assert grant.copies == ((network.BUNDLE, str(bundle)),)
    env = dict(grant.env)
    for name in ("SSL_CERT_FILE", "PIP_CERT", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO"):
        assert env[name] == network.BUNDLE


def test_clouds_metadata_is_out_of_reach() -> None:
    assert network.LINK_LOCAL in network.unreachable()
    assert not any(entry.startswith("127.") for entry in network.unreachable())


def test_registries_are_public_ones_and_those_that_the_host_uses(tmp_path: Path) -> None:
    (tmp_path / "sources.list.d").mkdir()
    (tmp_path / "sources.list").write_text("deb http://mirror.example/debian bookworm main\n")
    (tmp_path / "sources.list.d/more.sources").write_text("URIs: https://Apt.Example:8443/x\n")
    environ = {
        "PIP_INDEX_URL": "https://me:secret@index.example/simple",
        "PATH": "https://no.example",
    }
    names = network.registries(environ, tmp_path)
    assert {"mirror.example", "apt.example", "index.example", "pypi.org"} <= set(names)
    assert "no.example" not in names
    assert not any("secret" in name for name in names)


def test_a_proxy_is_not_shown_to_what_may_reach_registries_alone() -> None:
    environ = {"https_proxy": "http://proxy.example:3128", "PIP_INDEX_URL": "https://index.example"}
    grant = network.granted("registries", environ)
    assert grant is not None
    assert "https_proxy" not in dict(grant.env)
    assert dict(grant.env)["PIP_INDEX_URL"] == "https://index.example"
    assert any("prox" in note for note in grant.notes)
