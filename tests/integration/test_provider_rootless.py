"""The provider of namespace machines for a user without privileges: the contract, run as one.

The user is `nobody`, for whom a mount namespace of the test's own holds what a user's computer has:
an interpreter that may be read, images, and perhaps ids to give away. Nothing of it stays.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cupel.host.messages import MachineSpec
from cupel.host.providers.interface import Provider
from cupel.host.providers.namespace import NamespaceProvider
from integration import escape_contract, images

pytestmark = pytest.mark.e2e

USER = 65534
WITHIN = "CUPEL_TEST_ROOTLESS"
"""Set for the tests that run as the user: where images are."""

STAGE = r"""
set -e
place=$1 python=$2 prefix=$3 cache=$4; shift 4
chmod 755 "$place"
mkdir "$place/prefix" "$place/images" "$place/state"
cp -r "$cache/." "$place/images"
chown -R 65534:65534 "$place/images" "$place/state"
mount --bind "$prefix" "$place/prefix"
home=$(echo "$prefix" | cut -d/ -f1-2)
if ! setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$prefix"; then
    mount -t tmpfs -o mode=755 none "$home"
    mkdir -p "$prefix"
    mount --bind "$place/prefix" "$prefix"
fi
for table in subuid subgid; do
    printf '%s' "$RANGES" > "$place/$table"
    touch "/etc/$table" && mount --bind "$place/$table" "/etc/$table"
done
cd "$place"
exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all "$python" "$@"
"""


@pytest.fixture
def place() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="cupel-rootless-"))
    yield directory
    shutil.rmtree(directory)


@pytest.mark.skipif(WITHIN in os.environ, reason="this is the one that starts the others")
@pytest.mark.slow
@pytest.mark.parametrize("ranges", ["", "nobody:200000:65536\n"], ids=["one id", "many ids"])
def test_the_contract_holds_for_a_user(place: Path, ranges: str) -> None:
    images.need()
    if ranges and shutil.which("newuidmap") is None:
        pytest.skip("newuidmap is not installed (apt-get install uidmap)")
    images.ensure()
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", STAGE, "bash", str(place), sys.executable,
         sys.base_prefix, str(images.cache()), "-m", "pytest", "-q", "-p", "no:cacheprovider",
         "--rootdir", str(Path(__file__).parents[2]), "--basetemp", str(place / "state/tmp"),
         "-rs", f"{__file__}::TestRootless"],
        capture_output=True, text=True, timeout=280, check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "RANGES": ranges,
             "HOME": str(place / "state"), WITHIN: str(place / "images"),
             "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr


@pytest.mark.skipif(WITHIN not in os.environ, reason="it is run as a user, by the test above")
class TestRootless(escape_contract.EscapeContract):
    def provider(self, state: Path) -> Provider:
        return NamespaceProvider(state, images=Path(os.environ[WITHIN]))

    uncounted = frozenset(
        {"eat memory in files without a name", "eat memory in buffers of sockets"}
    )

    def spec(self) -> MachineSpec:
        return images.machine_spec()
