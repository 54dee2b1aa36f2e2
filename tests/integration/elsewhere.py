"""A network that a test makes: this computer at 203.0.113.1, and a server beside it.

The server has more addresses than one, public and private, and names for some. Nothing else is
there, and all of it ends with the test.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from integration import images

_NETWORK = r"""
set -e
exec 2>&1
ip link set lo up
unshare --net sleep 120 & other=$!
trap 'kill $other $server' EXIT
sleep 0.2
ip link add inner type veth peer name outer
ip link set outer netns $other
ip address add 203.0.113.1/24 dev inner
ip address add 10.77.0.1/24 dev inner
ip link set inner up
ip route add default via 203.0.113.10
there="nsenter --net=/proc/$other/ns/net"
for last in 10 20; do $there ip address add 203.0.113.$last/24 dev outer; done
for address in 10.77.0.10/24 10.78.0.10/32 169.254.169.254/32; do
  $there ip address add $address dev outer
done
$there ip link set lo up
$there ip link set outer up
(cd "$1" && exec $there python3 -c "$4") & server=$!
cat > "$1/hosts" <<END
127.0.0.1 localhost
203.0.113.10 pypi.org
203.0.113.20 elsewhere.example
203.0.113.10 git.example
203.0.113.20 deep.cdn.example
10.77.0.10 internal.example
10.78.0.10 rebound.cdn.example
END
mount --bind "$1/hosts" /etc/hosts
sleep 0.5
"$2" -c "$3" "$1" "${@:5}"
"""


def skip_unless_possible() -> None:
    """Skip where such a network, or a machine, can't be made."""
    images.need()
    for tool in ("nft", "slirp4netns", "ip", "nsenter"):
        if shutil.which(tool, path="/usr/sbin:/usr/bin:/sbin:/bin") is None:
            pytest.skip(f"{tool} is not installed")


def run(directory: Path, *words: str, server: str, program: str, timeout: float = 100) -> str:
    """What a Python program prints that runs on this computer in that network.

    Its arguments are `directory` and `words`. Meanwhile `server` runs on the other computer, in
    that directory. Both must do well.
    """
    skip_unless_possible()
    images.ensure()
    sources = Path(__file__).parents[1]
    done = subprocess.run(
        ["unshare", "--net", "--mount", "bash", "-c", _NETWORK, "bash", str(directory),
         sys.executable, program, server, *words],
        capture_output=True, text=True, timeout=timeout, check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(Path.home()),
             "CUPEL_TEST_CACHE": str(images.cache().parent),
             "PYTHONPATH": ":".join([str(sources), *filter(None, sys.path)])},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
