"""A machine that may reach registries alone, in a network that the test made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from integration import images
from integration.test_provider_namespace import lacking

pytestmark = pytest.mark.e2e

NETWORK = r"""
set -e
exec 2>&1
ip link set lo up
unshare --net sleep 120 & other=$!
trap 'kill $other $server' EXIT
sleep 0.2
ip link add inner type veth peer name outer
ip link set outer netns $other
ip address add 203.0.113.1/24 dev inner
ip link set inner up
there="nsenter --net=/proc/$other/ns/net"
for last in 10 20; do $there ip address add 203.0.113.$last/24 dev outer; done
$there ip link set lo up
$there ip link set outer up
$there python3 -c '
import http.server, threading
for port in (80, 8080):
    server = http.server.ThreadingHTTPServer(("", port), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever).start()
' & server=$!
printf '127.0.0.1 localhost\n203.0.113.10 pypi.org\n203.0.113.20 elsewhere.example\n' > "$1/hosts"
mount --bind "$1/hosts" /etc/hosts
sleep 0.5
"$2" -c "$3" "$1"
"""

MACHINE = r"""
import asyncio, sys
from pathlib import Path
from integration import images
from integration.provider_contract import machine_of, run
from cupel.host.providers.namespace import NamespaceProvider

TRIES = '''
import socket, subprocess
def reaches(host, port):
    try:
        socket.create_connection((host, port), 5).close()
    except OSError:
        return False
    return True
assert not reaches("203.0.113.10", 80), "before its name was asked for"
assert reaches("pypi.org", 80)
assert reaches("203.0.113.10", 80)
assert not reaches("pypi.org", 8080), "another port"
assert not reaches("elsewhere.example", 80), "another name"
assert not reaches("203.0.113.20", 80), "another address"
assert not reaches("203.0.113.1", 80), "the host"
assert not reaches("198.18.0.3", 53), "the resolver of machines with a full network"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    try:
        sock.sendto(b"x", ("203.0.113.10", 80))
    except OSError:
        pass
    else:
        raise AssertionError("datagrams go out")
try:
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
except OSError:
    pass
else:
    raise AssertionError("the rules are within reach")
print("all is as it should be")
'''

async def main(directory):
    provider = NamespaceProvider(directory / "state", environ={}, images=images.cache())
    spec = images.machine_spec(network="registries")
    await provider.prepare(spec, print)
    try:
        async with machine_of(provider, spec) as machine:
            process = await machine.exec(["python3", "-c", TRIES], env={}, cwd="/")
            async for _, data in process.output():
                print(data.decode())
            sys.exit(await process.wait())
    finally:
        await provider.close()

asyncio.run(main(Path(sys.argv[1])))
"""


def test_it_reaches_registries_by_their_names_and_nothing_else(tmp_path: Path) -> None:
    if (why := lacking()) is not None:
        pytest.skip(f"no machines here: {why}")
    for program in ("nft", "slirp4netns", "ip", "nsenter"):
        if shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"{program} is not installed")
    images.ensure()
    sources = Path(__file__).parents[1]
    done = subprocess.run(
        ["unshare", "--net", "--mount", "bash", "-c", NETWORK, "bash", str(tmp_path),
         sys.executable, MACHINE],
        capture_output=True, text=True, timeout=100, check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(Path.home()),
             "PYTHONPATH": ":".join([str(sources), *filter(None, sys.path)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all is as it should be" in done.stdout
