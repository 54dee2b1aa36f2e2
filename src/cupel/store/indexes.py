"""What rows are found by, and what exists only once: for databases and memory alike."""

from __future__ import annotations

from collections.abc import Mapping

from cupel.core import cache, flake, hold, model, notice, quarantine, results
from cupel.store.rows import Kind

UNIQUE: Mapping[Kind, tuple[tuple[str, ...], ...]] = {
    model.Queue: (("name",),),
    model.Project: (("name",),),
    model.Branch: (("project_id", "name"),),
    model.PatchSet: (("change_id", "number"),),
    model.History: (("project_id", "subject"),),
    model.Pool: (("label",),),
    model.Token: (("digest",),),
    notice.Receiver: (("name",),),
    notice.Delivery: (("receiver", "event_id", "address"),),
}
"""Fields that no two rows of a class have in common."""

INDEXES: Mapping[Kind, tuple[tuple[str, ...], ...]] = {
    model.Project: (("queue_id",),),
    model.Change: (("project_id", "key"), ("state",)),
    model.Approval: (("change_id",),),
    model.PatchSet: (("needs_change",),),
    model.Item: (
        ("state",),
        ("project_id", "branch", "pipeline"),
        ("change_id",),
        ("finished_at",),
    ),
    model.Buildset: (("item_id",), ("state",), ("commit",)),
    model.Build: (
        ("buildset_id",),
        ("item_id",),
        ("state",),
        ("machine_id",),
        ("key",),
        ("project_id", "job"),
    ),
    model.Evidence: (("key",), ("build_id",)),
    model.Machine: (("state",), ("host_id",), ("build_id",)),
    model.Host: (("name",),),
    hold.Hold: (("state",),),
    model.Artefact: (("build_id",),),
    cache.Cache: (("state",), ("project_id",)),
    results.Results: (("project_id", "job"), ("key",)),
    results.FailedTest: (("build_id",), ("project_id", "test")),
    flake.Flake: (("project_id", "job"),),
    notice.Delivery: (("receiver", "state"), ("finished_at",)),
    quarantine.Quarantine: (("project_id",),),
    model.Event: (
        ("project_id",),
        ("change_id",),
        ("item_id",),
        ("build_id",),
        ("machine_id",),
        ("host_id",),
    ),
}
"""Fields that rows are selected by. An index on one nullable field holds only rows that have it."""
