"""Machines that may reach some hosts alone, in a network that the test made."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupel.host.providers.interface import Provider
from integration import elsewhere, test_provider_vm

pytestmark = pytest.mark.e2e

SERVER = """
import http.server, socket, threading
def echo():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("", 80))
        while True:
            sock.sendto(*sock.recvfrom(100))
threading.Thread(target=echo).start()
for port in (22, 80, 8080):
    server = http.server.ThreadingHTTPServer(("", port), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever).start()
"""

MACHINE = r"""
import asyncio, sys
from pathlib import Path
from integration import images
from integration.provider_contract import machine_of
from integration.test_provider_vm import vm_provider
from cupel.config.egress import Allowed
from cupel.host.providers.namespace import NamespaceProvider

KIND = sys.argv[2]
PROBE = '''
import socket, sys
def reaches(host, port):
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True
'''
REGISTRIES = PROBE + '''
assert not reaches("203.0.113.10", 80), "before its name was asked for"
assert reaches("pypi.org", 80)
assert reaches("203.0.113.10", 80)
assert not reaches("pypi.org", 8080), "another port"
assert not reaches("elsewhere.example", 80), "another name"
assert not reaches("203.0.113.20", 80), "another address"
assert not reaches("203.0.113.1", 80), "the host"
assert not reaches("198.18.0.3", 53), "the resolver of machines with a full network"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(1)
    try:
        sock.sendto(b"x", ("203.0.113.10", 80))
        assert not sock.recv(100), "datagrams go out"
    except OSError:
        pass
try:
    if sys.argv[1] == "namespace":  # else they are outside, where no guest gets
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    else:
        raise OSError
except OSError:
    pass
else:
    raise AssertionError("the rules are within reach")
print("all is as it should be")
'''
LIST = PROBE + '''
assert not reaches("pypi.org", 80), "registries are not in the list"
assert not reaches("203.0.113.10", 22), "before its name was asked for"
assert reaches("git.example", 22)
assert not reaches("git.example", 80), "another port"
assert reaches("deep.cdn.example", 80)
assert not reaches("deep.cdn.example", 22), "a port of another name"
assert not reaches("cdn.example", 80), "the name above"
assert not reaches("elsewhere.example", 80), "another name"
assert reaches("10.77.0.10", 8080), "a neighbour of the network in the list"
assert not reaches("10.77.0.10", 80), "another port of the network"
assert reaches("internal.example", 22), "a name that leads into that network"
assert not reaches("10.77.0.1", 8080), "the host, in that network"
assert not reaches("rebound.cdn.example", 80), "a name that leads to another private network"
assert not reaches("10.78.0.10", 80), "another private network"
assert not reaches("169.254.169.254", 80), "the credentials of clouds"
assert not reaches("198.18.0.2", 80), "its own way out"
print("all is as it should be")
'''
METADATA = PROBE + '''
assert reaches("169.254.169.254", 80), "named by the operator"
assert not reaches("169.254.169.253", 80)
assert not reaches("10.77.0.10", 80), "private, in a network that is wider"
assert reaches("203.0.113.20", 80)
print("all is as it should be")
'''

def allowed(*entries):
    pairs = [entry.rpartition(":")[::2] for entry in entries]
    return tuple(Allowed(host=host, ports=((int(port), int(port)),)) for host, port in pairs)

CASES = [
    (REGISTRIES, {"network": "registries"}),
    (LIST, {"network": "allowed", "allow": allowed(
        "git.example:22", "internal.example:22", "*.cdn.example:80", "10.77.0.0/24:8080")}),
    (METADATA, {"network": "allowed", "allow": allowed("169.254.169.254/32:80", "0.0.0.0/0:80")}),
]

async def main(directory):
    if KIND == "vm":
        provider = vm_provider(directory / "state")
    else:
        provider = NamespaceProvider(directory / "state", environ={}, images=images.cache())
    try:
        for number, (tries, changes) in enumerate(CASES, 1):
            spec = images.machine_spec(provider=KIND, **changes)
            await provider.prepare(spec, print)
            async with machine_of(provider, spec, number) as machine:
                process = await machine.exec(["python3", "-c", tries, KIND], env={}, cwd="/")
                async for _, data in process.output():
                    print(data.decode())
                assert await process.wait() == 0
    finally:
        await provider.close()

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("kind", ["namespace", "vm"])
def test_they_reach_what_they_may_by_its_name_or_network_and_nothing_else(
    tmp_path: Path, kind: str
) -> None:
    elsewhere.skip_unless_possible()
    if kind == "vm" and test_provider_vm.MISSING:
        pytest.skip(f"virtual machines need {', '.join(test_provider_vm.MISSING)}")
    if kind == "vm":  # its kernel is fetched, while there is a network
        test_provider_vm.on_provider(tmp_path / "before", _nothing)
    said = elsewhere.run(tmp_path, kind, server=SERVER, program=MACHINE)
    assert said.count("all is as it should be") == 3


async def _nothing(_: Provider) -> None:
    pass
