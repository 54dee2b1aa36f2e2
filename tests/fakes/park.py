"""A park of machines: pools, hosts good and bad, holds, and an image with a past."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cupel.config.image import ImageConfig
from cupel.config.server import DEFAULT_LABELS, LabelConfig
from cupel.core.hold import Hold, HoldState
from cupel.core.model import (
    BuildState,
    Change,
    Event,
    Failure,
    Host,
    Machine,
    MachineState,
    Pipeline,
    Pool,
    Project,
    Verdict,
)
from cupel.host.messages import HostLoad
from cupel.image.catalogue import Catalogue
from cupel.image.definition import Definition
from cupel.image.keeper import Keeper
from cupel.log.loads import SPAN, LoadStore
from fakes.busy import Busy
from fakes.rows import IMAGE, World
from fakes.served import Settings

OLD = "sha256:" + hashlib.sha256(b"an older debian-12").hexdigest()


@dataclasses.dataclass(kw_only=True)
class Park:
    """The numbers of what is worth looking at."""

    bad_host: str = "anvil-2"
    held_build: int = 0
    held_machine: int = 0
    hold: int = 0
    failed_machine: int = 0
    used_machine: int = 0

    def prepare(self, told: Busy) -> None:
        world = told.world
        forge, change = world.row(Host, 1), world.row(Change, 1)
        bad = _host(world, self.bad_host, strikes=3, quarantined_until=world.now + 754)
        _host(world, "tongs", draining=True)
        _pools(world)
        _past(world, change, forge, bad)
        self._present(world, change, forge, bad)
        self._holds(world, forge)

    def _present(self, world: World, change: Change, forge: Host, bad: Host) -> None:
        ready = world.machine(forge, MachineState.READY, age=90)
        world.put(dataclasses.replace(ready, image=OLD))
        world.machine(forge, MachineState.READY, age=30)
        failed = world.machine(bad, MachineState.ERROR, age=21, detail="no space left on device")
        self.failed_machine = failed.id
        _event(world, "machine.failed", 3, "no space left on device", machine_id=failed.id)
        used = world.machine(forge, MachineState.USED, age=300)
        item = world.item(change, Pipeline.CHECK, age=300)
        world.build(item, "benchmarks", BuildState.RUNNING, machine=used, ran=280.0)
        world.put(dataclasses.replace(world.row(Machine, used.id), used_at=world.now - 281))
        self.used_machine = used.id
        for number in range(2):
            coming = world.machine(forge, MachineState.BUILDING, age=1.0 + number)
            world.put(dataclasses.replace(coming, label="debian-13", detail="fetching 31 %"))

    def _holds(self, world: World, forge: Host) -> None:
        change = world.change(world.row(Project, 1), "A change to look into")
        item = world.item(change, Pipeline.CHECK, age=700)
        machine = world.machine(forge, MachineState.HELD, age=600)
        build = world.build(item, "tests", BuildState.FINISHED, Verdict.FAILURE, machine=machine)
        hold = Hold(
            id=world.id(Hold), owner="ada", reason="why does it fail here alone?",
            state=HoldState.FULL, left=0, seconds=3600, created_at=world.now - 60,
            expires_at=world.now + 3540, build_id=build.id, project_id=change.project_id,
            job="tests", change_id=change.id,
        )  # fmt: skip
        world.put(hold)
        waits = dataclasses.replace(
            hold, id=world.id(Hold), owner="grace", state=HoldState.OPEN, left=2, build_id=None,
            change_id=None, job="benchmarks", reason="they fail once a week",
        )  # fmt: skip
        world.put(waits)
        held = dataclasses.replace(
            world.row(Machine, machine.id), hold_id=hold.id, held_until=world.now + 754,
            used_at=world.now - 590, visitors=1,
        )  # fmt: skip
        world.put(held)
        _event(world, "machine.held", 10, hold.reason, machine_id=machine.id, user="ada")
        self.hold, self.held_build, self.held_machine = hold.id, build.id, machine.id

    def parts(self, state: Path, now: float) -> Mapping[str, Any]:
        """What the server has besides rows: loads, labels, and images."""
        past = LoadStore(state / "loads")
        for number in range(720):
            at = now - (720 - number) * SPAN
            wave = 1.0 + math.sin(number / 25)
            past.note("forge", at, _row(4.0 * wave, 24e9 - 6e9 * wave, 9.0 * wave))
        busy = {"forge": _load(5.3, 15e9, 17.0), "tongs": _load(0.1, 3e10, 0.0)}
        loads = {name: HostLoad(**load) for name, load in busy.items()}
        labels: dict[str, LabelConfig] = dict(DEFAULT_LABELS)
        image = ImageConfig(name="python", packages=("python3-venv",))
        labels["debian-12"] = dataclasses.replace(labels["debian-12"], image=image)
        return {
            "past_loads": past,
            "loads": loads,
            "config": Settings(labels=labels),
            "images": Keeper(_catalogue(state / "images", image, now), named=(_definition(image),)),
        }


def _load(runnable: float, available: float, waits: float) -> dict[str, Any]:
    return {
        "cores": 8, "runnable": runnable, "memory": 32 << 30, "available": int(available),
        "disk": 500 << 30, "disk_free": 180 << 30, "waits_cpu": waits, "waits_memory": 0.4,
        "waits_io": 2.0,
    }  # fmt: skip


def _row(runnable: float, available: float, waits: float) -> tuple[float, ...]:
    return tuple(float(value) for value in _load(runnable, available, waits).values())


def _host(world: World, name: str, **more: Any) -> Host:
    failed = Failure(label="debian-12", count=2, at=world.now - 20, reason="no space")
    system = "Cupel 0.1.0, Linux 6.1.0-28-amd64"
    host = dataclasses.replace(world.host(name, 4), system=system, failures=(failed,), **more)
    world.put(host)
    word = "host.draining" if host.draining else "host.quarantined"
    text = f"host {name} is quarantined: it failed 3 builds in a row within seconds"
    user = "grace" if host.draining else None
    text = name if host.draining else text
    _event(world, word, 130, text, host_id=host.id, user=user)
    _event(world, "host.connected", 9000, name, host_id=host.id)
    return host


def _event(world: World, kind: str, ago: float, text: str, **about: Any) -> None:
    world.put(Event(id=world.id(Event), at=world.now - ago, kind=kind, text=text, **about))


def _pools(world: World) -> None:
    world.put(
        Pool(
            id=world.id(Pool), label="debian-12", ready=3, ceiling=12, definition="x", boot=0.09,
            arrivals=40.0, arrivals_at=world.now, quota=6,
        )
    )  # fmt: skip
    world.put(Pool(id=world.id(Pool), label="debian-13", ready=2, definition="x", boot=2.5))
    world.put(Pool(id=world.id(Pool), label="system", definition="x"))


def _past(world: World, change: Change, forge: Host, bad: Host) -> None:
    """Many builds that ended, of which the bad host lost most of its own."""
    item = world.item(change, Pipeline.CHECK, age=80_000)
    for number in range(90):
        host = bad if number % 5 == 0 else forge
        age = 200.0 + number * 600
        lost = host is bad and number % 3 == 0
        machine = world.machine(host, MachineState.GONE, age=age + 60, gone=age)
        verdict = Verdict.INFRA if lost else Verdict.FAILURE if number % 9 == 1 else Verdict.SUCCESS
        build = world.build(
            item, "tests", BuildState.FINISHED, verdict, machine=machine, ended=age, ran=40.0,
            reason="no space left on device" if lost else None,
        )  # fmt: skip
        used = world.now - age - 50
        wait = 0.08 if number % 7 else 4.0 + number % 11
        world.put(dataclasses.replace(build, queued_at=used - wait))
        made = world.row(Machine, machine.id)
        took = 0.08 + 0.02 * (number % 6) + (1.8 if number % 17 == 0 else 0)
        world.put(dataclasses.replace(made, used_at=used, ready_at=made.created_at + took))


def _definition(image: ImageConfig) -> Definition:
    return Definition(config=image, architecture="amd64")


def _catalogue(directory: Path, image: ImageConfig, now: float) -> Catalogue:
    """Two images of a name, and a log of the newer one's build."""
    definition = _definition(image)
    for digest, age, packages in ((OLD, 900_000.0, 181), (IMAGE, 260_000.0, 184)):
        place = directory / digest
        (place / "rootfs").mkdir(parents=True)
        record = {
            "digest": digest, "definition": definition.hash, "text": definition.text,
            "names": ["python"], "started_at": now - age, "seconds": 41.0, "size": 131 << 20,
            "packages": packages, "tests": ["python3 -m venv /tmp/v"], "error": None, "hint": None,
        }  # fmt: skip
        (place / "image.json").write_text(json.dumps(record))
        (place / "packages.json").write_text(
            json.dumps({"python3": f"3.11.{packages - 180}", "bash": "5.2.15"})
        )
        (place / "manifest.gz").write_bytes(gzip.compress(b""))
        lines = "".join(f"Setting up package {number} …\n" for number in range(60))
        (place / "build.log").write_text(f"Building the image: {definition.text}\n{lines}")
    names = directory / "names"
    names.mkdir()
    course = {
        "definition": definition.hash, "current": IMAGE, "built_at": now - 260_000.0,
        "previous": OLD, "proved": True, "failures": 0, "rejected": None,
    }  # fmt: skip
    (names / "python.json").write_text(json.dumps(course))
    return Catalogue(directory)
