"""The services of a workflow's job: containers there, machines of labels here."""

from __future__ import annotations

import re

from cupel.config.document import Value
from cupel.config.problem import show
from cupel.config.together import MOST
from cupel.config.workflow import tree
from cupel.config.workflow.note import Code, Notes
from cupel.config.workflow.shell import Writer
from cupel.config.workflow.step import exports
from cupel.core.job import Part, Service

STARTS = {
    "postgres": ("docker-entrypoint.sh postgres", 5432),
    "postgis": ("docker-entrypoint.sh postgres", 5432),
    "mysql": ("docker-entrypoint.sh mysqld", 3306),
    "mariadb": ("docker-entrypoint.sh mariadbd", 3306),
    "redis": ("docker-entrypoint.sh redis-server", 6379),
    "valkey": ("docker-entrypoint.sh valkey-server", 6379),
    "memcached": ("docker-entrypoint.sh memcached", 11211),
    "mongo": ("docker-entrypoint.sh mongod --bind_ip_all", 27017),
    "rabbitmq": ("docker-entrypoint.sh rabbitmq-server", 5672),
}
"""What the official images of Docker run, and the port on which they answer."""


def convert(value: Value | None, writer: Writer, notes: Notes) -> list[tuple[Part, Service]]:
    """The services with their machines. Each is noted: its label is for the server to have."""
    found: dict[str, tuple[Part, Service]] = {}
    for entry in tree.entries(value):
        image = tree.text(tree.get(entry.value, "image"))
        name = re.sub(r"[^a-z0-9-]", "-", entry.key.text.lower())[:32]
        good = re.fullmatch(r"(?!localhost$|main$)[a-z][a-z0-9-]*", name)
        if not image or "${{" in image or not good or len(found) >= MOST - 1:
            message = f"the service {show(entry.key.text)} of the image {show(image)}"
            notes.add(entry.key.at, Code.SERVICE, message, "write it into `services` by hand")
            continue
        label = re.sub(r"[^A-Za-z0-9_.-]+", "-", image.rpartition("/")[2]).strip("-")[:64]
        command, port = STARTS.get(re.split("[:@]", image.rpartition("/")[2])[0], ("", None))
        ports = [*_ports(tree.get(entry.value, "ports")), *([port] if port else [])]
        lines = exports(tree.get(entry.value, "env"), writer, notes)
        script = "".join(f"{line}\n" for line in lines) + f"exec {command}\n" if command else ""
        made = Service(name=name, run=script, ports=tuple(dict.fromkeys(ports)))
        found[name] = Part(name=name, label=label or name), made
        oci = f"a label {label} with `image: {{oci: docker://{image}}}`"
        hint = f"give the server {oci}, and reach it as {name}, not localhost"
        notes.add(entry.key.at, Code.SERVICE, f"the service {show(entry.key.text)}", hint)
    return list(found.values())


def _ports(value: Value | None) -> list[int]:
    """The ports of the containers, whatever they are on the runner."""
    found = []
    for item in tree.items(value):
        port = re.fullmatch(r"(?:.*:)?(\d{1,5})(?:/tcp)?", tree.text(item), re.ASCII)
        if port and 0 < int(port[1]) < 65_536:
            found.append(int(port[1]))
    return found
